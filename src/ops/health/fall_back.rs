//! Making a fall-back permanent: what the loader gave up is bad, and what it came to is the first.
//!
//! | step | killed after it |
//! |---|---|
//! | the records of those that were given up say so | the loader goes on as before, and the next run does the same again |
//! | their images are in `failed.json` | as before |
//! | the order of the booted one | the next command that writes the menu goes on |
//! | the menu | – |

use super::decide::{self, Counted};
use super::events::{self, BY_ITSELF};
use super::report::FailedDeployment;
use crate::ops::boot::{self, Place};
use crate::ops::{Context, Error, Result, rollback};
use crate::progress::Event;
use crate::sysroot::{
    Deployment, DeploymentKey, DeploymentRecord, EventKind, FailedBoot, FailedImage, HealthState,
    LockedSysroot, Observed, Stateroot, Sysroot,
};

/// Looks whether the loader fell back, and makes that permanent. Durable when it returns; may run again after any end.
/// `known` is filled with what was given up, also when writing that down fails.
pub fn settle(
    sysroot: &Sysroot,
    observed: &Observed,
    counted: &Counted,
    known: &mut Vec<FailedDeployment>,
    context: &Context<'_>,
) -> Result<()> {
    let failed: Vec<FailedDeployment> = decide::given_up(observed, counted)
        .into_iter()
        .map(|d| FailedDeployment { key: d.key(), reason: reason(&d.record, counted) })
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    for FailedDeployment { key, reason } in &failed {
        context.reporter.report(Event::Warning(&format!("the boot loader gave up {key}: {reason}")));
    }
    known.clone_from(&failed);
    let locked = sysroot.lock(context.wait)?;
    for failed in &failed {
        mark(&locked, failed, context)?;
    }
    make_booted_first(&locked, context)
}

/// Why it failed, as far as anybody knows.
fn reason(record: &DeploymentRecord, counted: &Counted) -> String {
    if let Some(failure) = record.health.failures.last() {
        return failure.reason.clone();
    }
    match counted.get(&record.order).map_or(0, |tries| tries.done) {
        0 => "no boot of it completed".into(),
        1 => "its only boot did not complete".into(),
        boots => format!("none of its {boots} boots completed"),
    }
}

fn mark(locked: &LockedSysroot<'_>, failed: &FailedDeployment, context: &Context<'_>) -> Result<()> {
    let observed = locked.observe()?;
    // Removed since then.
    let Some(deployment) = observed.deployment(&failed.key) else { return Ok(()) };
    let is_new = deployment.record.health.state != HealthState::Bad;
    let record = write_bad(locked, deployment, &failed.reason, context)?;
    crate::crashpoint!("fall-back.recorded").map_err(Error::io("falling back"))?;
    // Another deployment of the same image is good: what failed is something else, as its kernel arguments.
    let is_good = |d: &Deployment| {
        d.record.image.digest == record.image.digest
            && d.record.stateroot == record.stateroot
            && d.record.health.state == HealthState::Good
    };
    if !observed.deployments.iter().any(is_good) {
        locked.remember_failed(FailedImage::new(&record, context.env.unix_time(), &failed.reason))?;
    }
    crate::crashpoint!("fall-back.remembered").map_err(Error::io("falling back"))?;
    if is_new {
        events::tell(locked, EventKind::FellBack, &record, Some(&failed.reason), Some(BY_ITSELF), context);
    }
    Ok(())
}

/// Makes a deployment bad, for a reason. Durable.
pub fn write_bad(
    locked: &LockedSysroot<'_>,
    deployment: &Deployment,
    reason: &str,
    context: &Context<'_>,
) -> Result<DeploymentRecord> {
    let mut record = deployment.record.clone();
    let is_known = record.health.failures.last().is_some_and(|last| last.reason == reason);
    if record.health.state == HealthState::Bad && is_known {
        return Ok(record);
    }
    record.health.state = HealthState::Bad;
    if !is_known {
        let env = context.env;
        let boot = FailedBoot {
            time: env.unix_time(),
            boot_id: env.boot_id().unwrap_or_default(),
            reason: reason.into(),
        };
        record.health.failed(boot);
    }
    write(locked, &record)?;
    Ok(record)
}

/// Replaces a record. Durable.
pub fn write(locked: &LockedSysroot<'_>, record: &DeploymentRecord) -> Result<()> {
    let stateroot = Stateroot::open(locked.sysroot(), &record.stateroot)?
        .ok_or_else(|| Error::not_found(format!("stateroot {}", record.stateroot)))?;
    Ok(locked.write_record(&stateroot, record)?)
}

fn make_booted_first(locked: &LockedSysroot<'_>, context: &Context<'_>) -> Result<()> {
    let observed = locked.observe()?;
    let booted = observed.booted.as_ref().and_then(|key| observed.deployment(key));
    let is_first = |d: &Deployment| observed.finalized().next().is_some_and(|first| first.is(&d.key()));
    // What is staged was decided on later than this, and comes first by itself.
    if let Some(booted) = booted.filter(|d| !is_first(d) && observed.staged.is_none()) {
        make_first(locked, &observed, &booted.key())?;
    }
    boot::update(locked, &Place::Mounted, &[], context.reporter)
}

/// Gives a deployment the next boot order. The menu is the caller's.
pub fn make_first(locked: &LockedSysroot<'_>, observed: &Observed, key: &DeploymentKey) -> Result<()> {
    let deployment = observed.deployment(key).ok_or_else(|| Error::not_found(key.to_string()))?;
    let mut record = deployment.record.clone();
    record.order = observed.counters.next_order;
    rollback::make_first(locked, observed, &record)
}
