//! `images/<manifest digest>.json`: an image as it was pulled.

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::digest::{Sha256, TreeId};

/// An image whose root file system is in the store. Everything it names is durable before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    pub version: u32,
    pub manifest_digest: Sha256,
    /// The index the manifest was chosen from, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<Sha256>,
    /// Raw JSON as received; its sha256 is `manifest_digest`.
    pub manifest: String,
    /// Raw JSON as received; its sha256 is in the manifest.
    pub config: String,
    pub tree: TreeId,
    /// diff_ids from the lowest layer up.
    pub layers: Vec<Sha256>,
    /// The version of the one kernel, when the image is bootable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Seconds since the epoch.
    pub pulled: u64,
}

impl ImageRecord {
    /// The newest format version; what this build writes.
    pub const VERSION: u32 = 1;

    pub(super) fn parse(bytes: &[u8], expected: &Sha256, object: impl Fn() -> String) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |reason: String| Error::Corrupt { object: object(), reason };
        let Versioned { version } = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        if version > Self::VERSION {
            return Err(Error::Incompatible {
                what: object(),
                reason: format!(
                    "format version {version} is newer than {}, the newest known here",
                    Self::VERSION
                ),
            });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        if record.manifest_digest != *expected || Sha256::of(record.manifest.as_bytes()) != *expected {
            return Err(damaged("its manifest does not match its name".into()));
        }
        if !record.config_is_the_manifests() {
            return Err(damaged("its config is not the one of its manifest".into()));
        }
        Ok(record)
    }

    /// The config has the digest that the manifest says.
    fn config_is_the_manifests(&self) -> bool {
        #[derive(Deserialize)]
        struct Manifest {
            config: Descriptor,
        }
        #[derive(Deserialize)]
        struct Descriptor {
            digest: Sha256,
        }
        serde_json::from_str::<Manifest>(&self.manifest)
            .is_ok_and(|manifest| manifest.config.digest == Sha256::of(self.config.as_bytes()))
    }
}
