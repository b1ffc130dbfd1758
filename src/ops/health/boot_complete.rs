//! Boot-complete: what runs when a boot has come as far as it should.

use std::time::Duration;

use super::decide::{self, Counted, Decision};
use super::events::{self, BY_ITSELF};
use super::greenboot::Aftermath;
use super::report::{BootCompleted, BootState};
use super::{fall_back, last_boot, run};
use crate::fsx::lock::Wait;
use crate::ops::boot::{self, Place};
use crate::ops::{Context, Error, Policy, Result, ResultExt, Run, prune, reboot, retention, soft_reboot};
use crate::progress::Event;
use crate::sysroot::{Deployment, EventKind, FailedBoot, FinalizeFailure, HealthState, Observed, Sysroot};

/// Nobody repeats this command when a lock was held for a moment.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a fall-back permanent, runs the checks, and makes the booted deployment good, or restarts the machine when it is on
/// trial and a required check failed. Twice in one boot changes nothing more.
///
/// A report says how the boot turned out; an error is that of something else, as a full disk.
pub fn boot_complete(sysroot: &Sysroot, context: &Context<'_>) -> Result<BootCompleted> {
    let context = &patient(context);
    if let Err(error) = sysroot
        .lock(context.wait)
        .map_err(Error::from)
        .and_then(|locked| soft_reboot::settle(&locked, context))
    {
        warn(context, &format!("the soft reboot is not recorded yet: {error}"));
    }
    let observed = sysroot.observe()?;
    let booted = booted(&observed)?;
    let mut report = BootCompleted::new(booted, context.env);
    let before = last_boot(sysroot).ok().flatten().filter(|last| is_same_boot(last, &report));
    if let Some(before) = &before {
        report.fell_back.clone_from(&before.fell_back);
    }
    if before.is_none() {
        tell_of_shutdown(sysroot, &observed, context);
    }
    let counted = counted(sysroot, context);
    if let Err(error) = fall_back::settle(sysroot, &observed, &counted, &mut report.fell_back, context) {
        warn(context, &format!("the fall-back is not permanent yet: {error}"));
    }
    report.checks = run::checks(context);
    let turned_out = Boot { sysroot, booted, counted: &counted, is_new: before.is_none(), context };
    let result = match run::failure(&report.checks) {
        Some(reason) => turned_out.badly(reason, &mut report),
        None => turned_out.well(&mut report),
    };
    if let Err(error) = &result {
        report.state = BootState::Failed;
        report.reason = Some(error.to_string());
    }
    // For people: nothing is decided on it.
    report.write(sysroot).unwrap_or_else(|error| warn(context, &error.to_string()));
    result?;
    if report.state == BootState::Restarting {
        reboot::reboot(context.env)?;
    }
    Ok(report)
}

/// The context with time to wait for the lock.
pub(super) fn patient<'a>(context: &Context<'a>) -> Context<'a> {
    let wait = if matches!(context.wait, Wait::No) { Wait::For(PATIENCE) } else { context.wait };
    Context { wait, ..*context }
}

/// The deployment that runs.
pub(super) fn booted(observed: &Observed) -> Result<&Deployment> {
    let key = observed.booted.as_ref().ok_or_else(|| {
        Error::invalid("the running system was not booted from a deployment of this sysroot")
    })?;
    observed.deployment(key).ok_or_else(|| {
        let problem = observed.problems.iter().find(|p| p.deployment.as_ref() == Some(key));
        let known = problem.map_or("it has no record", |p| &p.message);
        Error::corrupt(format!("{key} is booted, but it is not known: {known}"))
    })
}

/// What the loader counted. Without it no fall-back is seen, and the rest goes on.
pub(super) fn counted(sysroot: &Sysroot, context: &Context<'_>) -> Counted {
    boot::counted(sysroot).unwrap_or_else(|error| {
        warn(context, &format!("it is not known what the boot loader has counted: {error}"));
        Counted::new()
    })
}

/// Leaves in the journal of this boot what the shutdown before it did not finish.
fn tell_of_shutdown(sysroot: &Sysroot, observed: &Observed, context: &Context<'_>) {
    if let Ok(Some(failure)) = FinalizeFailure::read(sysroot) {
        let FinalizeFailure { deployment, reason, .. } = failure;
        return warn(context, &format!("{deployment} was not finalized at the last shutdown: {reason}"));
    }
    for lost in observed.deployments.iter().filter(|deployment| observed.is_abandoned(deployment)) {
        let key = lost.key();
        warn(context, &format!("{key} was staged and is lost: the machine went down without finalizing it"));
    }
}

/// Whether the policy lets deployments go. Not knowing is no reason to look closer: `prune` says why.
fn prune_is_due(sysroot: &Sysroot, context: &Context<'_>) -> bool {
    let policy = Policy { retain: context.config.retain };
    let decide = || retention::decide(&sysroot.observe()?, &policy);
    decide().is_ok_and(|plan| !plan.remove.is_empty())
}

fn is_same_boot(last: &BootCompleted, now: &BootCompleted) -> bool {
    last.boot_id == now.boot_id && last.deployment == now.deployment
}

fn warn(context: &Context<'_>, text: &str) {
    context.reporter.report(Event::Warning(text));
}

/// A boot whose checks have run.
pub(super) struct Boot<'a> {
    pub sysroot: &'a Sysroot,
    /// As it was when the loader counted.
    pub booted: &'a Deployment,
    pub counted: &'a Counted,
    /// True when this is the first time that anybody looks.
    pub is_new: bool,
    pub context: &'a Context<'a>,
}

impl Boot<'_> {
    fn well(&self, report: &mut BootCompleted) -> Result<()> {
        let Self { sysroot, context, .. } = self;
        let locked = sysroot.lock(context.wait)?;
        let observed = locked.observe()?;
        let mut record = booted(&observed)?.record.clone();
        if self.is_new {
            events::tell(&locked, EventKind::Booted, &record, None, Some(BY_ITSELF), context);
        }
        let decision = decide::of_success(&observed, booted(&observed)?);
        if decision == Decision::MarkGood {
            // Before the record: a good one that is refused could not be explained.
            locked.forget_failed(&record.stateroot, &record.image.digest)?;
            crate::crashpoint!("health.forgotten").map_err(Error::io("marking the boot as good"))?;
            record.health.state = HealthState::Good;
            fall_back::write(&locked, &record)?;
            crate::crashpoint!("health.good").map_err(Error::io("marking the boot as good"))?;
        }
        let blessed = boot::update(&locked, &Place::Mounted, &[], context.reporter)
            .context(|| "writing the boot loader's menu".to_string());
        match (blessed, decision) {
            (Err(error), Decision::MarkGood) => return Err(error),
            // It was good before, and there may be nothing to write.
            (Err(error), _) => warn(context, &error.to_string()),
            (Ok(()), _) => {}
        }
        crate::crashpoint!("health.blessed").map_err(Error::io("marking the boot as good"))?;
        report.state = match record.health.state {
            HealthState::Bad => BootState::Bad,
            HealthState::Good | HealthState::Untried => BootState::Good,
        };
        if decision == Decision::MarkGood {
            events::tell(&locked, EventKind::MarkedGood, &record, None, Some(BY_ITSELF), context);
        }
        drop(locked);
        run::aftermath(Aftermath::Green, context);
        // Also what a boot left that was found good, and ended before it could prune.
        let is_due = decision == Decision::MarkGood || prune_is_due(sysroot, context);
        if is_due && context.config.prune_after_boot {
            match prune(sysroot, Run::Real, context) {
                Ok(pruned) => report.pruned = pruned.removed.iter().map(|removed| removed.key()).collect(),
                Err(error) => warn(context, &format!("nothing was pruned: {error}")),
            }
        }
        Ok(())
    }

    fn badly(&self, reason: String, report: &mut BootCompleted) -> Result<()> {
        report.state = match self.failed(&reason) {
            Decision::Retry => BootState::Restarting,
            _ => BootState::Failed,
        };
        report.reason = Some(reason);
        run::aftermath(Aftermath::Red, self.context);
        Ok(())
    }

    /// Writes a failure down and decides what follows. When it cannot be written, the machine restarts only if the loader has
    /// counted this boot: somebody has to, or it would restart for ever.
    pub(super) fn failed(&self, reason: &str) -> Decision {
        let env = self.context.env;
        let tries = self.counted.get(&self.booted.record.order).copied();
        let failure = FailedBoot {
            time: env.unix_time(),
            boot_id: env.boot_id().unwrap_or_default(),
            reason: reason.into(),
        };
        match self.write_failure(&failure) {
            Ok((observed, booted)) => decide::of_failure(&observed, &booted, tries, self.counted),
            Err(error) => {
                warn(self.context, &format!("the failure cannot be written down: {error}"));
                let Ok(observed) = self.sysroot.observe() else { return Decision::Report };
                let mut booted = self.booted.clone();
                booted.record.health.failed(failure);
                match tries {
                    Some(counted) if counted.done > 0 => {
                        decide::of_failure(&observed, &booted, tries, self.counted)
                    }
                    _ => Decision::Report,
                }
            }
        }
    }

    /// Durable. Returns what is there then.
    fn write_failure(&self, failure: &FailedBoot) -> Result<(Observed, Deployment)> {
        let locked = self.sysroot.lock(self.context.wait)?;
        let observed = locked.observe()?;
        let mut booted = booted(&observed)?.clone();
        let health = &mut booted.record.health;
        let is_same =
            |known: &FailedBoot| (&known.boot_id, &known.reason) == (&failure.boot_id, &failure.reason);
        if !health.failures.last().is_some_and(is_same) {
            health.failed(failure.clone());
            fall_back::write(&locked, &booted.record)?;
            crate::crashpoint!("health.failure-noted").map_err(Error::io("writing the failure down"))?;
            let reason = Some(failure.reason.as_str());
            events::tell(
                &locked,
                EventKind::CheckFailed,
                &booted.record,
                reason,
                Some(BY_ITSELF),
                self.context,
            );
        }
        Ok((observed, booted))
    }
}
