//! `oci:` and `oci-archive:`: an OCI image layout (image-spec, image-layout.md) in a directory or a tar.

use std::collections::BTreeSet;
use std::io::Read;

use serde::Deserialize;

use super::files::Files;
use super::limits::DOCUMENT_BYTES;
use super::manifest::{Descriptor, IndexEntry, LayerDescriptor, parse_layout_index};
use super::platform::Platform;
use super::reference::{ImageReference, LocalReference, is_tag};
use super::resolve::{Fetched, Wanted, resolve_image};
use super::source::{ImageSource, ResolvedImage};
use super::{Error, Result};
use crate::digest::Sha256;
use crate::names::printable;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image layout and the image in it that was asked for.
#[derive(Debug)]
pub struct LayoutSource {
    files: Files,
    /// For messages.
    shown: String,
    reference: LocalReference,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl LayoutSource {
    /// Opens the layout. Fails when it is none.
    pub fn open(files: Files, shown: &ImageReference, reference: &LocalReference) -> Result<Self> {
        let this = Self { files, shown: shown.to_string(), reference: reference.clone() };
        let marker = this.file("oci-layout", 4096)?.ok_or_else(|| {
            Error::malformed(&this.shown, "it has no file `oci-layout`, so it is not an OCI image layout")
        })?;
        let marker: Marker = serde_json::from_slice(&marker)
            .map_err(|e| Error::malformed(format!("oci-layout of {}", this.shown), e.to_string()))?;
        if !marker.image_layout_version.starts_with("1.") {
            let version = printable(marker.image_layout_version.as_bytes());
            return Err(Error::incompatible(
                &this.shown,
                format!("image layout version {version} is not known"),
            ));
        }
        Ok(this)
    }

    fn file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.files.read(name, limit, &self.shown)
    }

    fn blob(&self, digest: &Sha256) -> Result<Vec<u8>> {
        self.file(&blob_name(digest), DOCUMENT_BYTES)?.ok_or_else(|| self.missing(digest))
    }

    fn missing(&self, digest: &Sha256) -> Error {
        Error::NotFound { what: format!("blob {digest} of {}", self.shown), known: Vec::new() }
    }

    /// All images.
    fn entries(&self) -> Result<Vec<IndexEntry>> {
        let index = self.file("index.json", DOCUMENT_BYTES)?;
        let index = index.ok_or_else(|| Error::malformed(&self.shown, "it has no file `index.json`"))?;
        parse_layout_index(&index, &format!("index.json of {}", self.shown))
    }

    /// The descriptor of the image that was asked for. A tag may stand several times, once for each platform; of
    /// equals the last one counts, it was added last.
    fn find(&self, platform: &Platform) -> Result<Descriptor> {
        let entries = self.entries()?;

        let tag = self.reference.tag.as_deref();
        let candidates: Vec<&IndexEntry> =
            entries.iter().filter(|entry| tag.is_none() || name(entry) == tag).collect();
        if candidates.is_empty() {
            return Err(Error::NotFound { what: self.shown.clone(), known: known(&entries) });
        }
        let best = candidates.iter().filter_map(|entry| rank(entry, platform)).min();
        let fitting: Vec<&IndexEntry> =
            candidates.iter().filter(|entry| rank(entry, platform) == best).copied().collect();
        let names: BTreeSet<Option<&str>> = candidates.iter().map(|entry| name(entry)).collect();
        match fitting[..] {
            _ if best.is_none() => {
                let offered: BTreeSet<String> = candidates
                    .iter()
                    .filter_map(|e| Some(printable(e.platform.as_ref()?.to_string().as_bytes())))
                    .collect();
                let offered = offered.into_iter().collect::<Vec<_>>().join(", ");
                let reason = format!("it has no image for {platform}; there is {offered}");
                Err(Error::incompatible(&self.shown, reason))
            }
            [only] if names.len() == 1 => Ok(only.descriptor.clone()),
            [.., last] if tag.is_some() => Ok(last.descriptor.clone()),
            _ => Err(Error::InvalidReference {
                text: self.shown.clone(),
                reason: match known(&entries)[..] {
                    [] => "several images without a name are there; add @ and a digest".into(),
                    ref tags => format!("several images are there; add one of the tags {}", tags.join(", ")),
                },
            }),
        }
    }
}

fn name(entry: &IndexEntry) -> Option<&str> {
    Some(entry.descriptor.annotations.as_ref()?.get(REF_NAME)?.as_str())
}

/// The tags of a layout, for messages.
fn known(entries: &[IndexEntry]) -> Vec<String> {
    let names: BTreeSet<&str> = entries.iter().filter_map(name).collect();
    names.into_iter().map(|name| printable(name.as_bytes())).collect()
}

fn rank(entry: &IndexEntry, platform: &Platform) -> Option<u32> {
    entry.platform.as_ref().map_or(Some(u32::MAX), |offered| platform.rank(offered))
}

fn blob_name(digest: &Sha256) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

impl ImageSource for LayoutSource {
    fn resolve(&self, platform: &Platform) -> Result<ResolvedImage> {
        // Pinned: the blob is there or it is not, whatever index.json says by now.
        let (digest, media_type) = match self.reference.digest {
            Some(digest) => (digest, None),
            None => {
                let found = self.find(platform)?;
                (found.digest, Some(found.media_type).filter(|t| !t.is_empty()))
            }
        };
        let bytes = self.blob(&digest)?;
        let found = Sha256::of(&bytes);
        if found != digest {
            let what = self.shown.clone();
            return Err(Error::Verification { what, expected: digest.to_string(), found: found.to_string() });
        }
        let top = Fetched { bytes, media_type };
        resolve_image(&self.shown, top, platform, &mut |wanted| match wanted {
            Wanted::Document(d) | Wanted::Config(d) => {
                Ok(Fetched { bytes: self.blob(&d.digest)?, media_type: None })
            }
        })
    }

    fn open_blob(&self, layer: &LayerDescriptor) -> Result<Box<dyn Read + Send>> {
        let file = self.files.open(&blob_name(&layer.digest), &self.shown)?;
        file.map(|(file, _)| file).ok_or_else(|| self.missing(&layer.digest))
    }

    fn tags(&self) -> Result<Vec<String>> {
        let entries = self.entries()?;
        let names: BTreeSet<&str> = entries.iter().filter_map(name).filter(|name| is_tag(name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}
