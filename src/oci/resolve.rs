//! From a document to the manifest for a platform, the same walk for every kind of source.

use std::collections::BTreeSet;

use super::limits::{DESCRIPTORS, DOCUMENT_BYTES, DOCUMENTS, INDEX_DEPTH};
use super::manifest::{Descriptor, Document, IndexEntry, Manifest, parse_config, parse_document};
use super::platform::Platform;
use super::source::ResolvedImage;
use super::{Error, Result};
use crate::digest::Sha256;
use crate::names::printable;

/// What the walk is to fetch.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// A manifest or index.
    Document(&'a Descriptor),
    /// A config blob.
    Config(&'a Descriptor),
}

/// A document and what the source called it.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub bytes: Vec<u8>,
    pub media_type: Option<String>,
}

/// Walks from `top`, which the caller got by tag or digest, to the image for `platform`. `fetch` gets documents
/// and configs by digest; what it returns is checked here.
///
/// An index may list indexes, and entries that do not say for which platform they are; such entries are looked
/// into after those that say the right one.
pub fn resolve_image(
    what: &str,
    top: Fetched,
    platform: &Platform,
    fetch: &mut dyn FnMut(Wanted<'_>) -> Result<Fetched>,
) -> Result<ResolvedImage> {
    let mut walk = Walk { what, platform, fetch, listed: 0, fetched: 0, offered: BTreeSet::new() };
    let top_digest = Sha256::of(&top.bytes);
    let Some(mut image) = walk.visit(top, 0)? else {
        return Err(walk.nothing_fits());
    };
    image.index_digest = (image.manifest_digest != top_digest).then_some(top_digest);
    Ok(image)
}

struct Walk<'a> {
    what: &'a str,
    platform: &'a Platform,
    fetch: &'a mut dyn FnMut(Wanted<'_>) -> Result<Fetched>,
    /// Entries of all indexes so far.
    listed: usize,
    /// Documents and configs fetched so far.
    fetched: usize,
    /// Platforms seen that do not fit.
    offered: BTreeSet<String>,
}

impl Walk<'_> {
    /// The image that a document is or leads to; `None` when it is for other platforms.
    fn visit(&mut self, document: Fetched, depth: usize) -> Result<Option<ResolvedImage>> {
        match parse_document(&document.bytes, document.media_type.as_deref(), self.what)? {
            Document::Manifest(manifest) => self.finish(document.bytes, manifest),
            Document::Index(_) if depth == INDEX_DEPTH => {
                let reason = format!("its indexes are nested more than {INDEX_DEPTH} deep");
                Err(Error::malformed(self.what, reason))
            }
            Document::Index(entries) => {
                self.listed += entries.len();
                if self.listed > DESCRIPTORS {
                    let reason = format!("its indexes list more than {DESCRIPTORS} images");
                    return Err(Error::malformed(self.what, reason));
                }
                for entry in self.candidates(&entries) {
                    let next = self.fetch(Wanted::Document(&entry.descriptor))?;
                    if let Some(image) = self.visit(next, depth + 1)? {
                        return Ok(Some(image));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The entries that may be for the platform, best first: exact before compatible, and what does not say last.
    /// Of equals the first, as other tools do.
    fn candidates<'e>(&mut self, entries: &'e [IndexEntry]) -> Vec<&'e IndexEntry> {
        let mut ranked = Vec::new();
        for entry in entries.iter().filter(|entry| entry.may_be_image()) {
            match &entry.platform {
                None => ranked.push((u32::MAX, entry)),
                Some(offered) => match self.platform.rank(offered) {
                    Some(rank) => ranked.push((rank, entry)),
                    None => self.does_not_fit(offered),
                },
            }
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Gets a document or config and checks size and digest.
    fn fetch(&mut self, wanted: Wanted<'_>) -> Result<Fetched> {
        let (Wanted::Document(descriptor) | Wanted::Config(descriptor)) = wanted;
        let Descriptor { digest, size, media_type, .. } = descriptor;
        let what = || match wanted {
            Wanted::Document(_) => format!("manifest {digest} of {}", self.what),
            Wanted::Config(_) => format!("config {digest} of {}", self.what),
        };
        if *size > DOCUMENT_BYTES {
            return Err(Error::TooLarge { what: what(), size: *size, limit: DOCUMENT_BYTES });
        }
        self.fetched += 1;
        if self.fetched > DOCUMENTS {
            let reason = format!("more than {DOCUMENTS} documents had to be looked into");
            return Err(Error::malformed(self.what, reason));
        }
        let Fetched { bytes, media_type: found_type } = (self.fetch)(wanted)?;
        let wrong = |expected, found| Error::Verification { what: what(), expected, found };
        if bytes.len() as u64 != *size {
            return Err(wrong(format!("{size} bytes"), format!("{} bytes", bytes.len())));
        }
        let found = Sha256::of(&bytes);
        if found != *digest {
            return Err(wrong(digest.to_string(), found.to_string()));
        }
        let media_type = Some(media_type.clone()).filter(|t| !t.is_empty()).or(found_type);
        Ok(Fetched { bytes, media_type })
    }

    fn finish(&mut self, bytes: Vec<u8>, manifest: Manifest) -> Result<Option<ResolvedImage>> {
        let config_bytes = self.fetch(Wanted::Config(&manifest.config))?.bytes;
        let (config, layers) = parse_config(&config_bytes, &manifest, self.what)?;
        let offered = Platform {
            os: config.os.clone(),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
        };
        if self.platform.rank(&offered).is_none() {
            self.does_not_fit(&offered);
            return Ok(None);
        }
        Ok(Some(ResolvedImage {
            manifest_digest: Sha256::of(&bytes),
            index_digest: None,
            manifest: bytes,
            config_bytes,
            config,
            annotations: manifest.annotations,
            layers,
        }))
    }

    fn does_not_fit(&mut self, offered: &Platform) {
        // Attestations are listed under the platform unknown/unknown.
        if offered.os != "unknown" {
            self.offered.insert(printable(offered.to_string().as_bytes()));
        }
    }

    fn nothing_fits(self) -> Error {
        let offered: Vec<String> = self.offered.into_iter().collect();
        let offered = if offered.is_empty() { "none".into() } else { offered.join(", ") };
        Error::incompatible(self.what, format!("it has no image for {}; there is {offered}", self.platform))
    }
}
