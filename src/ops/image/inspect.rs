//! One stored image in full.

use serde::Serialize;
use serde_json::Value;

use super::super::{Error, Result, status};
use super::{ImageFacts, facts, find};
use crate::digest::{Sha256, TreeId};
use crate::repo::ImageRecord;
use crate::sysroot::Sysroot;

/// The version of the JSON.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    pub version: u32,
    /// The name it was found by.
    pub reference: Option<String>,
    pub digest: Sha256,
    pub index_digest: Option<Sha256>,
    pub image_version: Option<String>,
    /// When it was built, RFC 3339.
    pub timestamp: Option<String>,
    /// When it was pulled.
    pub pulled: jiff::Timestamp,
    pub tree: TreeId,
    pub kernel: Option<String>,
    /// From the lowest up.
    pub layers: Vec<LayerInfo>,
    /// As they were received.
    pub manifest: Value,
    pub config: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerInfo {
    /// Of the blob it was read from.
    pub digest: Sha256,
    /// Compressed bytes.
    pub size: u64,
    pub diff_id: Sha256,
}

/// Shows what is stored about an image.
pub fn inspect(sysroot: &Sysroot, image: &str) -> Result<Inspected> {
    let found = find(sysroot, image)?;
    let record = found.record;
    let (config, blobs) = facts::parse(&record)?;
    let facts = ImageFacts::of_config(&config);
    Ok(Inspected {
        version: VERSION,
        reference: found.name,
        layers: blobs
            .into_iter()
            .map(|blob| LayerInfo { digest: blob.digest, size: blob.size, diff_id: blob.diff_id })
            .collect(),
        manifest: json(&record, "manifest", &record.manifest)?,
        config: json(&record, "config", &record.config)?,
        digest: record.manifest_digest,
        index_digest: record.index_digest,
        image_version: facts.version,
        timestamp: facts.timestamp,
        pulled: status::timestamp(record.pulled),
        tree: record.tree,
        kernel: record.kernel,
    })
}

fn json(record: &ImageRecord, what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| Error::corrupt(format!("the {what} of image {}: {e}", record.manifest_digest)))
}
