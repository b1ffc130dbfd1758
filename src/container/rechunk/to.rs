//! To a destination, with a look at what was written.

use super::{RechunkOptions, Rechunked, rechunk, times};
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
    let kept = match previous.filter(|_| options.keep_times) {
        Some(previous) => Some(times::kept(opened, previous)?),
        None => None,
    };
    let (opened, kept_times) = kept.as_ref().map_or((opened, 0), |(opened, count)| (opened, *count));
    let (_, mut report, pushed) = put(destination, options.compression, &known, context, |desk| {
        let report = rechunk(opened, previous, desk, options, context)?;
        let written = desk.reference(report.digest)?;
        let checked = check(opened, &written, places, context);
        if desk.temporary {
            places.forget(&written, context);
        }
        checked.map(|()| (report.digest, report))
    })?;
    (report.pushed, report.kept_times) = (pushed, kept_times);
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
    let tree = |opened: &Opened<'_>| opened.image.as_ref().map(|image| image.record.tree);
    if tree(opened).is_some() && tree(opened) == tree(&written) {
        return Ok(());
    }
    let report = compare(opened, &written, Times::Compare)?;
    match report.added.is_empty() && report.removed.is_empty() && report.changed.is_empty() {
        true => Ok(()),
        false => Err(Error::bug(format!("the tree in {reference} is not that of {}", opened.name))),
    }
}
