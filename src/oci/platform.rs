//! The platform an image is chosen for.

/// Operating system, architecture and variant in Go's names (image-spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}
