//! Writing an image layout (image-spec, image-layout.md).
//!
//! Blobs get their names when they are whole; the last step is one rename of `index.json`, so that whoever reads the layout
//! meanwhile sees the image before or the image after. The same input gives the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::manifest::{Compression, LayerDescriptor};
use super::verify::VerifyingReader;
use super::{Error, Result, chunked};
use crate::digest::{Sha256, Sha256Hasher};
use crate::fsx::{self, Dir};

const INDEX: &str = "index.json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Of every image that is written.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// An index of a layout has a few hundred bytes an image.
const INDEX_BYTES: u64 = 4 << 20;

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerCompression {
    #[default]
    Gzip,
    Zstd,
    /// zstd of which a reader may fetch single files.
    ZstdChunked,
    None,
}

impl LayerCompression {
    fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd | Self::ZstdChunked => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::None => "application/vnd.oci.image.layer.v1.tar",
        }
    }
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLayer {
    pub digest: Sha256,
    pub diff_id: Sha256,
    /// Compressed.
    pub size: u64,
    compression: LayerCompression,
    /// What its descriptor says beside that.
    pub annotations: BTreeMap<String, String>,
}

impl WrittenLayer {
    /// A layer of another image, as it is there.
    pub fn of(layer: &LayerDescriptor) -> Self {
        Self {
            digest: layer.digest,
            diff_id: layer.diff_id,
            size: layer.size,
            compression: match layer.compression {
                Compression::None => LayerCompression::None,
                Compression::Gzip => LayerCompression::Gzip,
                Compression::Zstd => LayerCompression::Zstd,
            },
            annotations: layer.annotations.clone(),
        }
    }
}

/// A layout that is being written.
#[derive(Debug)]
pub struct LayoutWriter {
    shown: String,
    layout: Dir,
    blobs: Dir,
    sync: fsx::FilesystemSync,
}

impl LayoutWriter {
    /// Opens a layout, or makes one in a directory that is empty or missing; those above it must be there.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let failed = Error::io(format!("making the image layout {shown}"));
        let make = || {
            let layout = match fsx::open_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
                    let parent = fsx::open_dir(parent.unwrap_or(Path::new(".")))?;
                    parent.create_dir(name)?;
                    fsx::open_dir(path)?
                }
                opened => opened?,
            };
            let sync = fsx::FilesystemSync::begin(&layout)?;
            if fsx::read_limited(&layout, "oci-layout", 4096)?.is_none() {
                if !fsx::list_dir(&layout)?.is_empty() {
                    return Err(io::Error::other("it is not empty, and no image layout"));
                }
                fsx::write_atomic(&layout, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
            }
            let blobs = fsx::ensure_dir(&layout, "blobs", 0o755)?;
            let blobs = fsx::ensure_dir(&blobs, "sha256", 0o755)?;
            Ok((layout, blobs, sync))
        };
        let (layout, blobs, sync) = make().map_err(failed)?;
        Ok(Self { shown, layout, blobs, sync })
    }

    fn error(&self, what: &str) -> impl FnOnce(io::Error) -> Error {
        Error::io(format!("writing {what} to {}", self.shown))
    }

    fn temporary(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.blobs, name, flags, Mode::from_raw_mode(0o644))?.into())
    }

    /// Writes a document.
    fn document(&self, value: &Value) -> Result<(Sha256, u64)> {
        let bytes = serde_json::to_vec(value).expect("JSON can be printed");
        let digest = Sha256::of(&bytes);
        let name = digest.hex();
        fsx::write_atomic(&self.blobs, &name, &bytes, 0o644)
            .map_err(self.error(&format!("blob {digest}")))?;
        Ok((digest, bytes.len() as u64))
    }

    /// Writes a layer: `write` gives its tar.
    pub fn layer<E: From<Error>>(
        &self,
        compression: LayerCompression,
        write: impl FnOnce(&mut dyn Write) -> std::result::Result<(), E>,
    ) -> std::result::Result<WrittenLayer, E> {
        self.under_another_name(|temporary| self.layer_as(temporary, compression, write))
    }

    /// Copies a layer of another image, which is checked on the way.
    pub fn borrow(&self, layer: &LayerDescriptor, content: impl Read) -> Result<WrittenLayer> {
        let LayerDescriptor { digest, size, .. } = layer;
        let context = || format!("copying blob {digest}");
        self.under_another_name(|temporary| {
            let mut file = self.temporary(temporary).map_err(self.error("a layer"))?;
            let mut content = VerifyingReader::new(content, *digest, *size);
            io::copy(&mut content, &mut file).map_err(|error| Error::from_io(error, context))?;
            content.finish().map_err(|error| Error::from_io(error, context))?;
            fsx::rename(&self.blobs, temporary, &self.blobs, &digest.hex()).map_err(self.error("a layer"))
        })?;
        Ok(WrittenLayer::of(layer))
    }

    /// What fails leaves nothing behind.
    fn under_another_name<T, E>(
        &self,
        write: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        // Processes of two containers may have one number and one layout.
        let temporary = format!(".new-{}", uuid::Uuid::new_v4().simple());
        let written = write(&temporary);
        if written.is_err() {
            // What was wrong is told already.
            let _ = fsx::remove_file(&self.blobs, &temporary);
        }
        written
    }

    fn layer_as<E: From<Error>>(
        &self,
        temporary: &str,
        compression: LayerCompression,
        write: impl FnOnce(&mut dyn Write) -> std::result::Result<(), E>,
    ) -> std::result::Result<WrittenLayer, E> {
        let file = self.temporary(temporary).map_err(self.error("a layer"))?;
        let compressed = Hashing::new(BufWriter::with_capacity(1 << 20, file));
        let mut tar = Hashing::new(Encoder::new(compression, compressed).map_err(self.error("a layer"))?);
        write(&mut tar)?;
        let diff_id = tar.hash.finish();
        let (compressed, annotations) = tar.inner.finish().map_err(self.error("a layer"))?;
        let (digest, size) = (compressed.hash.finish(), compressed.bytes);
        compressed.inner.into_inner().map_err(|e| self.error("a layer")(e.into_error()))?;
        fsx::rename(&self.blobs, temporary, &self.blobs, &digest.hex()).map_err(self.error("a layer"))?;
        Ok(WrittenLayer { digest, diff_id, size, compression, annotations })
    }

    /// Writes config and manifest, and names the image in the index. Durable when it returns.
    pub fn image(&self, config: &Value, layers: &[WrittenLayer], tag: Option<&str>) -> Result<Sha256> {
        let (config, config_size) = self.document(config)?;
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                let mut descriptor = json!({
                    "mediaType": layer.compression.media_type(),
                    "digest": layer.digest,
                    "size": layer.size,
                });
                if !layer.annotations.is_empty() {
                    descriptor["annotations"] = json!(layer.annotations);
                }
                descriptor
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": config, "size": config_size},
            "layers": layers,
        });
        let (digest, size) = self.document(&manifest)?;
        let mut descriptor = json!({"mediaType": MANIFEST_TYPE, "digest": digest, "size": size});
        if let Some(tag) = tag {
            descriptor["annotations"] = json!({ REF_NAME: tag });
        }
        self.name(descriptor, tag)?;
        Ok(digest)
    }

    /// Everything that the index will name is on disk before it does.
    fn name(&self, descriptor: Value, tag: Option<&str>) -> Result<()> {
        self.sync.sync().map_err(self.error("blobs"))?;
        let index = fsx::read_limited(&self.layout, INDEX, INDEX_BYTES).map_err(self.error(INDEX))?;
        let mut index = match index {
            None => json!({"schemaVersion": 2, "manifests": []}),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::malformed(format!("{INDEX} of {}", self.shown), e.to_string()))?,
        };
        let Some(manifests) = index["manifests"].as_array_mut() else {
            return Err(Error::malformed(
                format!("{INDEX} of {}", self.shown),
                "it has no list of manifests",
            ));
        };
        manifests.retain(|other| other["annotations"][REF_NAME].as_str() != tag);
        manifests.push(descriptor);
        let bytes = serde_json::to_vec(&index).expect("JSON can be printed");
        fsx::write_atomic(&self.layout, INDEX, &bytes, 0o644).map_err(self.error(INDEX))
    }
}

/// Counts and hashes what goes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256Hasher,
    bytes: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256Hasher::new(), bytes: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

enum Encoder<W: Write> {
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    ZstdChunked(Box<chunked::Encoder<W>>),
    None(W),
}

impl<W: Write> Encoder<W> {
    fn new(compression: LayerCompression, out: W) -> io::Result<Self> {
        Ok(match compression {
            LayerCompression::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default()))
            }
            LayerCompression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(out, 0)?),
            LayerCompression::ZstdChunked => Self::ZstdChunked(Box::new(chunked::Encoder::new(out)?)),
            LayerCompression::None => Self::None(out),
        })
    }

    /// Gives what the layer's descriptor says of the compression beside its media type.
    fn finish(self) -> io::Result<(W, BTreeMap<String, String>)> {
        let out = match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
            Self::ZstdChunked(encoder) => return encoder.finish(),
            Self::None(out) => out,
        };
        Ok((out, BTreeMap::new()))
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::ZstdChunked(encoder) => encoder.write(bytes),
            Self::None(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::ZstdChunked(encoder) => encoder.flush(),
            Self::None(out) => out.flush(),
        }
    }
}
