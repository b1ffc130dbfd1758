//! `reroot image rm`

use super::super::{deployment, sysroot};
use super::StoredImage;
use crate::cli::args::{DryRun, Global};
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::image::remove;
use crate::ops::{Context, Result};

/// Let go of a stored image by its reference
///
/// Its files stay until `prune`, and as long as a deployment or another reference needs them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    image: StoredImage,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<()> {
    let report = remove(&sysroot(global, context)?, &args.image.image, args.dry_run.run(), context)?;
    output.show(&report, |report| {
        let verb = if report.dry_run { "Would let go of" } else { "Let go of" };
        let mut kept: Vec<String> = report.other_references.clone();
        kept.extend(report.deployments.iter().map(|key| deployment(key.id, &key.stateroot)));
        let next = match kept.is_empty() {
            true => "`reroot prune` removes what nothing else needs".into(),
            false => format!("still kept by {}", kept.join(", ")),
        };
        let image = format!("{} ({})", report.reference, format::short_digest(&report.digest));
        match report.unchanged {
            true => format!("No change: {image} has no name of its own; {next}\n"),
            false => format!("{verb} {image}; {next}\n"),
        }
    })
}
