//! The images in the store.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::super::{Result, status};
use super::ImageFacts;
use crate::digest::{Sha256, TreeId};
use crate::repo::{Node, Tree};
use crate::sysroot::{DeploymentKey, Sysroot};

/// The version of the JSON.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageList {
    pub version: u32,
    pub images: Vec<ListedImage>,
}

/// A stored image and what keeps it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedImage {
    /// The names it is kept under, sorted.
    pub references: Vec<String>,
    /// The deployments made from it. Without these and without names, the next prune frees it.
    pub deployments: Vec<DeploymentKey>,
    pub digest: Sha256,
    pub version: Option<String>,
    /// When it was built, RFC 3339.
    pub timestamp: Option<String>,
    /// When it was pulled.
    pub pulled: jiff::Timestamp,
    pub tree: TreeId,
    /// Absent when no machine could boot it.
    pub kernel: Option<String>,
    pub layers: usize,
    /// Content bytes of its files, an object once. Absent when its tree cannot be read; `fsck` says why.
    pub size_bytes: Option<u64>,
}

/// Lists the stored images: named ones by name, then the others.
pub fn list(sysroot: &Sysroot) -> Result<ImageList> {
    let repo = sysroot.repo();
    let observed = sysroot.observe()?;
    let mut names: BTreeMap<Sha256, Vec<String>> = BTreeMap::new();
    for (name, digest) in repo.refs()? {
        names.entry(digest).or_default().push(name);
    }
    let mut images = Vec::new();
    for record in repo.images()? {
        let facts = ImageFacts::of_record(&record)?;
        let digest = record.manifest_digest;
        images.push(ListedImage {
            references: names.remove(&digest).unwrap_or_default(),
            deployments: observed
                .deployments
                .iter()
                .filter(|d| d.record.image.digest == digest)
                .map(|d| d.key())
                .collect(),
            digest,
            version: facts.version,
            timestamp: facts.timestamp,
            pulled: status::timestamp(record.pulled),
            tree: record.tree,
            kernel: record.kernel,
            layers: record.layers.len(),
            // One damaged image must not hide the others.
            size_bytes: repo.read_tree(&record.tree).ok().as_ref().map(content_bytes),
        });
    }
    images.sort_by(|a, b| {
        let rank = |i: &ListedImage| (i.references.is_empty(), i.references.first().cloned());
        rank(a).cmp(&rank(b)).then_with(|| a.digest.cmp(&b.digest))
    });
    Ok(ImageList { version: VERSION, images })
}

fn content_bytes(tree: &Tree) -> u64 {
    let mut seen = HashSet::new();
    let sizes = tree.entries().iter().filter_map(|entry| match &entry.node {
        Node::File { object, size } => seen.insert(*object).then_some(*size),
        _ => None,
    });
    sizes.sum()
}
