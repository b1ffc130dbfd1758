//! What each layer of an image adds, changes and deletes.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;

use super::Image;
use crate::digest::Sha256;
use crate::names::ImagePath;
use crate::ops::{DiffPath, Result};
use crate::repo::{Change, LayerTree, Node};

/// The version of the JSON.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Layers {
    pub version: u32,
    pub name: String,
    pub digest: Sha256,
    /// From the lowest up.
    pub layers: Vec<LayerChanges>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerChanges {
    pub diff_id: Sha256,
    pub digest: Sha256,
    /// As it is fetched.
    pub compressed_bytes: u64,
    #[serde(flatten)]
    pub counted: Counted,
}

/// The changes themselves, and how many of which kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    pub added: usize,
    pub changed: usize,
    pub deleted: usize,
    /// Bytes of files that are new or changed.
    pub brought_bytes: u64,
    /// Bytes of files of lower layers that are deleted or replaced.
    pub hidden_bytes: u64,
    pub changes: Vec<PathOfLayer>,
}

/// A path and what a layer does to it, in the letters of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathOfLayer {
    pub kind: Letter,
    pub path: DiffPath,
    /// Of the file that is brought, or that is deleted with everything below it.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Letter {
    A,
    C,
    D,
}

impl Letter {
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::C => "C",
            Self::D => "D",
        }
    }
}

/// Goes through the layers from the lowest up.
pub fn layers(image: &Image<'_>, name: &str) -> Result<Layers> {
    let mut here = BTreeMap::new();
    let trees = image.layers()?;
    let layers = trees.iter().zip(&image.blobs).map(|(tree, blob)| LayerChanges {
        diff_id: blob.diff_id,
        digest: blob.digest,
        compressed_bytes: blob.size,
        counted: changes(tree, &mut here),
    });
    Ok(Layers {
        version: VERSION,
        name: name.into(),
        digest: image.record.manifest_digest,
        layers: layers.collect(),
    })
}

/// What a layer does to what is `here`, which is then as the layer leaves it.
fn changes<'t>(tree: &'t LayerTree, here: &mut BTreeMap<&'t ImagePath, &'t Change>) -> Counted {
    let mut of_layer = Counted::default();
    // Deletions speak of the layers below.
    for path in &tree.opaque {
        for below in below(here, path) {
            // What the layer has there itself is changed, not deleted: that comes below.
            if tree.changes.binary_search_by(|(path, _)| path.cmp(below)).is_err() {
                let bytes = here.remove(below).map_or(0, bytes_of);
                of_layer.push(Letter::D, below, bytes);
                of_layer.hidden_bytes += bytes;
            }
        }
    }
    for (path, change) in &tree.changes {
        let before = here.get(path).copied();
        if matches!(change, Change::Whiteout) {
            // A directory need not have an entry of its own.
            let mut gone = below(here, path);
            gone.extend(here.get_key_value(path).map(|(path, _)| *path));
            if gone.is_empty() {
                continue;
            }
            let bytes = gone.into_iter().filter_map(|gone| here.remove(gone)).map(bytes_of).sum();
            of_layer.push(Letter::D, path, bytes);
            of_layer.hidden_bytes += bytes;
            continue;
        }
        let is_directory = matches!(change, Change::Set { node: Node::Directory, .. });
        if !is_directory {
            for below in below(here, path) {
                of_layer.hidden_bytes += here.remove(below).map_or(0, bytes_of);
            }
        }
        let letter = match before {
            None => Letter::A,
            // Builders have every directory above a change in their layers.
            Some(before) if is_directory && before == change => {
                continue;
            }
            Some(before) => {
                of_layer.hidden_bytes += bytes_of(before);
                Letter::C
            }
        };
        of_layer.brought_bytes += bytes_of(change);
        of_layer.push(letter, path, bytes_of(change));
        here.insert(path, change);
    }
    of_layer
}

impl Counted {
    fn push(&mut self, kind: Letter, path: &ImagePath, bytes: u64) {
        match kind {
            Letter::A => self.added += 1,
            Letter::C => self.changed += 1,
            Letter::D => self.deleted += 1,
        }
        self.changes.push(PathOfLayer { kind, path: DiffPath(path.clone()), bytes });
    }
}

fn below<'t>(here: &BTreeMap<&'t ImagePath, &'t Change>, path: &ImagePath) -> Vec<&'t ImagePath> {
    let after = (Bound::Excluded(path), Bound::Unbounded);
    here.range::<ImagePath, _>(after)
        .map(|(below, _)| *below)
        .take_while(|below| below.is_below(path))
        .collect()
}

fn bytes_of(change: &Change) -> u64 {
    match change {
        Change::Set { node: Node::File { size, .. }, .. } => *size,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::ObjectId;
    use crate::repo::{LayerTree, Meta, Mtime};

    #[test]
    fn an_opaque_directory_deletes_what_the_layer_does_not_have() {
        let path = |path: &str| ImagePath::new(path.as_bytes()).unwrap();
        let set =
            |at: &str, node| (path(at), Change::Set { meta: Meta::default(), mtime: Mtime::default(), node });
        let file = |size: u64| Node::File { object: ObjectId([size as u8; 32]), size };
        let directory = Node::Directory;
        let lower = vec![
            set("d", directory.clone()),
            set("d/a", file(1)),
            set("d/b", file(2)),
            set("d/sub", directory.clone()),
            set("d/sub/c", file(4)),
        ];
        let upper = vec![set("d", directory.clone()), set("d/a", file(8)), set("d/sub", directory)];
        let trees = [
            LayerTree { changes: lower, opaque: Vec::new() },
            LayerTree { changes: upper, opaque: vec![path("d")] },
        ];
        let mut here = BTreeMap::new();
        let of_layers: Vec<_> = trees.iter().map(|tree| changes(tree, &mut here)).collect();
        let shown: Vec<_> =
            of_layers[1].changes.iter().map(|c| format!("{} {}", c.kind.name(), c.path)).collect();
        assert_eq!(shown, ["D /d/b", "D /d/sub/c", "C /d/a"]);
        assert_eq!(
            (of_layers[0].added, of_layers[1].hidden_bytes, of_layers[1].brought_bytes),
            (5, 1 + 2 + 4, 8)
        );
        // The directory of a whiteout need not have an entry.
        let lower = LayerTree { changes: vec![set("e/a", file(3))], opaque: Vec::new() };
        let upper = LayerTree { changes: vec![(path("e"), Change::Whiteout)], opaque: Vec::new() };
        let mut here = BTreeMap::new();
        changes(&lower, &mut here);
        assert_eq!(changes(&upper, &mut here).hidden_bytes, 3);
    }
}
