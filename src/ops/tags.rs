//! Which versions of an image there are.

use super::{Context, Result, ResultExt};
use crate::oci::ImageReference;

/// All tags of the repository that a reference is in, or of a local directory of images, sorted by their bytes.
pub fn list_tags(reference: &ImageReference, context: &Context<'_>) -> Result<Vec<String>> {
    let what = || format!("listing the tags of {reference}");
    // Mirrors that are for digests alone do not know the tags of today.
    let repository = reference.with_tag("latest").context(what)?;
    context.open(&repository).and_then(|source| source.tags()).context(what)
}
