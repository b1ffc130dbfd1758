//! Rollback: another deployment becomes the first in boot order, by default the one before. Twice is back where it was.
//!
//! What is staged stays staged, unless it is to be dropped: boot order counts decisions, and the last one wins. So a
//! staged deployment comes into the menu at the shutdown, behind the one that was rolled back to.

use serde::Serialize;

use super::boot::room::Room;
use super::boot::{self, Kernels, Place};
use super::initramfs::Check;
use super::publish::{Finalization, Publication};
use super::{Context, Error, Result, ResultExt, Run, note, reboot_required, select, soft_reboot, staging};
use crate::names::StaterootName;
use crate::sysroot::etc_merge::EtcStrategy;
use crate::sysroot::{
    Deployment, DeploymentId, DeploymentKey, DeploymentRecord, EventKind, Health, HealthState, HistoryEvent,
    LockedSysroot, Observed, Problem, ProblemKind, Slots, Stateroot, Sysroot,
};

#[derive(Debug, Clone, Default)]
pub struct RollbackOptions {
    /// `None`: the current one.
    pub stateroot: Option<StaterootName>,
    /// `None`: the one before.
    pub id: Option<DeploymentId>,
    pub staged: StagedOne,
    pub etc: EtcOfRollback,
    pub run: Run,
}

/// What becomes of a staged deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StagedOne {
    #[default]
    Keep,
    Drop,
}

/// Which `/etc` is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EtcOfRollback {
    /// That of the older deployment, as it was left.
    #[default]
    Own,
    /// Today's changes go into a new deployment of the older files; the older one keeps its own.
    Keep(EtcStrategy),
}

/// Which deployment was first and which one is now, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    pub dry_run: bool,
    /// True when it was first before.
    pub unchanged: bool,
    pub stateroot: StaterootName,
    /// First before.
    pub from: DeploymentId,
    /// Of that one, when it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_stateroot: Option<StaterootName>,
    /// First now.
    pub to: DeploymentId,
    /// When `to` is a new deployment of the files of an older one: that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_of: Option<DeploymentId>,
    /// Version of the image that is first now.
    pub version: Option<String>,
    /// What is staged stays so, behind the new first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_staged: Option<DeploymentKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DeploymentKey>,
    /// True when it is booted already, so that no reboot is needed.
    pub booted: bool,
}

impl RolledBack {
    /// What was first before.
    pub fn from_key(&self) -> DeploymentKey {
        let stateroot = self.from_stateroot.as_ref().unwrap_or(&self.stateroot).clone();
        DeploymentKey { stateroot, id: self.from }
    }
}

/// Makes a deployment of a stateroot the first in boot order. Durable when it returns.
pub fn rollback(sysroot: &Sysroot, options: &RollbackOptions, context: &Context<'_>) -> Result<RolledBack> {
    if options.run.is_dry() {
        let (report, _) = decide(&sysroot.observe()?, options)?;
        return Ok(report);
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let (report, target) = decide(&observed, options)?;
    boot::check(sysroot)?;
    soft_reboot::cancel(sysroot, context)?;
    if options.staged == StagedOne::Drop {
        staging::drop_staged(&locked, &observed, context)?;
    }
    if let EtcOfRollback::Keep(strategy) = options.etc {
        let publication = again(sysroot, target, strategy)?;
        let key = target.key();
        publication.publish(&locked, context).context(|| format!("deploying the files of {key} again"))?;
        return Ok(report);
    }
    let observed = locked.observe()?;
    if !report.unchanged {
        let first = with_next_order(&observed, target);
        if first.record.finalized {
            // Its kernel is on $BOOT, unless somebody removed it.
            let room = Room::find(sysroot, Place::Mounted, &observed, &first)?;
            room.make(&locked, Place::Mounted, &observed, &first, context.reporter)?;
        }
        make_first(&locked, &observed, &first.record)?;
    }
    boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
    if !report.unchanged {
        let event = HistoryEvent::new(context.env, EventKind::RolledBack, &target.key());
        let event = event.with_image(&target.record.image);
        let reason = format!("{} was first before", report.from_key());
        note(&locked, &event.with_reason(reason), context.reporter);
    }
    if observed.booted.is_some() {
        match report.booted {
            true => reboot_required::clear(context.env)?,
            false => reboot_required::set(context.env, &target.record.image)?,
        }
    }
    Ok(report)
}

/// What to do; pure.
fn decide<'o>(observed: &'o Observed, options: &RollbackOptions) -> Result<(RolledBack, &'o Deployment)> {
    let stateroot = options.stateroot.clone().unwrap_or_else(|| observed.current_stateroot());
    let none = || Error::not_found(format!("stateroot {stateroot} has no deployment to roll back to"));
    let drops = options.staged == StagedOne::Drop;
    let staged = observed.staged.clone();
    let stays = |d: &&Deployment| !observed.is_abandoned(d) && (d.record.finalized || !drops);
    let first = observed.deployments.iter().find(stays).ok_or_else(none)?;
    let target = match options.id {
        Some(id) => select::deployment(observed, id, Some(&stateroot))?,
        None => before(observed, &stateroot).ok_or_else(none)?,
    };
    let key = target.key();
    let is_staged = staged.as_ref() == Some(&key);
    if observed.is_abandoned(target) {
        return Err(Error::invalid(format!(
            "{key} was staged and never finalized, so it cannot boot; `reroot upgrade` stages its image again"
        )));
    }
    if is_staged && drops {
        return Err(Error::invalid(format!("{key} is the staged deployment, which is to be dropped")));
    }
    let keeps_etc = matches!(options.etc, EtcOfRollback::Keep(_));
    if let Some(other) = staged.as_ref().filter(|_| keeps_etc && !drops) {
        return Err(Error::invalid(format!(
            "{other} is staged, and one deployment can be at a time: drop it first (--drop-staged)"
        )));
    }
    // The entry of a deployment whose record does not read back may be before it in the menu.
    let damaged = |p: &Problem| matches!(p.kind, ProblemKind::DamagedRecord | ProblemKind::NewerRecord);
    let is_first = first.is(&key) && !observed.problems.iter().any(damaged);
    let report = RolledBack {
        dry_run: options.run.is_dry(),
        unchanged: is_first && !keeps_etc,
        from: first.record.id,
        from_stateroot: Some(&first.record.stateroot).filter(|other| **other != stateroot).cloned(),
        to: if keeps_etc { observed.counters.next_id(&stateroot) } else { key.id },
        files_of: keeps_etc.then_some(key.id),
        version: target.record.image.version.clone(),
        still_staged: staged.clone().filter(|_| !drops && !is_staged),
        dropped: staged.filter(|_| drops),
        booted: observed.booted.as_ref() == Some(&key) && !keeps_etc,
        stateroot,
    };
    Ok((report, target))
}

/// What `rollback` goes to when nobody says more: the next finalized one that is not known to be bad.
fn before<'o>(observed: &'o Observed, stateroot: &StaterootName) -> Option<&'o Deployment> {
    Slots::rollback_of(observed, stateroot)
}

/// The same files once more, for another `/etc`.
fn again(sysroot: &Sysroot, deployment: &Deployment, etc: EtcStrategy) -> Result<Publication> {
    let record = &deployment.record;
    let origin = deployment.origin.clone();
    Ok(Publication {
        stateroot: record.stateroot.clone(),
        tree: record.tree,
        image: record.image.clone(),
        origin: origin.ok_or_else(|| Error::invalid(format!("{} has no origin", deployment.key())))?,
        facts: Some(Kernels::new(sysroot).facts(deployment)?),
        initramfs: Check::Never,
        etc,
        finalization: Finalization::AtShutdown,
    })
}

fn with_next_order(observed: &Observed, deployment: &Deployment) -> Deployment {
    let mut deployment = deployment.clone();
    let record = &mut deployment.record;
    record.order = observed.counters.next_order;
    // Who asks for a bad one by its number wants it to be tried again.
    if record.health.state == HealthState::Bad {
        record.health = Health::default();
    }
    deployment
}

/// Gives a deployment its new boot order. The rename of its record is the one step that counts.
pub(super) fn make_first(
    locked: &LockedSysroot<'_>,
    observed: &Observed,
    record: &DeploymentRecord,
) -> Result<()> {
    let mut counters = observed.counters.clone();
    counters.saw_order(record.order);
    let stateroot = Stateroot::open(locked.sysroot(), &record.stateroot)?
        .ok_or_else(|| Error::not_found(format!("stateroot {}", record.stateroot)))?;
    locked.write_counters(&counters)?;
    crate::crashpoint!("rollback.counted").map_err(Error::io("rolling back"))?;
    locked.write_record(&stateroot, record)?;
    crate::crashpoint!("rollback.recorded").map_err(Error::io("rolling back"))
}
