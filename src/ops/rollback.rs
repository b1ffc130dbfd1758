//! Rollback: the second in boot order becomes the first. Twice is back where it was.

use serde::Serialize;

use super::boot::room::Room;
use super::boot::{self, Place};
use super::{Context, Error, Result, Run};
use crate::names::StaterootName;
use crate::sysroot::{
    Deployment, DeploymentId, DeploymentRecord, LockedSysroot, Observed, Stateroot, Sysroot,
};

#[derive(Debug, Clone, Default)]
pub struct RollbackOptions {
    /// `None`: the current one.
    pub stateroot: Option<StaterootName>,
    pub run: Run,
}

/// Which deployment was first and which one is now, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    pub dry_run: bool,
    pub stateroot: StaterootName,
    /// First before.
    pub from: DeploymentId,
    /// First now.
    pub to: DeploymentId,
    /// Version of the image that is first now.
    pub version: Option<String>,
}

/// Makes the second deployment of a stateroot in boot order the first.
pub fn rollback(sysroot: &Sysroot, options: &RollbackOptions, context: &Context<'_>) -> Result<RolledBack> {
    if options.run.is_dry() {
        let (report, _) = decide(&sysroot.observe()?, options)?;
        return Ok(report);
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let (report, second) = decide(&observed, options)?;
    boot::check(sysroot)?;
    let first = with_next_order(&observed, second);
    // Its kernel is on $BOOT, unless somebody removed it.
    let room = Room::find(sysroot, Place::Mounted, &observed, &first)?;
    room.make(&locked, Place::Mounted, &observed, &first, context.reporter)?;
    make_first(&locked, &observed, &first.record)?;
    boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
    Ok(report)
}

/// What to do; pure.
fn decide<'o>(observed: &'o Observed, options: &RollbackOptions) -> Result<(RolledBack, &'o Deployment)> {
    let stateroot = options.stateroot.clone().unwrap_or_else(|| observed.current_stateroot());
    let mut order = observed
        .deployments
        .iter()
        .filter(|d| d.record.stateroot == stateroot)
        .filter(|d| !observed.staged.as_ref().is_some_and(|staged| d.is(staged)));
    let (Some(first), Some(second)) = (order.next(), order.next()) else {
        return Err(Error::not_found(format!("stateroot {stateroot} has no deployment to roll back to")));
    };
    let report = RolledBack {
        dry_run: options.run.is_dry(),
        from: first.record.id,
        to: second.record.id,
        version: second.record.image.version.clone(),
        stateroot,
    };
    Ok((report, second))
}

fn with_next_order(observed: &Observed, deployment: &Deployment) -> Deployment {
    let mut deployment = deployment.clone();
    deployment.record.order = observed.counters.next_order;
    deployment
}

/// Gives a deployment its new boot order. The rename of its record is the one step that counts.
fn make_first(locked: &LockedSysroot<'_>, observed: &Observed, record: &DeploymentRecord) -> Result<()> {
    let mut counters = observed.counters.clone();
    counters.saw_order(record.order);
    let stateroot = Stateroot::open(locked.sysroot(), &record.stateroot)?
        .ok_or_else(|| Error::not_found(format!("stateroot {}", record.stateroot)))?;
    locked.write_counters(&counters)?;
    crate::crashpoint!("rollback.counted").map_err(Error::io("rolling back"))?;
    locked.write_record(&stateroot, record)?;
    crate::crashpoint!("rollback.recorded").map_err(Error::io("rolling back"))
}
