//! How an image came to be, and what each layer costs here.

use std::collections::HashSet;

use serde::Serialize;

use super::super::{Result, ResultExt};
use super::{facts, find};
use crate::digest::{ObjectId, Sha256};
use crate::oci::manifest::LayerDescriptor;
use crate::repo::{Change, ImageRecord, LayerTree, Node, Repo};
use crate::sysroot::Sysroot;

/// The version of the JSON.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    pub version: u32,
    pub digest: Sha256,
    /// The oldest first.
    pub lines: Vec<HistoryLine>,
}

/// An instruction of the build, and the layer it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLine {
    pub created: Option<String>,
    /// Printable; as long as the builder wrote it.
    pub instruction: Option<String>,
    pub comment: Option<String>,
    /// Absent when the instruction made no layer.
    pub layer: Option<HistoryLayer>,
}

/// The sizes of a layer. `new_bytes` and `shared_bytes` add up to the content of its files, an object once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLayer {
    pub diff_id: Sha256,
    /// Compressed bytes.
    pub size: u64,
    pub entries: usize,
    /// Bytes of objects that only this layer brings.
    pub new_bytes: u64,
    /// Bytes of objects that a lower layer or another stored image has as well.
    pub shared_bytes: u64,
}

/// Shows how a stored image was built and what each of its layers adds to the store.
pub fn history(sysroot: &Sysroot, image: &str) -> Result<History> {
    let repo = sysroot.repo();
    let record = find(sysroot, image)?.record;
    let (config, blobs) = facts::parse(&record)?;
    let mut layers = measure(repo, &record, &blobs)?.into_iter();
    let clean = |text: Option<String>| text.map(|t| crate::names::printable(t.as_bytes()));
    let mut lines: Vec<HistoryLine> = Vec::new();
    for entry in config.history {
        lines.push(HistoryLine {
            created: clean(entry.created),
            instruction: clean(entry.created_by),
            comment: clean(entry.comment),
            layer: if entry.empty_layer { None } else { layers.next() },
        });
    }
    // A config need not have a history (image-spec, config.md), and it need not be complete.
    lines.extend(layers.map(|layer| HistoryLine {
        created: None,
        instruction: None,
        comment: None,
        layer: Some(layer),
    }));
    Ok(History { version: VERSION, digest: record.manifest_digest, lines })
}

fn measure(repo: &Repo, record: &ImageRecord, blobs: &[LayerDescriptor]) -> Result<Vec<HistoryLayer>> {
    let mut seen = objects_of_others(repo, record)?;
    let mut layers = Vec::new();
    for blob in blobs {
        let tree = repo.read_layer(&blob.diff_id).context(|| format!("reading layer {}", blob.diff_id))?;
        let mut layer = HistoryLayer {
            diff_id: blob.diff_id,
            size: blob.size,
            entries: tree.changes.len(),
            new_bytes: 0,
            shared_bytes: 0,
        };
        let mut own = HashSet::new();
        for (object, size) in objects(&tree).filter(|(object, _)| own.insert(*object)) {
            if seen.contains(&object) {
                layer.shared_bytes += size;
            } else {
                layer.new_bytes += size;
            }
        }
        seen.extend(own);
        layers.push(layer);
    }
    Ok(layers)
}

/// The objects of all layers that other images have and this one has not.
fn objects_of_others(repo: &Repo, record: &ImageRecord) -> Result<HashSet<ObjectId>> {
    let others: HashSet<Sha256> = repo
        .images()?
        .into_iter()
        .flat_map(|image| image.layers)
        .filter(|diff_id| !record.layers.contains(diff_id))
        .collect();
    let mut found = HashSet::new();
    for diff_id in others {
        found.extend(objects(&repo.read_layer(&diff_id)?).map(|(object, _)| object));
    }
    Ok(found)
}

fn objects(layer: &LayerTree) -> impl Iterator<Item = (ObjectId, u64)> {
    layer.changes.iter().filter_map(|(_, change)| match change {
        Change::Set { node: Node::File { object, size }, .. } => Some((*object, *size)),
        _ => None,
    })
}
