//! Manifests, indexes and configs of OCI and Docker (v2 schema 2), from bytes to checked types.
//!
//! Only what is used is looked at; what is looked at is checked. A document that could be read as two things is
//! refused (CVE-2021-41190), and so are keys that stand twice. `urls` of foreign layers are never followed
//! (CVE-2020-15157).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::check_keys;
use super::limits::{BLOB_BYTES, DESCRIPTORS, LAYERS};
use super::platform::Platform;
use super::{Error, Result};
use crate::digest::Sha256;

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// One layer of an image: its blob and the tar inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// Digest of the blob as stored.
    pub digest: Sha256,
    /// Size of the blob in bytes.
    pub size: u64,
    pub compression: Compression,
    /// Digest of the uncompressed tar, from the config's `rootfs.diff_ids`.
    pub diff_id: Sha256,
    pub annotations: BTreeMap<String, String>,
}

/// What is used of an image's config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    pub architecture: String,
    pub variant: Option<String>,
    pub os: String,
    /// RFC 3339, as written in the config.
    pub created: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub history: Vec<HistoryEntry>,
}

/// One line of an image's history (image-spec, config.md).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct HistoryEntry {
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub created_by: Option<String>,
    #[serde(default)]
    pub comment: Option<String>,
    /// True when the instruction made no layer.
    #[serde(default)]
    pub empty_layer: bool,
}

/// Media types that a registry is asked for.
pub const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Media types of configs of images; empty where an old tool left it out. Others are artifacts.
const CONFIG_TYPES: [&str; 3] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", ""];

/// Keys of manifests and indexes that mean something here or elsewhere; no other spelling may stand for them.
const DOCUMENT_KEYS: [&str; 13] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "annotations",
    "digest",
    "size",
    "platform",
    "os",
    "architecture",
    "variant",
];

/// The same for configs.
const CONFIG_KEYS: [&str; 12] = [
    "architecture",
    "os",
    "variant",
    "created",
    "config",
    "Labels",
    "rootfs",
    "diff_ids",
    "history",
    "created_by",
    "comment",
    "empty_layer",
];

/// A document that stands for an image.
#[derive(Debug, Clone)]
pub enum Document {
    Manifest(Manifest),
    Index(Vec<IndexEntry>),
}

/// An image manifest, before its config is known.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    pub annotations: BTreeMap<String, String>,
}

/// One of the images of an index.
#[derive(Debug, Clone)]
pub struct IndexEntry {
    pub descriptor: Descriptor,
    /// `None` where the index does not say.
    pub platform: Option<Platform>,
}

impl IndexEntry {
    /// False for what indexes list beside images: signatures, attestations, other artifacts.
    pub fn may_be_image(&self) -> bool {
        let media_type = self.descriptor.media_type.as_str();
        media_type.is_empty() || MANIFEST_TYPES.contains(&media_type)
    }
}

/// Names a blob or document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Sha256,
    pub size: u64,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<RawIndexEntry>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawIndexEntry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

/// Parses a manifest or an index. `expected` is the media type that the descriptor or the registry named.
pub fn parse_document(bytes: &[u8], expected: Option<&str>, what: &str) -> Result<Document> {
    let malformed = |reason: String| Error::malformed(what, reason);
    check_keys(bytes, &DOCUMENT_KEYS).map_err(|e| malformed(e.to_string()))?;
    let raw: RawDocument = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
    if raw.schema_version != 2 {
        let reason = format!("schema version {} is not supported, only 2", raw.schema_version);
        return Err(Error::incompatible(what, reason));
    }
    let parameterless = |t: &str| t.split(';').next().unwrap_or_default().trim().to_owned();
    let expected = expected.map(parameterless).filter(|t| MANIFEST_TYPES.contains(&t.as_str()));
    if let (Some(expected), Some(found)) = (&expected, &raw.media_type)
        && expected != found
    {
        return Err(malformed(format!("it was announced as {expected} and calls itself {found}")));
    }
    let named = raw.media_type.or(expected);
    if let Some(other) = named.as_deref().filter(|named| !MANIFEST_TYPES.contains(named)) {
        let reason = format!("it is of type {}, not an image", crate::names::printable(other.as_bytes()));
        return Err(Error::incompatible(what, reason));
    }
    let named_index = named.as_deref().map(is_index_type);
    match (raw.manifests, raw.layers, raw.config) {
        (Some(manifests), None, None) if named_index != Some(false) => {
            if manifests.len() > DESCRIPTORS {
                return Err(malformed(format!(
                    "it lists {} images, more than {DESCRIPTORS}",
                    manifests.len()
                )));
            }
            Ok(Document::Index(manifests.into_iter().map(index_entry).collect()))
        }
        (None, Some(layers), Some(config)) if named_index != Some(true) => {
            if let Some(artifact) = raw.artifact_type {
                let reason = format!("it is an artifact of type {artifact}, not an image");
                return Err(Error::incompatible(what, crate::names::printable(reason.as_bytes())));
            }
            if !CONFIG_TYPES.contains(&config.media_type.as_str()) {
                let media_type = crate::names::printable(config.media_type.as_bytes());
                let reason = format!("its config is of type {media_type}; it is an artifact, not an image");
                return Err(Error::incompatible(what, reason));
            }
            if layers.len() > LAYERS {
                return Err(malformed(format!("it has {} layers, more than {LAYERS}", layers.len())));
            }
            if let Some(layer) = layers.iter().find(|layer| layer.size > BLOB_BYTES) {
                let what = format!("layer {} of {what}", layer.digest);
                return Err(Error::TooLarge { what, size: layer.size, limit: BLOB_BYTES });
            }
            Ok(Document::Manifest(Manifest {
                config,
                layers,
                annotations: raw.annotations.unwrap_or_default(),
            }))
        }
        _ => Err(malformed(
            "it is neither clearly a manifest (config, layers) nor clearly an index (manifests)".into(),
        )),
    }
}

/// Parses the `index.json` of an image layout. Unlike an index in a registry it may list any number of images,
/// one for each tag.
pub fn parse_layout_index(bytes: &[u8], what: &str) -> Result<Vec<IndexEntry>> {
    #[derive(Deserialize)]
    struct Raw {
        manifests: Vec<RawIndexEntry>,
    }
    let malformed = |e: serde_json::Error| Error::malformed(what, e.to_string());
    check_keys(bytes, &DOCUMENT_KEYS).map_err(malformed)?;
    let raw: Raw = serde_json::from_slice(bytes).map_err(malformed)?;
    Ok(raw.manifests.into_iter().map(index_entry).collect())
}

fn is_index_type(media_type: &str) -> bool {
    media_type.ends_with(".index.v1+json") || media_type.ends_with(".manifest.list.v2+json")
}

fn index_entry(raw: RawIndexEntry) -> IndexEntry {
    let RawIndexEntry { descriptor, platform } = raw;
    let platform = platform.map(|p| Platform {
        os: p.os,
        architecture: p.architecture,
        variant: p.variant.filter(|v| !v.is_empty()),
    });
    IndexEntry { platform, descriptor }
}

#[derive(Deserialize)]
struct RawConfig {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    config: Option<RawRuntime>,
    rootfs: RawRootfs,
    #[serde(default)]
    history: Option<Vec<HistoryEntry>>,
}

#[derive(Deserialize)]
struct RawRuntime {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Vec<Sha256>,
}

/// Parses a config and joins it with its manifest's layers.
pub fn parse_config(
    bytes: &[u8],
    manifest: &Manifest,
    what: &str,
) -> Result<(ImageConfig, Vec<LayerDescriptor>)> {
    let malformed = |reason: String| Error::malformed(format!("the config of {what}"), reason);
    check_keys(bytes, &CONFIG_KEYS).map_err(|e| malformed(e.to_string()))?;
    let raw: RawConfig = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
    let (layers, diff_ids) = (&manifest.layers, raw.rootfs.diff_ids);
    if layers.len() != diff_ids.len() {
        return Err(malformed(format!("it names {} layers, the manifest {}", diff_ids.len(), layers.len())));
    }
    let layers = layers
        .iter()
        .zip(diff_ids)
        .map(|(layer, diff_id)| {
            let compression = compression(&layer.media_type).ok_or_else(|| {
                let media_type = crate::names::printable(layer.media_type.as_bytes());
                Error::incompatible(
                    format!("layer {} of {what}", layer.digest),
                    format!("media type `{media_type}` is not known"),
                )
            })?;
            Ok(LayerDescriptor {
                digest: layer.digest,
                size: layer.size,
                compression,
                diff_id,
                annotations: layer.annotations.clone().unwrap_or_default(),
            })
        })
        .collect::<Result<_>>()?;
    let config = ImageConfig {
        architecture: raw.architecture,
        variant: raw.variant.filter(|v| !v.is_empty()),
        os: raw.os,
        created: raw.created,
        labels: raw.config.and_then(|c| c.labels).unwrap_or_default(),
        history: raw.history.unwrap_or_default(),
    };
    Ok((config, layers))
}

/// What the media types of layers say. Nondistributable and foreign ones are used like any other when the
/// source has their blobs.
fn compression(media_type: &str) -> Option<Compression> {
    let suffix = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"))
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.diff.tar"))
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar"))?;
    match suffix {
        "" => Some(Compression::None),
        "+gzip" | ".gzip" => Some(Compression::Gzip),
        "+zstd" | ".zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(json: &str, expected: Option<&str>) -> Result<Document, String> {
        parse_document(json.replace("DIGEST", DIGEST).as_bytes(), expected, "x").map_err(|e| e.to_string())
    }

    const LAYER: &str =
        r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"DIGEST","size":1}"#;

    fn manifest(extra: &str) -> String {
        format!(r#"{{"schemaVersion":2,{extra}"config":{{"digest":"DIGEST","size":2}},"layers":[{LAYER}]}}"#)
    }

    #[test]
    fn manifests_and_indexes_are_told_apart() {
        assert!(matches!(parse(&manifest(""), None), Ok(Document::Manifest(m)) if m.layers.len() == 1));
        let index = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"DIGEST","size":1},
            {"digest":"DIGEST","size":1,"platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}"#;
        let Ok(Document::Index(entries)) = parse(index, None) else { panic!() };
        assert!(entries[0].may_be_image() && entries[0].platform.is_none());
        assert_eq!(entries[1].platform.as_ref().unwrap().to_string(), "linux/arm/v7");
    }

    #[test]
    fn ambiguous_and_foreign_documents_are_refused() {
        let oci = MANIFEST_TYPES[0];
        let index = MANIFEST_TYPES[1];
        let cases = [
            (manifest(r#""manifests":[],"#), None, "neither clearly"),
            (manifest(&format!(r#""mediaType":"{index}","#)), None, "neither clearly"),
            (manifest(&format!(r#""mediaType":"{oci}","#)), Some(index), "announced as"),
            (manifest(""), Some(index), "neither clearly"),
            (manifest(r#""layers":[],"#), None, "`layers` stands twice"),
            (manifest(r#""Manifests":[],"#), None, "could be meant for `manifests`"),
            (manifest(r#""annotations":{"a":"1","a":"2"},"#), None, "`a` stands twice"),
            (
                manifest(r#""mediaType":"application/vnd.docker.plugin.v1+json","#),
                None,
                "vnd.docker.plugin.v1+json, not an image",
            ),
            (
                manifest("")
                    .replace("config\":{", "config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\","),
                None,
                "an artifact, not an image",
            ),
            (manifest("").replace("\"size\":1", "\"size\":9223372036854775807"), None, "more than the limit"),
            (manifest(r#""artifactType":"text/x","#), None, "artifact of type"),
            (r#"{"schemaVersion":1}"#.into(), None, "schema version 1"),
            (r#"{"schemaVersion":2}"#.into(), None, "neither clearly"),
            (manifest("").replace("\"size\":1", "\"size\":-1"), None, "invalid value"),
            (
                manifest("").replace("\"DIGEST\",\"size\":1", "\"sha256:../../x\",\"size\":1"),
                None,
                "not a sha256 digest",
            ),
            ("[".repeat(200), None, "malformed"),
        ];
        for (json, expected, message) in cases {
            let error = parse(&json, expected).unwrap_err();
            assert!(error.contains(message), "{json}: {error}");
        }
    }

    #[test]
    fn a_config_must_fit_its_manifest() {
        let Ok(Document::Manifest(manifest)) = parse(&manifest(""), None) else { panic!() };
        let config = |diff_ids: &str| {
            let json = format!(
                r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}},
                "config":{{"Labels":{{"a":"b"}}}},"history":[{{"created_by":"x"}}]}}"#
            );
            parse_config(json.replace("DIGEST", DIGEST).as_bytes(), &manifest, "x").map_err(|e| e.to_string())
        };
        let (parsed, layers) = config(r#""DIGEST""#).unwrap();
        assert_eq!((parsed.labels["a"].as_str(), layers[0].compression), ("b", Compression::Gzip));
        assert!(config("").unwrap_err().contains("it names 0 layers, the manifest 1"));
    }

    #[test]
    fn layer_media_types_of_both_families_are_known() {
        for (media_type, expected) in [
            ("application/vnd.oci.image.layer.v1.tar", Some(Compression::None)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Some(Compression::Zstd)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Some(Compression::Gzip)),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Compression::Gzip)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+lz4", None),
            ("application/vnd.oci.empty.v1+json", None),
            ("", None),
        ] {
            assert_eq!(compression(media_type), expected, "{media_type}");
        }
    }
}
