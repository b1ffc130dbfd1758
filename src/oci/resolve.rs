//! From a document to the manifest for a platform, the same walk for every kind of source.

use super::limits::{DESCRIPTORS, DOCUMENT_BYTES, INDEX_DEPTH};
use super::manifest::{Descriptor, Document, IndexEntry, Manifest, parse_config, parse_document};
use super::platform::Platform;
use super::source::ResolvedImage;
use super::{Error, Result};
use crate::digest::Sha256;

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
pub fn resolve_image(
    what: &str,
    top: Fetched,
    platform: &Platform,
    fetch: &mut dyn FnMut(Wanted<'_>) -> Result<Fetched>,
) -> Result<ResolvedImage> {
    let mut document = top;
    let mut index_digest = None;
    let mut looked_at = 0;
    for _ in 0..=INDEX_DEPTH {
        let digest = Sha256::of(&document.bytes);
        match parse_document(&document.bytes, document.media_type.as_deref(), what)? {
            Document::Manifest(manifest) => {
                let found = Found { digest, index_digest, bytes: document.bytes, manifest };
                return finish(what, found, platform, fetch);
            }
            Document::Index(entries) => {
                index_digest.get_or_insert(digest);
                looked_at += entries.len();
                if looked_at > DESCRIPTORS {
                    return Err(Error::malformed(
                        what,
                        format!("its indexes list more than {DESCRIPTORS} images"),
                    ));
                }
                let chosen = choose(what, &entries, platform)?;
                let next = fetch(Wanted::Document(&chosen.descriptor))?;
                document = checked(what, &chosen.descriptor, next)?;
            }
        }
    }
    Err(Error::malformed(what, format!("its indexes are nested more than {INDEX_DEPTH} deep")))
}

struct Found {
    digest: Sha256,
    index_digest: Option<Sha256>,
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// The best entry for a platform: exact before compatible, and what does not say before nothing.
fn choose<'e>(what: &str, entries: &'e [IndexEntry], platform: &Platform) -> Result<&'e IndexEntry> {
    let rank = |entry: &IndexEntry| match &entry.platform {
        Some(offered) => platform.rank(offered),
        None => Some(1000),
    };
    // The first of equals, as other tools do.
    entries
        .iter()
        .filter_map(|e| Some((rank(e)?, e)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, e)| e)
        .ok_or_else(|| {
            let mut offered: Vec<_> =
                entries.iter().filter_map(|e| e.platform.as_ref()).map(ToString::to_string).collect();
            offered.sort();
            offered.dedup();
            let offered = crate::names::printable(offered.join(", ").as_bytes());
            Error::incompatible(what, format!("there is no image for {platform}, only for {offered}"))
        })
}

fn checked(what: &str, descriptor: &Descriptor, fetched: Fetched) -> Result<Fetched> {
    let found = Sha256::of(&fetched.bytes);
    let wrong =
        |expected: String, found: String| Error::Verification { what: what.to_owned(), expected, found };
    if descriptor.size > DOCUMENT_BYTES {
        let what = format!("{} of {what}", descriptor.digest);
        return Err(Error::TooLarge { what, size: descriptor.size, limit: DOCUMENT_BYTES });
    }
    if fetched.bytes.len() as u64 != descriptor.size {
        let (expected, found) = (descriptor.size, fetched.bytes.len());
        return Err(wrong(format!("{expected} bytes in {}", descriptor.digest), format!("{found} bytes")));
    }
    if found != descriptor.digest {
        return Err(wrong(descriptor.digest.to_string(), found.to_string()));
    }
    let media_type = Some(descriptor.media_type.clone()).filter(|t| !t.is_empty()).or(fetched.media_type);
    Ok(Fetched { bytes: fetched.bytes, media_type })
}

fn finish(
    what: &str,
    found: Found,
    platform: &Platform,
    fetch: &mut dyn FnMut(Wanted<'_>) -> Result<Fetched>,
) -> Result<ResolvedImage> {
    let Found { digest, index_digest, bytes, manifest } = found;
    if manifest.config.size > DOCUMENT_BYTES {
        let what = format!("the config of {what}");
        return Err(Error::TooLarge { what, size: manifest.config.size, limit: DOCUMENT_BYTES });
    }
    let config_bytes = fetch(Wanted::Config(&manifest.config))?;
    let config_bytes = checked(what, &manifest.config, config_bytes)?.bytes;
    let (config, layers) = parse_config(&config_bytes, &manifest, what)?;
    let offered = Platform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
    };
    if platform.rank(&offered).is_none() {
        let offered = crate::names::printable(offered.to_string().as_bytes());
        return Err(Error::incompatible(what, format!("it is an image for {offered}, wanted {platform}")));
    }
    Ok(ResolvedImage {
        manifest_digest: digest,
        index_digest,
        manifest: bytes,
        config_bytes,
        config,
        annotations: manifest.annotations,
        layers,
    })
}
