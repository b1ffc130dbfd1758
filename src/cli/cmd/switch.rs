//! `reroot switch`

use super::{ImageArgument, sysroot, upgrade};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result};

/// Follow another image from now on
///
/// Makes a new deployment of IMAGE; `upgrade` then looks there. Local kernel arguments and /var stay.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    options: upgrade::Options,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let context = &args.options.rate.limit(context);
    let sysroot = sysroot(global, context)?;
    let report = ops::switch(&sysroot, &args.image.image, &args.options.upgrade_options(), context)?;
    args.options.finish(&sysroot, &report, context, output)
}
