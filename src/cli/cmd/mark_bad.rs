//! `reroot mark-bad`

use super::mark_good::{Which, marked};
use super::sysroot;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result};

/// Say that a deployment does not work
///
/// Its image is not installed again by `upgrade`. When it is the first in boot order, the next good deployment becomes that;
/// nothing is restarted. `mark-good` takes it back.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let sysroot = sysroot(global, context)?;
    let report = ops::mark_bad(&sysroot, &args.which.options(), args.reason.as_deref(), context)?;
    output.show(&report, marked)?;
    Ok(Code::Done)
}
