//! How much of an image is metadata, at most.

/// A manifest, index or config. Registries accept 4 MiB (distribution-spec, "Pushing manifests").
pub const DOCUMENT_BYTES: u64 = 4 << 20;
/// Layers of one image. The field's largest have some hundred; overlayfs stops at 500.
pub const LAYERS: usize = 10_000;
/// Indexes inside indexes.
pub const INDEX_DEPTH: usize = 4;
/// Descriptors looked at on the way to a manifest.
pub const DESCRIPTORS: usize = 1000;
/// Documents fetched on the way to a manifest.
pub const DOCUMENTS: usize = 32;
/// Tags of one repository. A build an hour makes them in eleven years.
pub const TAGS: usize = 100_000;
/// One blob. Far above any disk; keeps the sum over all layers of an image within 64 bits.
pub const BLOB_BYTES: u64 = 1 << 50;
