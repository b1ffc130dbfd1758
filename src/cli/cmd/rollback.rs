//! `reroot rollback`

use super::{deployment, sysroot};
use crate::cli::args::{DryRun, Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result, RollbackOptions};

/// Make the deployment before first in boot order again
///
/// Running it twice undoes it. Nothing is fetched and nothing is deleted.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let options = RollbackOptions { stateroot: args.stateroot.stateroot.clone(), run: args.dry_run.run() };
    let report = ops::rollback(&sysroot(global, context)?, &options, context)?;
    output.show(&report, |report| {
        let verb = if report.dry_run { "Would roll back" } else { "Rolled back" };
        let version = report
            .version
            .as_deref()
            .map(|v| format!(" (version {})", crate::names::printable(v.as_bytes())));
        format!(
            "{verb} from deployment {} to {}{}\n",
            report.from,
            deployment(report.to, &report.stateroot),
            version.unwrap_or_default()
        )
    })?;
    Ok(Code::Done)
}
