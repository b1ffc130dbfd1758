//! `reroot fsck`

use super::sysroot;
use crate::cli::args::{DryRun, Global};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::fsck::{Checked, FsckOptions};
use crate::ops::{self, Context, Result};

/// Check that everything stored is what its name says
///
/// Reads every object and compares every deployment with its image. Ends with exit code 1 when something is
/// damaged and was not repaired.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Repair what is damaged, fetching again only what is needed
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let options = FsckOptions { repair: args.repair && !args.dry_run.dry_run };
    let report = ops::fsck::fsck(&sysroot(global, context)?, &options, context)?;
    output.show(&report, text)?;
    Ok(if report.sound { Code::Done } else { Code::Failed })
}

fn text(report: &Checked) -> String {
    let mut out = format!(
        "Checked {} ({}), {}, {} and {}\n",
        format::count(report.store.objects, "object"),
        format::bytes(report.store.object_bytes),
        format::count(report.store.layers, "layer"),
        format::count(report.store.images, "image"),
        format::count(report.deployments, "deployment"),
    );
    for problem in &report.problems {
        out += &format!("damaged: {problem}\n");
    }
    for repaired in &report.repaired {
        out += &format!("repaired: {repaired}\n");
    }
    out += match (report.problems.is_empty(), report.sound) {
        (true, _) => "Everything is sound\n",
        (false, true) => "Everything is sound now\n",
        (false, false) => "Something is damaged; `reroot fsck --repair` fetches it again\n",
    };
    out
}
