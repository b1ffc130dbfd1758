//! To a destination, with a look at what was written.

use super::{RechunkOptions, Rechunked, rechunk};
use crate::container::destination::put;
use crate::container::{Image, ImageDestination, Opened, Places, Source, compare};
use crate::oci::ImageReference;
use crate::ops::{Context, Error, Result, ResultExt, Times};

/// Writes it, reads it back as a machine would, compares the trees, and brings it to the destination.
pub fn rechunk_to(
    opened: &Opened<'_>,
    previous: Option<&Image<'_>>,
    destination: &ImageDestination,
    options: &RechunkOptions,
    places: &Places<'_>,
    context: &Context<'_>,
) -> Result<Rechunked> {
    let known: Vec<_> = opened.image.iter().chain(previous).collect();
    let (_, mut report, pushed) = put(destination, options.compression, &known, context, |desk| {
        let report = rechunk(opened, previous, desk, options, context)?;
        let written = desk.reference(report.digest)?;
        let checked = check(opened, &written, places, context);
        if desk.temporary {
            places.forget(&written, context);
        }
        checked.map(|()| (report.digest, report))
    })?;
    report.pushed = pushed;
    Ok(report)
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
