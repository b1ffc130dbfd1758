//! `docker-archive:`: what `docker save` and `podman save` write: a tar with `manifest.json`, configs and layers.
//!
//! The archive has no manifest in the sense of OCI. One is made from what is there, always the same for the same
//! image, so that its digest can name the image in the store.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::compress::sniff;
use super::files::Files;
use super::json::check_keys;
use super::limits::{DOCUMENT_BYTES, LAYERS};
use super::manifest::{Compression, LayerDescriptor};
use super::platform::Platform;
use super::reference::{ImageReference, LocalReference};
use super::resolve::{Fetched, resolve_image};
use super::source::{ImageSource, ResolvedImage};
use super::{Error, Result};
use crate::digest::{Sha256, Sha256Hasher};
use crate::names::printable;

/// A `docker save` archive and the image in it that was asked for.
#[derive(Debug)]
pub struct DockerArchiveSource {
    files: Files,
    shown: String,
    reference: LocalReference,
    /// The file of each layer, known once the image was resolved.
    names: Mutex<HashMap<Sha256, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Item {
    fn tags(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }
}

impl DockerArchiveSource {
    pub fn open(files: Files, shown: &ImageReference, reference: &LocalReference) -> Result<Self> {
        Ok(Self { files, shown: shown.to_string(), reference: reference.clone(), names: Mutex::default() })
    }

    fn find(&self) -> Result<Item> {
        let file = self.files.read("manifest.json", DOCUMENT_BYTES, &self.shown)?;
        let file = file.ok_or_else(|| Error::malformed(&self.shown, "it has no file `manifest.json`"))?;
        let malformed = |e: serde_json::Error| {
            Error::malformed(format!("manifest.json of {}", self.shown), e.to_string())
        };
        check_keys(&file, &["Config", "RepoTags", "Layers"]).map_err(malformed)?;
        let mut items: Vec<Item> = serde_json::from_slice(&file).map_err(malformed)?;
        let known: Vec<String> =
            items.iter().flat_map(Item::tags).map(|tag| printable(tag.as_bytes())).collect();
        if let Some(wanted) = &self.reference.tag {
            let fits = |name: &String| name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted);
            items.retain(|item| item.tags().iter().any(fits));
        }
        match items.len() {
            0 => Err(Error::NotFound { what: self.shown.clone(), known }),
            1 => Ok(items.remove(0)),
            _ => Err(Error::InvalidReference {
                text: self.shown.clone(),
                reason: format!("several images are there: {}", known.join(", ")),
            }),
        }
    }

    /// Size, digest and compression of a layer. The archive says none of them; an uncompressed layer's digest is
    /// its diff_id, and is checked while it is read.
    fn describe(&self, name: &str, diff_id: &Sha256) -> Result<(u64, Sha256, Compression)> {
        let what = format!("layer {} of {}", printable(name.as_bytes()), self.shown);
        let missing = || Error::NotFound { what: what.clone(), known: Vec::new() };
        let reading = || format!("reading {what}");
        let (mut file, size) = self.files.open(name, &self.shown)?.ok_or_else(missing)?;
        let mut buffer = vec![0; 64 << 10];
        let mut filled = file.read(&mut buffer).map_err(Error::io(reading()))?;
        let compression = sniff(&buffer[..filled]);
        if compression == Compression::None {
            return Ok((size, *diff_id, compression));
        }
        let mut hasher = Sha256Hasher::new();
        while filled > 0 {
            hasher.update(&buffer[..filled]);
            filled = file.read(&mut buffer).map_err(Error::io(reading()))?;
        }
        Ok((size, hasher.finish(), compression))
    }

    /// The manifest that a registry would have for this image.
    fn manifest(&self, item: &Item, config: &[u8]) -> Result<Vec<u8>> {
        #[derive(Deserialize)]
        struct Config {
            rootfs: Rootfs,
        }
        #[derive(Deserialize)]
        struct Rootfs {
            diff_ids: Vec<Sha256>,
        }
        let malformed = |reason: String| Error::malformed(format!("the config of {}", self.shown), reason);
        let Config { rootfs: Rootfs { diff_ids } } =
            serde_json::from_slice(config).map_err(|e| malformed(e.to_string()))?;
        if diff_ids.len() != item.layers.len() || diff_ids.len() > LAYERS {
            return Err(malformed(format!(
                "it names {} layers, the archive {}",
                diff_ids.len(),
                item.layers.len()
            )));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in item.layers.iter().zip(&diff_ids) {
            let (size, digest, compression) = self.describe(name, diff_id)?;
            let media_type = match compression {
                Compression::None => "application/vnd.oci.image.layer.v1.tar",
                Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
                Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            };
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, name.clone());
            layers.push(serde_json::json!({"mediaType": media_type, "digest": digest, "size": size}));
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Sha256::of(config),
                "size": config.len(),
            },
            "layers": layers,
        });
        Ok(serde_json::to_vec(&manifest).expect("plain data"))
    }
}

impl ImageSource for DockerArchiveSource {
    fn resolve(&self, platform: &Platform) -> Result<ResolvedImage> {
        let item = self.find()?;
        let config = self.files.read(&item.config, DOCUMENT_BYTES, &self.shown)?;
        let config = config.ok_or_else(|| Error::malformed(&self.shown, "its config is missing"))?;
        let manifest = self.manifest(&item, &config)?;
        if let Some(digest) = self.reference.digest
            && Sha256::of(&manifest) != digest
        {
            let found = Sha256::of(&manifest).to_string();
            return Err(Error::Verification {
                what: self.shown.clone(),
                expected: digest.to_string(),
                found,
            });
        }
        let top = Fetched { bytes: manifest, media_type: None };
        resolve_image(&self.shown, top, platform, &mut |_| {
            Ok(Fetched { bytes: config.clone(), media_type: None })
        })
    }

    fn open_blob(&self, layer: &LayerDescriptor) -> Result<Box<dyn Read + Send>> {
        let missing = || Error::NotFound {
            what: format!("layer {} of {}", layer.digest, self.shown),
            known: Vec::new(),
        };
        let name = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&layer.digest).cloned();
        let file = self.files.open(&name.ok_or_else(missing)?, &self.shown)?;
        file.map(|(file, _)| file).ok_or_else(missing)
    }
}
