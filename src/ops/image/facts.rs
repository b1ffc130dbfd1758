//! What an image says about itself in its config.

use super::super::{Error, Result};
use crate::oci::manifest::{Document, ImageConfig, LayerDescriptor, parse_config, parse_document};
use crate::repo::ImageRecord;

/// Where image builders write the version of what is inside (image-spec, annotations.md).
const VERSION_LABEL: &str = "org.opencontainers.image.version";
const CREATED_LABEL: &str = "org.opencontainers.image.created";
/// A label is no place for a novel.
const LONGEST: usize = 256;

/// Version and time of an image, cleaned of what could drive a terminal or a boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFacts {
    pub version: Option<String>,
    /// RFC 3339.
    pub timestamp: Option<String>,
}

impl ImageFacts {
    pub fn of_config(config: &ImageConfig) -> Self {
        let clean = |text: &String| {
            let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
            Some(text.trim().to_string()).filter(|t| !t.is_empty())
        };
        Self {
            version: config.labels.get(VERSION_LABEL).and_then(clean),
            timestamp: config.created.as_ref().or(config.labels.get(CREATED_LABEL)).and_then(clean),
        }
    }

    pub fn of_record(record: &ImageRecord) -> Result<Self> {
        Ok(Self::of_config(&parse(record)?.0))
    }
}

/// Parses the stored manifest and config of an image, which were checked when it was pulled.
pub fn parse(record: &ImageRecord) -> Result<(ImageConfig, Vec<LayerDescriptor>)> {
    let what = format!("stored image {}", record.manifest_digest);
    match parse_document(record.manifest.as_bytes(), None, &what)? {
        Document::Manifest(manifest) => Ok(parse_config(record.config.as_bytes(), &manifest, &what)?),
        Document::Index(_) => Err(Error::corrupt(format!("{what} has an index for its manifest"))),
    }
}
