//! Pulling an image to keep it under its own name.

use serde::Serialize;

use super::super::fetch::{FetchPlan, resolve};
use super::super::pull::{Bootable, Pulled};
use super::super::{Context, Result, Run};
use super::ImageFacts;
use crate::oci::ImageReference;
use crate::oci::platform::Platform;
use crate::ops::status::ImageStatus;
use crate::sysroot::Sysroot;

#[derive(Debug, Clone, Default)]
pub struct PullImageOptions {
    /// `None`: that of this machine.
    pub platform: Option<Platform>,
    pub run: Run,
}

/// The image that is in the store now, or would be.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PulledImage {
    pub dry_run: bool,
    pub image: ImageStatus,
    /// What had to be fetched, decided before fetching.
    pub fetch: FetchPlan,
    /// What was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulled: Option<Pulled>,
}

/// Fetches an image and keeps it until `remove`, bootable or not.
pub fn pull(
    sysroot: &Sysroot,
    reference: &ImageReference,
    options: &PullImageOptions,
    context: &Context<'_>,
) -> Result<PulledImage> {
    let resolved = resolve(reference, options.platform.as_ref(), context)?;
    let repo = sysroot.repo();
    let facts = ImageFacts::of_config(&resolved.image.config);
    let image = ImageStatus::new(&resolved.reference, *resolved.digest(), facts);
    let fetch = resolved.plan(repo)?;
    let pulled = match options.run {
        Run::Dry => None,
        Run::Real => {
            let guard = sysroot.shared_for_fetching(context.wait)?;
            Some(resolved.pull(
                repo,
                &guard,
                Bootable::NotNeeded,
                Some(resolved.reference.to_string()),
                context,
            )?)
        }
    };
    Ok(PulledImage { dry_run: options.run.is_dry(), image, fetch, pulled })
}
