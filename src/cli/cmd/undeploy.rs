//! `reroot undeploy`

use super::pin::OneDeployment;
use super::{deployment, sysroot};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result};

/// Remove one deployment
///
/// The booted, the staged and pinned deployments are refused. Its files stay in the store until `prune`; its
/// number is never used again.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    one: OneDeployment,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let OneDeployment { id, stateroot, dry_run } = &args.one;
    let report =
        ops::undeploy(&sysroot(global, context)?, *id, stateroot.stateroot.as_ref(), dry_run.run(), context)?;
    output.show(&report, |report| {
        let name = deployment(report.id, &report.stateroot);
        let next = report.next.as_ref().map_or_else(
            || "No deployment is left\n".into(),
            |next| format!("First in boot order is {}\n", deployment(next.id, &next.stateroot)),
        );
        match (report.unchanged, report.dry_run) {
            (true, _) => format!("No change: {name} is gone already\n"),
            (false, true) => format!("Would remove {name}\n"),
            (false, false) => format!("Removed {name}\n{next}"),
        }
    })?;
    Ok(Code::Done)
}
