//! `reroot image checkout`

use std::path::PathBuf;

use super::super::sysroot;
use super::StoredImage;
use crate::cli::args::{DryRun, Global};
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::image::{CheckoutOptions, checkout};
use crate::ops::{Context, Result};
use crate::repo::Files;

/// Make the plain tree of an image in a directory
///
/// Files are hard links to the store and must not be changed in place; on another file system, or with --copy,
/// they are copies.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    image: StoredImage,
    /// The directory to make
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Copy every file
    #[arg(long)]
    copy: bool,
    /// Copy the files whose stored time is another image's
    #[arg(long)]
    exact_times: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<()> {
    let options = CheckoutOptions {
        files: if args.copy { Files::Copy } else { Files::Link },
        exact_times: args.exact_times,
        run: args.dry_run.run(),
    };
    let report = checkout(&sysroot(global, context)?, &args.image.image, &args.directory, &options, context)?;
    output.show(&report, |report| {
        if report.dry_run {
            return format!(
                "Would check out {} into {}\n",
                format::short_digest(&report.digest),
                report.path
            );
        }
        let mut text = format!(
            "Checked out {} into {}: {} linked, {} copied ({})\n",
            format::short_digest(&report.digest),
            report.path,
            format::count(report.linked, "file"),
            report.copied,
            format::bytes(report.copied_bytes)
        );
        if report.left_out > 0 {
            text +=
                &format!("{} left out: only root can make them\n", format::count(report.left_out, "device"));
        }
        text
    })
}
