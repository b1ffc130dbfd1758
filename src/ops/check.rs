//! Asking whether an upgrade would bring anything, from metadata alone.

use serde::Serialize;

use super::fetch::{FetchPlan, resolve};
use super::image::ImageFacts;
use super::status::ImageStatus;
use super::upgrade::{Start, UpgradeOptions};
use super::{Context, Result};
use crate::names::StaterootName;
use crate::sysroot::{DeploymentId, Sysroot};

/// What `upgrade --check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateCheck {
    /// True when `upgrade` would make a deployment.
    pub available: bool,
    /// The deployment that an upgrade would start from.
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// What it was made from.
    pub current: ImageStatus,
    /// What it follows, as it is now.
    pub latest: ImageStatus,
    pub fetch: FetchPlan,
}

/// Looks up what the first deployment in boot order follows. Changes nothing.
pub fn check_upgrade(
    sysroot: &Sysroot,
    options: &UpgradeOptions,
    context: &Context<'_>,
) -> Result<UpdateCheck> {
    let start = Start::observe(sysroot, options.stateroot.as_ref())?;
    let resolved = resolve(&start.reference_with(options)?, options.platform.as_ref(), context)?;
    let facts = ImageFacts::of_config(&resolved.image.config);
    let record = &start.deployment.record;
    Ok(UpdateCheck {
        available: !start.is_at(&resolved),
        id: record.id,
        stateroot: record.stateroot.clone(),
        current: ImageStatus::from(record.image.clone()),
        latest: ImageStatus::new(&resolved.reference, *resolved.digest(), facts),
        fetch: resolved.plan(sysroot.repo())?,
    })
}
