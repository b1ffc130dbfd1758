//! Taking a stored image's name away.

use serde::Serialize;

use super::super::{Context, Error, Result, Run};
use super::find::spellings;
use crate::digest::Sha256;
use crate::sysroot::{DeploymentKey, Sysroot};

/// The name that is gone, and what still keeps the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedImage {
    pub dry_run: bool,
    /// True when it had no name of its own before: only deployments keep it.
    pub unchanged: bool,
    pub reference: String,
    pub digest: Sha256,
    /// Other names of the same image.
    pub other_references: Vec<String>,
    /// Deployments made from it. Without these and without other names, the next prune frees it.
    pub deployments: Vec<DeploymentKey>,
}

/// Removes the name `image`. Space is freed by `prune`. An image that has no name any more but is deployed is fine,
/// so that an interrupted command can be repeated.
pub fn remove(sysroot: &Sysroot, image: &str, run: Run, context: &Context<'_>) -> Result<RemovedImage> {
    let repo = sysroot.repo();
    // A gc that marks at this moment must see the name or not see it, but not count on it.
    let _guard = match run {
        Run::Dry => None,
        Run::Real => Some(sysroot.lock(context.wait)?),
    };
    let refs = repo.refs()?;
    let named = spellings(image).into_iter().find_map(|name| refs.get(&name).map(|d| (name, *d)));
    let observed = sysroot.observe()?;
    let deployed = || {
        let mut images = observed.deployments.iter().map(|d| &d.record.image);
        images.find(|i| spellings(image).contains(&i.reference)).map(|i| (i.reference.clone(), i.digest))
    };
    let unchanged = named.is_none();
    let (reference, digest) = named
        .or_else(deployed)
        .ok_or_else(|| Error::not_found(format!("image {image} is not in the store")))?;
    if run == Run::Real {
        // Also when it is gone already: whoever removed it may have been stopped before that was on disk.
        repo.remove_ref(&reference)?;
    }
    Ok(RemovedImage {
        dry_run: run.is_dry(),
        unchanged,
        digest,
        other_references: refs
            .into_iter()
            .filter(|(name, other)| *other == digest && *name != reference)
            .map(|(name, _)| name)
            .collect(),
        deployments: observed
            .deployments
            .iter()
            .filter(|d| d.record.image.digest == digest)
            .map(|d| d.key())
            .collect(),
        reference,
    })
}
