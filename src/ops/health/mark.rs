//! Mark-good and mark-bad: what a person knows about a deployment.

use serde::Serialize;

use super::events;
use super::fall_back;
use crate::names::StaterootName;
use crate::ops::boot::{self, Place};
use crate::ops::{Context, Error, Result, Run, select};
use crate::sysroot::{
    Deployment, DeploymentId, DeploymentKey, EventKind, FailedImage, HealthState, Observed, Sysroot,
};

#[derive(Debug, Clone, Default)]
pub struct MarkOptions {
    /// `None`: the booted one.
    pub id: Option<DeploymentId>,
    pub stateroot: Option<StaterootName>,
    pub run: Run,
}

/// What a deployment is now, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Marked {
    pub dry_run: bool,
    /// True when it was so before.
    pub unchanged: bool,
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    pub state: HealthState,
    /// Boots first now, instead of this one.
    pub next: Option<DeploymentKey>,
}

/// Makes a deployment good: its boots are not counted any more, and its image may be installed again. Durable.
pub fn mark_good(sysroot: &Sysroot, options: &MarkOptions, context: &Context<'_>) -> Result<Marked> {
    let report = |deployment: &Deployment| Marked {
        dry_run: options.run.is_dry(),
        unchanged: deployment.record.health.state == HealthState::Good,
        deployment: deployment.key(),
        state: HealthState::Good,
        next: None,
    };
    if options.run.is_dry() {
        return Ok(report(meant(&sysroot.observe()?, options)?));
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let deployment = meant(&observed, options)?;
    let report = report(deployment);
    let mut record = deployment.record.clone();
    locked.forget_failed(&record.stateroot, &record.image.digest)?;
    crate::crashpoint!("mark-good.forgotten").map_err(Error::io("marking a deployment as good"))?;
    if !report.unchanged {
        record.health.state = HealthState::Good;
        fall_back::write(&locked, &record)?;
        crate::crashpoint!("mark-good.recorded").map_err(Error::io("marking a deployment as good"))?;
        events::tell(&locked, EventKind::MarkedGood, &record, None, None, context);
    }
    boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
    Ok(report)
}

/// Makes a deployment bad: its image is not installed again, and when it is the first in boot order, the next good one of its
/// stateroot becomes that. Durable.
pub fn mark_bad(
    sysroot: &Sysroot,
    options: &MarkOptions,
    reason: Option<&str>,
    context: &Context<'_>,
) -> Result<Marked> {
    if options.run.is_dry() {
        return decide_bad(&sysroot.observe()?, options);
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let report = decide_bad(&observed, options)?;
    if report.unchanged {
        // The one before may have been killed before the menu was written.
        boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
        return Ok(report);
    }
    let reason =
        reason.map_or_else(|| "marked as bad by hand".into(), |text| format!("marked as bad: {text}"));
    let deployment = observed.deployment(&report.deployment).expect("decided on it");
    locked.remember_failed(FailedImage::new(&deployment.record, context.env.unix_time(), &reason))?;
    crate::crashpoint!("mark-bad.remembered").map_err(Error::io("marking a deployment as bad"))?;
    // Before the record: a bad one that is not the first is where it has to be.
    if let Some(next) = &report.next {
        fall_back::make_first(&locked, &observed, next)?;
    }
    let record = fall_back::write_bad(&locked, deployment, &reason, context)?;
    crate::crashpoint!("mark-bad.recorded").map_err(Error::io("marking a deployment as bad"))?;
    events::tell(&locked, EventKind::MarkedBad, &record, Some(&reason), None, context);
    boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
    Ok(report)
}

/// The deployment that is meant.
fn meant<'o>(observed: &'o Observed, options: &MarkOptions) -> Result<&'o Deployment> {
    match (options.id, &options.stateroot, &observed.booted) {
        (Some(id), stateroot, _) => select::deployment(observed, id, stateroot.as_ref()),
        (None, None, Some(booted)) => select::deployment(observed, booted.id, Some(&booted.stateroot)),
        _ => Err(Error::invalid("nothing is booted from here: the number of a deployment is needed")),
    }
}

/// Whether it may be, and what follows; pure.
fn decide_bad(observed: &Observed, options: &MarkOptions) -> Result<Marked> {
    let deployment = meant(observed, options)?;
    let key = deployment.key();
    if observed.staged.as_ref() == Some(&key) {
        return Err(Error::invalid(format!(
            "{key} is staged for the next boot and was never tried; `reroot unstage` drops it"
        )));
    }
    let is_first = observed.finalized().next().is_some_and(|first| first.is(&key));
    let next = if is_first { Some(next_good(observed, &key)?) } else { None };
    Ok(Marked {
        dry_run: options.run.is_dry(),
        unchanged: deployment.record.health.state == HealthState::Bad && !is_first,
        deployment: key,
        state: HealthState::Bad,
        next,
    })
}

/// What boots when the first one is bad. Another one that nobody knows anything about would be no better.
fn next_good(observed: &Observed, first: &DeploymentKey) -> Result<DeploymentKey> {
    let is_good = |d: &&Deployment| {
        d.record.health.state == HealthState::Good && d.record.stateroot == first.stateroot && !d.is(first)
    };
    observed.finalized().find(is_good).map(Deployment::key).ok_or_else(|| {
        Error::invalid(format!(
            "{first} is the first in boot order, and no other deployment of stateroot {} is known to be good; make another \
             one first (`reroot rollback`) or mark one as good",
            first.stateroot
        ))
    })
}
