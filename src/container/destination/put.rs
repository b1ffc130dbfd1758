//! A layout that somebody fills, on its way to the destination.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::archive::{self, Temporary};
use super::{ImageDestination, docker};
use crate::container::Image;
use crate::digest::Sha256;
use crate::oci::manifest::{Document, LayerDescriptor, Manifest, parse_document};
use crate::oci::push::{Outgoing, OutgoingBlob, Pushed, push};
use crate::oci::verify::VerifyingReader;
use crate::oci::write::{LayerCompression, LayoutWriter, MANIFEST_TYPE, WrittenLayer};
use crate::oci::{self, ImageReference, ImageSource, LocalReference, RegistryReference};
use crate::ops::{Context, Error, Result};
use crate::progress::Event;

/// Where an image is made.
pub(in crate::container) struct Desk<'d> {
    pub layout: LayoutWriter,
    pub tag: Option<&'d str>,
    pub compression: LayerCompression,
    path: PathBuf,
    /// The layout goes when the image is at its destination.
    pub temporary: bool,
    /// Layers of other images that a registry is sent from where they are, if at all.
    borrowed: Option<Mutex<Borrowed>>,
}

type Borrowed = HashMap<Sha256, (LayerDescriptor, Arc<dyn ImageSource>)>;

impl Desk<'_> {
    /// The image, once it is written: by the name that it keeps, or by its digest.
    pub fn reference(&self, digest: Sha256) -> Result<ImageReference> {
        let path = self.path.to_str();
        let path = path.ok_or_else(|| Error::invalid(format!("{} is not UTF-8", self.path.display())))?;
        let tag = self.tag.filter(|_| !self.temporary).map(String::from);
        let digest = tag.is_none().then_some(digest);
        Ok(ImageReference::OciDir(LocalReference { path: path.into(), tag, digest }))
    }

    /// A layer of another image, as a part of this one.
    pub fn borrow(&self, layer: &LayerDescriptor, source: &Arc<dyn ImageSource>) -> Result<WrittenLayer> {
        match &self.borrowed {
            Some(borrowed) => {
                let mut borrowed = borrowed.lock().unwrap_or_else(PoisonError::into_inner);
                borrowed.insert(layer.digest, (layer.clone(), source.clone()));
                Ok(WrittenLayer::of(layer))
            }
            None => Ok(self.layout.borrow(layer, source.open_blob(layer)?)?),
        }
    }
}

/// Has `make` write an image, which gives its digest, and brings it to the destination. A layout is durable when it returns and has the
/// image only when that is whole, files get their name when they are whole, and a registry gets the manifest last. `known` are images
/// that may be at the destination and share blobs with this one.
pub(in crate::container) fn put<T>(
    destination: &ImageDestination,
    compression: LayerCompression,
    known: &[&Image<'_>],
    context: &Context<'_>,
    make: impl FnOnce(&Desk<'_>) -> Result<(Sha256, T)>,
) -> Result<(Sha256, T, Option<Pushed>)> {
    let compression = destination.compression(compression);
    let at = |path: &Path, temporary: bool, tag: Option<&str>| {
        let layout = LayoutWriter::open(path)?;
        let borrowed = matches!(destination, ImageDestination::Registry(_)).then(Mutex::default);
        let desk = Desk { layout, tag, compression, path: path.to_owned(), temporary, borrowed };
        let (digest, made) = make(&desk)?;
        let borrowed = desk.borrowed.map(|b| b.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok::<_, Error>((digest, made, borrowed.unwrap_or_default()))
    };
    match destination {
        ImageDestination::OciDir { path, tag } => {
            let (digest, made, _) = at(path, false, tag.as_deref())?;
            Ok((digest, made, None))
        }
        ImageDestination::OciArchive { path, tag } => {
            let temporary = Temporary::beside(path)?;
            let (digest, made, _) = at(temporary.path(), true, tag.as_deref())?;
            archive::write(path, |out| archive::of_directory(temporary.path(), out))?;
            Ok((digest, made, None))
        }
        ImageDestination::DockerArchive { path, tag } => {
            let temporary = Temporary::beside(path)?;
            let (digest, made, _) = at(temporary.path(), true, None)?;
            archive::write(path, |out| docker::write(temporary.path(), &digest, tag.as_deref(), out))?;
            Ok((digest, made, None))
        }
        ImageDestination::Registry(reference) => {
            let directory = context.env.var("TMPDIR").unwrap_or("/var/tmp");
            let temporary = Temporary::beside(&Path::new(directory).join("reroot-image"))?;
            let (digest, made, borrowed) = at(temporary.path(), true, None)?;
            context.reporter.report(Event::Phase(&format!("pushing to {destination}")));
            let pushed = to_registry(temporary.path(), &digest, &borrowed, reference, known, context)?;
            Ok((digest, made, Some(pushed)))
        }
    }
}

fn to_registry(
    layout: &Path,
    digest: &Sha256,
    borrowed: &Borrowed,
    to: &RegistryReference,
    known: &[&Image<'_>],
    context: &Context<'_>,
) -> Result<Pushed> {
    let blobs = Blobs(layout);
    let (bytes, manifest) = blobs.manifest(digest)?;
    let mut repositories = HashMap::new();
    for image in known {
        let Some(ImageReference::Registry(reference)) = &image.reference else { continue };
        let config = Sha256::of(image.record.config.as_bytes());
        repositories
            .extend(image.blobs.iter().map(|blob| blob.digest).chain([config]).map(|d| (d, reference)));
    }
    let outgoing = std::iter::once(&manifest.config).chain(&manifest.layers).map(|descriptor| {
        let digest = descriptor.digest;
        let known_in = repositories.get(&digest).map(|reference| (*reference).clone());
        OutgoingBlob { digest, size: descriptor.size, known_in }
    });
    let open = |digest: &Sha256| match borrowed.get(digest) {
        Some((layer, source)) => {
            let reader = VerifyingReader::new(source.open_blob(layer)?, layer.digest, layer.size);
            Ok(Box::new(reader) as Box<dyn Read + Send>)
        }
        None => blobs.open(digest),
    };
    let image = Outgoing {
        manifest: bytes,
        media_type: MANIFEST_TYPE.into(),
        blobs: outgoing.collect(),
        open: &open,
    };
    Ok(push(&image, to, context.env)?)
}

/// The blobs of a layout.
pub(super) struct Blobs<'l>(pub &'l Path);

impl Blobs<'_> {
    pub fn open(&self, digest: &Sha256) -> oci::Result<Box<dyn Read + Send>> {
        let open = || {
            let directory = crate::fsx::open_dir(&self.0.join("blobs/sha256"))?;
            Ok(directory.open(digest.hex())?.into_std())
        };
        Ok(Box::new(open().map_err(oci::Error::io(format!("opening blob {digest}")))?))
    }

    /// A manifest as its digest names it, and as it reads.
    pub fn manifest(&self, digest: &Sha256) -> Result<(Vec<u8>, Manifest)> {
        let mut bytes = Vec::new();
        let what = format!("manifest {digest}");
        self.open(digest)?.read_to_end(&mut bytes).map_err(Error::io(format!("reading {what}")))?;
        match parse_document(&bytes, None, &what)? {
            Document::Manifest(manifest) => Ok((bytes, manifest)),
            Document::Index(_) => Err(Error::bug(format!("{what} that was written is an index"))),
        }
    }
}
