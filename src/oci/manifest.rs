//! Manifests, indexes and configs of OCI and Docker (v2 schema 2), from bytes to checked types.

use std::collections::BTreeMap;

use crate::digest::Sha256;

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// One layer of an image: its blob and the tar inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// Digest of the blob as stored.
    pub digest: Sha256,
    /// Size of the blob in bytes.
    pub size: u64,
    pub compression: Compression,
    /// Digest of the uncompressed tar, from the config's `rootfs.diff_ids`.
    pub diff_id: Sha256,
    pub annotations: BTreeMap<String, String>,
}

/// What is used of an image's config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    pub architecture: String,
    pub variant: Option<String>,
    pub os: String,
    /// RFC 3339, as written in the config.
    pub created: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub history: Vec<HistoryEntry>,
}

/// One line of an image's history (image-spec, config.md).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryEntry {
    pub created: Option<String>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
    /// True when the instruction made no layer.
    pub empty_layer: bool,
}
