//! Prune: removes what the policy does not keep, then what nothing needs any more.

use serde::Serialize;

use super::boot::{self, Place};
use super::retention::{self, Kept, Policy};
use super::{Context, Result, Run, note, status};
use crate::names::StaterootName;
use crate::repo::{GcReport, GcRun};
use crate::sysroot::{DeploymentId, DeploymentKey, EventKind, HistoryEvent, LockedSysroot, Sysroot};

/// What a prune removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    pub dry_run: bool,
    /// In boot order, each with why.
    pub kept: Vec<Kept>,
    pub removed: Vec<RemovedDeployment>,
    /// How many deployments of each stateroot the policy keeps.
    pub retain: usize,
    /// Content bytes that the file system gets back: objects, and the removed deployments' copies of `/etc` as
    /// they were made.
    pub freed_bytes: u64,
    pub collected: GcReport,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedDeployment {
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    pub path: String,
    pub reference: String,
    pub version: Option<String>,
    /// Bytes that no other deployment shares.
    pub unique_bytes: Option<u64>,
}

impl RemovedDeployment {
    pub fn key(&self) -> DeploymentKey {
        DeploymentKey { stateroot: self.stateroot.clone(), id: self.id }
    }
}

/// Prunes by the configured policy.
pub fn prune(sysroot: &Sysroot, run: Run, context: &Context<'_>) -> Result<PruneReport> {
    let locked = match run {
        // Even counting garbage needs a store in which nothing is being made.
        Run::Dry => sysroot.lock_unchanged(context.wait)?,
        Run::Real => sysroot.lock(context.wait)?,
    };
    let observed = locked.observe()?;
    let policy = Policy { retain: context.config.retain };
    let plan = retention::decide(&observed, &policy)?;
    // Sizes are for people: a tree that cannot be read must not keep what can be removed.
    let usage = status::usage(&observed, sysroot.repo()).ok();

    let mut etc_bytes = 0;
    let mut removed = Vec::new();
    for removal in &plan.remove {
        let index = observed.deployments.iter().position(|d| d.is(&removal.key));
        let Some(deployment) = index.map(|i| &observed.deployments[i]) else { continue };
        let usage = usage.as_ref().zip(index).map(|(usage, index)| usage[index]);
        etc_bytes += usage.map_or(0, |u| u.etc_bytes);
        removed.push(RemovedDeployment {
            id: removal.key.id,
            stateroot: removal.key.stateroot.clone(),
            path: deployment.path(),
            reference: deployment.record.image.reference.clone(),
            version: deployment.record.image.version.clone(),
            unique_bytes: usage.map(|u| u.unique_bytes + u.etc_bytes),
        });
    }
    let collected = execute(&locked, &observed, &plan, run, context)?;
    if run == Run::Real {
        status::warm_usage(&locked.observe()?, sysroot.repo());
    }
    Ok(PruneReport {
        dry_run: run.is_dry(),
        kept: plan.keep,
        removed,
        retain: policy.retain.get(),
        freed_bytes: collected.object_bytes + etc_bytes,
        collected,
    })
}

/// Removes deployments, the last in boot order first, then garbage. Each step may run twice.
fn execute(
    locked: &LockedSysroot<'_>,
    observed: &crate::sysroot::Observed,
    plan: &retention::Plan,
    run: Run,
    context: &Context<'_>,
) -> Result<GcReport> {
    let repo = locked.sysroot().repo();
    if run.is_dry() {
        return Ok(repo.gc(locked.guard(), &plan.roots, GcRun::DryRun)?);
    }
    let removed: Vec<DeploymentKey> = plan.remove.iter().map(|removal| removal.key.clone()).collect();
    boot::update(locked, &Place::Mounted, &removed, context.reporter)?;
    for removal in &plan.remove {
        locked.remove_deployment(&removal.key, observed)?;
        let event = HistoryEvent::new(context.env, EventKind::Pruned, &removal.key);
        let event = match observed.deployment(&removal.key) {
            Some(deployment) => event.with_image(&deployment.record.image),
            None => event,
        };
        note(locked, &event, context.reporter);
        crate::crashpoint!("prune.deployment-removed").map_err(super::Error::io("pruning"))?;
    }
    Ok(repo.gc(locked.guard(), &plan.roots, GcRun::Delete)?)
}
