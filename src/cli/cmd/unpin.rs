//! `reroot unpin`

use super::pin::{OneDeployment, pinning};
use super::sysroot;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result};

/// Let a pinned deployment be pruned again
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
        ops::unpin(&sysroot(global, context)?, *id, stateroot.stateroot.as_ref(), dry_run.run(), context)?;
    output.show(&report, pinning)?;
    Ok(Code::Done)
}
