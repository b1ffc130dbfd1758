//! What each layer of an image adds, changes and deletes.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;

use super::Image;
use crate::digest::Sha256;
use crate::names::ImagePath;
use crate::ops::DiffPath;
use crate::repo::{Change, Node};

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
pub fn layers(image: &Image, name: &str) -> Layers {
    let mut here: BTreeMap<&ImagePath, &Change> = BTreeMap::new();
    let mut layers = Vec::new();
    for (tree, blob) in image.layers.iter().zip(&image.blobs) {
        let mut of_layer = LayerChanges {
            diff_id: blob.diff_id,
            digest: blob.digest,
            compressed_bytes: blob.size,
            added: 0,
            changed: 0,
            deleted: 0,
            brought_bytes: 0,
            hidden_bytes: 0,
            changes: Vec::new(),
        };
        // Deletions speak of the layers below.
        for path in &tree.opaque {
            for below in below(&here, path) {
                let bytes = here.remove(below).map_or(0, bytes_of);
                // What the layer has there itself is changed, not deleted.
                if tree.changes.binary_search_by(|(path, _)| path.cmp(below)).is_err() {
                    of_layer.push(Letter::D, below, bytes);
                }
                of_layer.hidden_bytes += bytes;
            }
        }
        for (path, change) in &tree.changes {
            let before = here.get(path).copied();
            if matches!(change, Change::Whiteout) {
                let Some(before) = before else { continue };
                let gone: u64 =
                    below(&here, path).into_iter().filter_map(|below| here.remove(below)).map(bytes_of).sum();
                here.remove(path);
                let bytes = gone + bytes_of(before);
                of_layer.push(Letter::D, path, bytes);
                of_layer.hidden_bytes += bytes;
                continue;
            }
            let is_directory = matches!(change, Change::Set { node: Node::Directory, .. });
            if !is_directory {
                for below in below(&here, path) {
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
        layers.push(of_layer);
    }
    Layers { version: VERSION, name: name.into(), digest: image.record.manifest_digest, layers }
}

impl LayerChanges {
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
