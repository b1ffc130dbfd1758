//! `reroot unstage`

use super::sysroot;
use crate::cli::args::{DryRun, Global};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result, Unstaged};

/// Drop the staged deployment: the next reboot brings nothing new
///
/// What was fetched for it stays in the store until `prune`, so that staging it again is quick.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// End with exit code 77 when nothing was staged
    #[arg(long)]
    unchanged_exit_77: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let report = ops::unstage(&sysroot(global, context)?, args.dry_run.run(), context)?;
    output.show(&report, text)?;
    Ok(if report.unchanged && args.unchanged_exit_77 { Code::Unchanged } else { Code::Done })
}

fn text(report: &Unstaged) -> String {
    match &report.deployment {
        None => "No change: nothing is staged\n".into(),
        Some(key) if report.dry_run => format!("Would drop {key}, which is staged\n"),
        Some(key) => format!("Dropped {key}, which was staged\n"),
    }
}
