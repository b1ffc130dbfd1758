//! Staging: on the running system a new deployment waits for the shutdown, when nothing changes `/etc` any more.
//!
//! The staged deployment is complete but for its `/etc`, and no boot loader knows it. Which one it is says
//! `/run/reroot/staged.json`, which no reboot survives: when the power goes, the old deployment boots, and the one that
//! waited is abandoned and goes with the next `prune`. There is one staged deployment at a time.

use serde::Serialize;

use super::publish::{Finalization, Publication};
use super::{Context, Error, Result, note, reboot_required, soft_reboot};
use crate::names::StaterootName;
use crate::progress::Event;
use crate::sysroot::{
    Deployment, DeploymentId, DeploymentKey, EventKind, HistoryEvent, LockedSysroot, Observed, Sysroot,
};

/// Whether new deployments of a sysroot are staged: a system runs from it.
pub(super) fn stages(observed: &Observed) -> bool {
    observed.booted.is_some()
}

/// Makes a deployment the staged one, in place of the one before, which goes.
pub(super) fn stage(
    locked: &LockedSysroot<'_>,
    observed: &Observed,
    deployment: &Deployment,
    Publication { finalization, etc, .. }: &Publication,
    context: &Context<'_>,
) -> Result<()> {
    let key = deployment.key();
    // The reboot that finalizes it must not become a soft reboot to something else.
    soft_reboot::cancel(locked.sysroot(), context)?;
    locked.write_staged(&key, *finalization == Finalization::Locked, *etc)?;
    crate::crashpoint!("stage.staged").map_err(Error::io("staging"))?;
    locked.remove_finalize_failure()?;
    if let Some(former) = observed.staged.as_ref().filter(|former| **former != key) {
        locked.remove_deployment(former, observed)?;
        let event = HistoryEvent::new(context.env, EventKind::Unstaged, former);
        note(locked, &event.with_reason(format!("replaced by {key}")), context.reporter);
        context.reporter.report(Event::Warning(&format!("{former} was staged, and is replaced by {key}")));
    }
    match finalization {
        Finalization::AtShutdown => reboot_required::set(context.env, &deployment.record.image),
        Finalization::Locked => reboot_required::clear(context.env),
    }
}

/// What became of the staged deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unstaged {
    pub dry_run: bool,
    /// True when nothing was staged.
    pub unchanged: bool,
    #[serde(flatten)]
    pub deployment: Option<DeploymentKey>,
}

/// Drops the staged deployment; what was fetched for it stays in the store until `prune`. Nothing staged is fine.
pub fn unstage(sysroot: &Sysroot, run: super::Run, context: &Context<'_>) -> Result<Unstaged> {
    let report = |staged: &Option<DeploymentKey>| Unstaged {
        dry_run: run.is_dry(),
        unchanged: staged.is_none(),
        deployment: staged.clone(),
    };
    if run.is_dry() {
        return Ok(report(&sysroot.observe()?.staged));
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    super::retention::check_run_state(&observed)?;
    drop_staged(&locked, &observed, context)?;
    Ok(report(&observed.staged))
}

/// Drops what is staged, if anything is.
pub(super) fn drop_staged(
    locked: &LockedSysroot<'_>,
    observed: &Observed,
    context: &Context<'_>,
) -> Result<()> {
    let Some(staged) = &observed.staged else { return Ok(()) };
    locked.remove_staged()?;
    crate::crashpoint!("unstage.unstaged").map_err(Error::io("unstaging"))?;
    locked.remove_deployment(staged, observed)?;
    note(locked, &HistoryEvent::new(context.env, EventKind::Unstaged, staged), context.reporter);
    reboot_required::clear(context.env)
}

/// Whether the staged deployment is finalized at the next shutdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalizationLock {
    /// True when it was so before.
    pub unchanged: bool,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    pub locked: bool,
}

/// Locks or unlocks the finalization of the staged deployment.
pub fn set_finalization(
    sysroot: &Sysroot,
    finalization: Finalization,
    context: &Context<'_>,
) -> Result<FinalizationLock> {
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let Some(key) = &observed.staged else { return Err(nothing_staged()) };
    let lock = finalization == Finalization::Locked;
    let unchanged = observed.staged_is_locked == lock;
    if !unchanged {
        locked.write_staged(key, lock, observed.etc_strategy)?;
    }
    match (lock, observed.deployment(key)) {
        (false, Some(deployment)) => reboot_required::set(context.env, &deployment.record.image)?,
        _ => reboot_required::clear(context.env)?,
    }
    Ok(FinalizationLock { unchanged, id: key.id, stateroot: key.stateroot.clone(), locked: lock })
}

pub(super) fn only_where_booted() -> Error {
    Error::invalid("only in the system that runs from here does a deployment wait for its finalization")
}

pub(super) fn nothing_staged() -> Error {
    Error::not_found("no deployment is staged")
}
