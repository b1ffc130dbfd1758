//! `reroot image pull`

use super::super::{ImageArgument, cost, image, pulled, sysroot};
use crate::cli::args::{DryRun, ForPlatform, Global, RateArgument};
use crate::cli::output::Output;
use crate::ops::image::{PullImageOptions, pull};
use crate::ops::{Context, Result};

/// Fetch an image into the store without deploying it
///
/// The image stays until `image rm`. It need not be bootable.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgument,
    #[command(flatten)]
    platform: ForPlatform,
    #[command(flatten)]
    rate: RateArgument,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<()> {
    let options = PullImageOptions { platform: args.platform.platform.clone(), run: args.dry_run.run() };
    let context = &args.rate.limit(context);
    let report = pull(&sysroot(global, context)?, &args.image.image, &options, context)?;
    output.show(&report, |report| match &report.pulled {
        None => format!("Would pull {}: {}\n", image(&report.image), cost(&report.fetch)),
        Some(done) => format!("{}Stored {}\n", pulled(done), image(&report.image)),
    })
}
