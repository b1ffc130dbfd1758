//! To a destination, with a look at what was written.

use std::path::Path;

use super::{RechunkOptions, Rechunked, rechunk};
use crate::container::export::archive;
use crate::container::{Destination, Image, Opened, Places, Source, compare};
use crate::oci::write::LayoutWriter;
use crate::oci::{ImageReference, LocalReference};
use crate::ops::{Context, Error, Result, ResultExt, Times};

/// Writes it, reads it back as a machine would, and compares the trees.
pub fn rechunk_to(
    opened: &Opened<'_>,
    previous: Option<&Image<'_>>,
    destination: &Destination,
    options: &RechunkOptions,
    places: &Places<'_>,
    context: &Context<'_>,
) -> Result<Rechunked> {
    let write = |path: &Path, tag: Option<&str>| {
        let layout = LayoutWriter::open(path)?;
        let report = rechunk(opened, previous, &layout, tag, options, context)?;
        let local = local(path, tag)?;
        check(opened, &local, places, context)?;
        Ok::<_, Error>((report, local))
    };
    match destination {
        Destination::OciDir { path, tag } => Ok(write(path, tag.as_deref())?.0),
        Destination::OciArchive { path, tag } => {
            let temporary = archive::Temporary::beside(path)?;
            let (report, local) = write(temporary.path(), tag.as_deref())?;
            places.forget(&local, context);
            archive::write(path, |out| archive::of_directory(temporary.path(), out))?;
            Ok(report)
        }
        _ => {
            Err(Error::invalid(format!("{destination} is no image: oci:DIR[:TAG] or oci-archive:FILE[:TAG]")))
        }
    }
}

fn local(path: &Path, tag: Option<&str>) -> Result<ImageReference> {
    let text = path.to_str().ok_or_else(|| Error::invalid(format!("{} is not UTF-8", path.display())))?;
    Ok(ImageReference::OciDir(LocalReference { path: text.into(), tag: tag.map(String::from), digest: None }))
}

fn check(
    opened: &Opened<'_>,
    reference: &ImageReference,
    places: &Places<'_>,
    context: &Context<'_>,
) -> Result<()> {
    let written = places
        .open(&Source::Image(reference.clone()), context)
        .context(|| format!("reading {reference} back"))?;
    let is_same = match (&opened.image, &written.image) {
        (Some(before), Some(after)) => before.record.tree == after.record.tree,
        _ => {
            let report = compare(opened, &written, Times::Compare)?;
            report.added.is_empty() && report.removed.is_empty() && report.changed.is_empty()
        }
    };
    match is_same {
        true => Ok(()),
        false => Err(Error::bug(format!("the tree in {reference} is not that of {}", opened.name))),
    }
}
