//! `reroot container mount`

use std::path::PathBuf;

use super::SourceArgument;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::container::mount;
use crate::ops::{Context, Result};

/// Mount an image, a deployment or a directory to look at it
///
/// Read-only, and without devices and setuid programs. Of an image there are hard
/// links in the store, which `umount` takes away with the mount. Needs root, or a
/// user namespace, whose mounts only its own processes see.
///
/// Examples:
///   reroot container mount quay.io/acme/os:stable /mnt
///   reroot container mount 3 /mnt && diff -r /mnt/usr /usr; reroot container umount /mnt
///   unshare --map-root-user --mount sh -c \
///     'reroot container mount oci:out:os /mnt; ls /mnt; reroot container umount /mnt'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
    /// Where, an existing directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let report = mount(&args.source.source, &args.directory, &places, context)?;
    output.show(&report, |report| format!("Mounted {} at {}\n", report.name, report.path))?;
    Ok(Code::Done)
}
