//! `reroot container commit`

use super::export::Compression;
use super::{SOURCE, To, Where};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::container::{CommitOptions, Committed, Source, commit};
use crate::ops::{Context, Result};

/// So many paths are shown for people.
const SHOWN: usize = 20;

/// Write what was changed as one more layer of an image
///
/// Of a directory that an image was unpacked into (`--base` says which), or of a
/// deployment: its /etc, and /usr of the running system where `usr-overlay` makes
/// it writable. What is the machine's own is left out: machine-id, hostname, host
/// keys of SSH. The other layers are those of the image, so that whoever has it
/// fetches the new one alone. To be tried out; what is to last belongs into a
/// Containerfile.
///
/// Examples:
///   reroot container commit ./root --base quay.io/acme/os:stable -o oci:out:os
///   reroot container commit 3 -o docker://quay.io/acme/os:try --message "a larger buffer"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A directory (with a slash or `./` in front) or the number of a deployment
    #[arg(value_name = "SOURCE")]
    source: Source,
    #[command(flatten)]
    to: To,
    /// The image that the directory began with
    #[arg(long, value_name = "IMAGE", long_help = SOURCE)]
    base: Option<Source>,
    /// What was changed, for the history of the image
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// How to compress the layer
    #[arg(long, value_name = "HOW", default_value = "gzip")]
    compression: Compression,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.place.places(global);
    let options = CommitOptions {
        base: args.base.clone(),
        message: args.message.clone(),
        compression: args.compression.of_layer(),
    };
    let report = commit(&args.source, &args.to.output, &options, &places, context)?;
    output.show(&report, |report| text(report, &args.to.output.to_string()))?;
    Ok(Code::Done)
}

fn text(report: &Committed, destination: &str) -> String {
    let mut out = String::new();
    let lists = [("", &report.written), ("deleted ", &report.deleted), ("left out ", &report.left_out)];
    let mut lines =
        lists.iter().flat_map(|(word, paths)| paths.iter().map(move |path| format!("{word}{path}\n")));
    lines.by_ref().take(SHOWN).for_each(|line| out += &line);
    let more = lines.count();
    if more > 0 {
        out += &format!("and {more} more\n");
    }
    let on = if report.base == report.name { String::new() } else { format!(" on {}", report.base) };
    out += &format!(
        "Wrote {}{on} to {destination} ({}, a layer of {})\n",
        report.name,
        report.digest,
        format::bytes(report.layer_bytes)
    );
    out + &super::pushed(report.pushed.as_ref())
}
