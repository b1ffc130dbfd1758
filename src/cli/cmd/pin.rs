//! `reroot pin`

use super::{deployment, sysroot};
use crate::cli::args::{DryRun, Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Pinning, Result};
use crate::sysroot::DeploymentId;

/// Keep a deployment until it is unpinned
///
/// A pinned deployment is never pruned and does not count towards how many are retained.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) one: OneDeployment,
}

/// A deployment that something is done to.
#[derive(Debug, clap::Args)]
pub(super) struct OneDeployment {
    /// The number of the deployment
    #[arg(value_name = "N")]
    pub id: DeploymentId,
    #[command(flatten)]
    pub stateroot: InStateroot,
    #[command(flatten)]
    pub dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let OneDeployment { id, stateroot, dry_run } = &args.one;
    let report =
        ops::pin(&sysroot(global, context)?, *id, stateroot.stateroot.as_ref(), dry_run.run(), context)?;
    output.show(&report, pinning)?;
    Ok(Code::Done)
}

pub(super) fn pinning(report: &Pinning) -> String {
    let name = deployment(report.id, &report.stateroot);
    let state = if report.pinned { "pinned" } else { "not pinned" };
    match (report.unchanged, report.dry_run) {
        (true, _) => format!("No change: {name} is {state}\n"),
        (false, true) => format!("Would change {name}: {state}\n"),
        (false, false) => format!("Changed {name}: {state}\n"),
    }
}
