//! How much a layer may be. OCI says nothing about the size of what is inside a blob, so the limits are ours.

/// Limits of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the store may still take: no single file may be larger.
    pub available_bytes: u64,
    /// Entries, counting duplicates. The largest images in the field have some hundred thousand.
    pub entries: u64,
    /// Bytes of names, links and xattrs of all entries together; bounds the memory of a layer.
    pub metadata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { available_bytes: u64::MAX, entries: 4_000_000, metadata_bytes: 512 << 20 }
    }
}

/// Extension headers of one entry (Go's limit; CVE-2022-2879 was their absence there).
pub(super) const EXTENSION_BYTES: u32 = 1 << 20;
/// Entries of a merged root file system; bounds the memory of a merge.
pub(super) const TREE_ENTRIES: u64 = 4_000_000;
/// Zeros after the end of the archive: some tools pad to a tape's block, or far beyond.
pub(super) const PADDING_BYTES: u64 = 1 << 20;
/// One extended attribute's value (`XATTR_SIZE_MAX`).
pub(super) const XATTR_VALUE_BYTES: usize = 64 << 10;
/// One extended attribute's name (`XATTR_NAME_MAX`).
pub(super) const XATTR_NAME_BYTES: usize = 255;
