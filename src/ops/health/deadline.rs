//! The deadline: a boot on trial that hangs somewhere restarts, so that the loader counts it.

use serde::Serialize;

use super::boot_complete::{Boot, booted, counted, patient};
use super::decide::Decision;
use crate::fsx;
use crate::ops::{Context, Result, reboot};
use crate::sysroot::{DeploymentKey, HealthState, Sysroot};

/// Whether the boot is late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deadline {
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    /// The machine restarts.
    pub restarting: bool,
    /// What is wrong with a boot on trial; `None` when nothing is, or nobody counts.
    pub reason: Option<String>,
}

/// Restarts the machine when the booted deployment is on trial and not good by now, and a restart can help. `why` is what is
/// known about it; else it took too long.
pub fn boot_deadline(sysroot: &Sysroot, why: Option<&str>, context: &Context<'_>) -> Result<Deadline> {
    let context = &patient(context);
    let observed = sysroot.observe()?;
    let booted = booted(&observed)?;
    let mut report = Deadline { deployment: booted.key(), restarting: false, reason: None };
    let record = &booted.record;
    if record.health.state != HealthState::Untried || record.tries.is_none() {
        return Ok(report);
    }
    let reason = match (why, uptime_minutes(context)) {
        (Some(why), _) => why.to_owned(),
        (None, Some(1)) => "the boot was not complete after 1 minute".into(),
        (None, Some(minutes)) => format!("the boot was not complete after {minutes} minutes"),
        (None, None) => "the boot was not complete in time".into(),
    };
    let counted = counted(sysroot, context);
    let boot = Boot { sysroot, booted, counted: &counted, is_new: false, context };
    report.restarting = boot.failed(&reason) == Decision::Retry;
    report.reason = Some(reason);
    if report.restarting {
        reboot::reboot(context.env)?;
    }
    Ok(report)
}

/// `/proc/uptime`
fn uptime_minutes(context: &Context<'_>) -> Option<u64> {
    let proc = fsx::open_dir(&context.env.config_root.join("proc")).ok()?;
    let text = String::from_utf8(fsx::read_limited(&proc, "uptime", 256).ok()??).ok()?;
    let seconds: u64 = text.split(['.', ' ']).next()?.parse().ok()?;
    Some(seconds / 60)
}
