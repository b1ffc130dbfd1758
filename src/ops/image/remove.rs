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
    pub reference: String,
    pub digest: Sha256,
    /// Other names of the same image.
    pub other_references: Vec<String>,
    /// Deployments made from it. Without these and without other names, the next prune frees it.
    pub deployments: Vec<DeploymentKey>,
}

/// Removes the name `image`. Space is freed by `prune`.
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
    let Some((reference, digest)) = named else {
        let deployed =
            observed.deployments.iter().find(|d| spellings(image).contains(&d.record.image.reference));
        return Err(Error::not_found(match deployed {
            Some(deployment) => {
                format!("image {image} has no name of its own; {} keeps it", deployment.key())
            }
            None => format!("image {image} is not in the store"),
        }));
    };
    if run == Run::Real {
        repo.remove_ref(&reference)?;
    }
    Ok(RemovedImage {
        dry_run: run.is_dry(),
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
