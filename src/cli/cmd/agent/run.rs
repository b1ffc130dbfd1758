//! `reroot agent run`

use crate::agent::{self, Mode};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::ops::{Context, Result};

/// Run the agent until it is told to end
///
/// SIGHUP makes it read its configuration again. What it does is in the journal, and in `reroot agent status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look once, and do what may be done now; what has to wait longer is for the next run
    #[arg(long)]
    once: bool,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>) -> Result<Code> {
    let mode = if args.once { Mode::Once } else { Mode::Service };
    agent::run(global.sysroot.clone(), mode, context.env)?;
    Ok(Code::Done)
}
