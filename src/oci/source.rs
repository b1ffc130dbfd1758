//! Where an image comes from, seen from the rest of the program: resolve once, then open blobs by digest.

use std::collections::BTreeMap;
use std::io::Read;

use crate::digest::Sha256;
use crate::oci::error::{Error, Result};
use crate::oci::manifest::{ImageConfig, LayerDescriptor};
use crate::oci::platform::Platform;

/// An image after its tag, index and platform were resolved: from here on everything is by digest.
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// Digest of `manifest`, the image manifest of the chosen platform.
    pub manifest_digest: Sha256,
    /// Digest of the index the manifest was chosen from, when there was one.
    pub index_digest: Option<Sha256>,
    /// The manifest's bytes as they were received.
    pub manifest: Vec<u8>,
    /// The config's bytes as they were received; their digest was checked.
    pub config_bytes: Vec<u8>,
    /// The parts of the config that are used here.
    pub config: ImageConfig,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// From the lowest layer up, each with its diff_id.
    pub layers: Vec<LayerDescriptor>,
}

/// A registry, a directory or an archive that holds images.
pub trait ImageSource: Send + Sync {
    /// Finds the image and the manifest for `platform`. The tag is looked up here and never again.
    fn resolve(&self, platform: &Platform) -> Result<ResolvedImage>;

    /// Opens a layer's blob. The bytes come as stored (compressed) and are **not** verified: the reader of
    /// the stream checks size and digest with [`crate::oci::verify::VerifyingReader`]. Interruptions are
    /// retried and resumed inside; what cannot be healed is an [`std::io::Error`] that wraps an
    /// [`crate::oci::Error`].
    fn open_blob(&self, layer: &LayerDescriptor) -> Result<Box<dyn Read + Send>>;

    /// The tags that are there, sorted by their bytes. A place for one image has none to give.
    fn tags(&self) -> Result<Vec<String>> {
        Err(Error::incompatible("the list of tags", "an archive of one image has none"))
    }
}
