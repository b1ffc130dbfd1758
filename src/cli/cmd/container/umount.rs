//! `reroot container umount`

use std::path::PathBuf;

use super::Where;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::container::unmount;
use crate::ops::{Context, Result};

/// Unmount what `mount` has mounted
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it is
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let report = unmount(&args.directory, &args.place.places(global), context)?;
    output.show(&report, |report| format!("Unmounted {}\n", report.path))?;
    Ok(Code::Done)
}
