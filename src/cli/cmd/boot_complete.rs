//! `reroot boot-complete`

use super::{deployment, sysroot};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::health::{BootCompleted, BootState, Deadline};
use crate::ops::{self, Context, Result};
use crate::sysroot::DeploymentKey;

/// Check the boot, and make the running deployment good or restart
///
/// reroot-boot-complete.service runs this when the system is up. The health checks of the machine run; when all that are
/// required pass, the deployment is good and the boot loader stops counting its boots. When one fails in a deployment that
/// was never good, the machine restarts: the boot loader tries again, and falls back to the deployment before when no attempt
/// is left. A fall-back that has happened becomes permanent.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Restart when a deployment that was never good is not good by now; run no checks
    #[arg(long)]
    deadline: bool,
    /// With --deadline: why the boot is given up, when it is not for being late
    #[arg(long, value_name = "TEXT", requires = "deadline")]
    reason: Option<String>,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let sysroot = sysroot(global, context)?;
    if args.deadline {
        let report = ops::boot_deadline(&sysroot, args.reason.as_deref(), context)?;
        output.show(&report, deadline)?;
        return Ok(if report.reason.is_some() { Code::Failed } else { Code::Done });
    }
    let report = ops::boot_complete(&sysroot, context)?;
    output.show(&report, completed)?;
    Ok(match report.state {
        BootState::Good | BootState::Bad => Code::Done,
        BootState::Failed | BootState::Restarting => Code::Failed,
    })
}

fn name(key: &DeploymentKey) -> String {
    deployment(key.id, &key.stateroot)
}

fn completed(report: &BootCompleted) -> String {
    let name = name(&report.deployment);
    let mut text = String::new();
    for failed in &report.fell_back {
        text += &format!(
            "Fell back from {}: {}\n",
            deployment(failed.key.id, &failed.key.stateroot),
            crate::names::printable(failed.reason.as_bytes())
        );
    }
    let (passed, all) = (report.checks.iter().filter(|c| c.passed).count(), report.checks.len());
    text += &match all {
        0 => "No health checks\n".to_string(),
        all => format!("{passed} of {} passed\n", format::count(all as u64, "health check")),
    };
    let reason = crate::names::printable(report.reason.as_deref().unwrap_or("unknown").as_bytes());
    text += &match report.state {
        BootState::Good => format!("{name} is good\n"),
        BootState::Bad => {
            format!("{name} is known to be bad, and stays so; `reroot mark-good` says otherwise\n")
        }
        BootState::Failed => format!("{name} failed: {reason}\nThe machine goes on running\n"),
        BootState::Restarting => format!("{name} failed on trial: {reason}\nRestarting\n"),
    };
    if !report.pruned.is_empty() {
        let removed: Vec<String> = report.pruned.iter().map(self::name).collect();
        text += &format!("Removed {}\n", removed.join(", "));
    }
    text
}

fn deadline(report: &Deadline) -> String {
    let name = name(&report.deployment);
    match (&report.reason, report.restarting) {
        (None, _) => format!("{name} is not on trial\n"),
        (Some(reason), true) => format!("{name} failed on trial: {reason}\nRestarting\n"),
        (Some(reason), false) => {
            format!(
                "{name} failed on trial: {reason}\nThe machine goes on running: a restart would not help\n"
            )
        }
    }
}
