//! Undeploy: one deployment goes, whatever the policy says. Its objects stay until `prune`.

use serde::Serialize;

use super::boot::{self, Place};
use super::{Context, Error, Result, Run, note, retention, select, status};
use crate::names::StaterootName;
use crate::sysroot::{
    DeploymentId, DeploymentKey, EventKind, HistoryEvent, Observed, ProblemKind, Sysroot, layout,
};

/// The deployment that is gone, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undeployed {
    pub dry_run: bool,
    /// True when it was gone before.
    pub unchanged: bool,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    pub path: String,
    /// What boots first afterwards.
    pub next: Option<DeploymentKey>,
}

/// Removes a deployment. The booted and the staged one are refused, and a pinned one until it is unpinned. One
/// that is gone already is fine, so that an interrupted command can be repeated.
pub fn undeploy(
    sysroot: &Sysroot,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    run: Run,
    context: &Context<'_>,
) -> Result<Undeployed> {
    if run.is_dry() {
        return decide(&sysroot.observe()?, id, stateroot, run);
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let report = decide(&observed, id, stateroot, run)?;
    if !report.unchanged {
        let key = DeploymentKey { id: report.id, stateroot: report.stateroot.clone() };
        boot::update(&locked, &Place::Mounted, std::slice::from_ref(&key), context.reporter)?;
        locked.remove_deployment(&key, &observed)?;
        note(&locked, &HistoryEvent::new(context.env, EventKind::Undeployed, &key), context.reporter);
        status::warm_usage(&locked.observe()?, sysroot.repo());
    }
    Ok(report)
}

/// Whether it may go; pure. A deployment whose record is damaged may: that is how one gets rid of it.
fn decide(
    observed: &Observed,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    run: Run,
) -> Result<Undeployed> {
    retention::check_run_state(observed)?;
    let (key, unchanged) = match select::key(observed, id, stateroot) {
        Ok(key) => (key, false),
        Err(error) => match select::former(observed, id, stateroot) {
            Some(key) => (key, true),
            None => return Err(error),
        },
    };
    let newer = |p: &&crate::sysroot::Problem| {
        p.kind == ProblemKind::NewerRecord && p.deployment.as_ref() == Some(&key)
    };
    if let Some(problem) = observed.problems.iter().find(newer) {
        return Err(Error::incompatible(problem.message.clone()));
    }
    let refuse = |reason: &str| Err(Error::invalid(format!("{key} {reason}")));
    if observed.booted.as_ref() == Some(&key) {
        return refuse("is booted and cannot be removed");
    }
    if observed.staged.as_ref() == Some(&key) {
        return refuse("is staged for the next boot; `reroot unstage` drops it");
    }
    if observed.prepared.as_ref() == Some(&key) {
        return refuse("is prepared for a soft reboot; roll back, or stage something else, first");
    }
    if observed.deployment(&key).is_some_and(|d| d.record.pinned) {
        return refuse("is pinned; unpin it first");
    }
    Ok(Undeployed {
        dry_run: run.is_dry(),
        unchanged,
        id,
        path: layout::deployment_path(&key),
        next: observed.deployments.iter().find(|d| !d.is(&key)).map(|d| d.key()),
        stateroot: key.stateroot,
    })
}
