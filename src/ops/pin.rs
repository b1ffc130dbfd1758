//! Pin and unpin: a pinned deployment is never pruned.

use serde::Serialize;

use super::{Context, Error, Result, Run, note, select};
use crate::names::StaterootName;
use crate::sysroot::{DeploymentId, DeploymentKey, EventKind, HistoryEvent, Observed, Stateroot, Sysroot};

/// The state of a pin after `pin` or `unpin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pinning {
    pub dry_run: bool,
    /// True when it was so before.
    pub unchanged: bool,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    pub pinned: bool,
}

/// Keeps a deployment until it is unpinned.
pub fn pin(
    sysroot: &Sysroot,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    run: Run,
    context: &Context<'_>,
) -> Result<Pinning> {
    set(sysroot, id, stateroot, Wanted::Pinned, run, context)
}

/// Lets a deployment go when the policy says so.
pub fn unpin(
    sysroot: &Sysroot,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    run: Run,
    context: &Context<'_>,
) -> Result<Pinning> {
    set(sysroot, id, stateroot, Wanted::Unpinned, run, context)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Pinned,
    Unpinned,
}

fn set(
    sysroot: &Sysroot,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    wanted: Wanted,
    run: Run,
    context: &Context<'_>,
) -> Result<Pinning> {
    if run.is_dry() {
        return decide(&sysroot.observe()?, id, stateroot, wanted, run);
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let report = decide(&observed, id, stateroot, wanted, run)?;
    if !report.unchanged {
        let mut record = select::deployment(&observed, id, stateroot)?.record.clone();
        record.pinned = report.pinned;
        let stateroot = Stateroot::open(sysroot, &record.stateroot)?
            .ok_or_else(|| Error::not_found(format!("stateroot {}", record.stateroot)))?;
        locked.write_record(&stateroot, &record)?;
        crate::crashpoint!("pin.recorded").map_err(Error::io("pinning"))?;
        let kind = if report.pinned { EventKind::Pinned } else { EventKind::Unpinned };
        let key = DeploymentKey { stateroot: report.stateroot.clone(), id };
        note(&locked, &HistoryEvent::new(context.env, kind, &key), context.reporter);
    }
    Ok(report)
}

fn decide(
    observed: &Observed,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    wanted: Wanted,
    run: Run,
) -> Result<Pinning> {
    let deployment = select::deployment(observed, id, stateroot)?;
    let pinned = wanted == Wanted::Pinned;
    if pinned && !deployment.record.finalized {
        let key = deployment.key();
        return Err(Error::invalid(format!("{key} is not finalized and cannot be pinned yet")));
    }
    Ok(Pinning {
        dry_run: run.is_dry(),
        unchanged: deployment.record.pinned == pinned,
        id,
        stateroot: deployment.record.stateroot.clone(),
        pinned,
    })
}
