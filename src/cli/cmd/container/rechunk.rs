//! `reroot container rechunk`

use super::export::Compression;
use super::{SourceArgument, To};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::container::{ImageDestination, RechunkOptions, Rechunked, Source, rechunk_to};
use crate::ops::{Context, Result};

/// Split an image into layers by package, so that an update fetches little
///
/// A package keeps its layer from version to version: an update changes the layers
/// of the packages that it changes. Two builds that know nothing of each other
/// agree; with --previous what the image before said is kept whatever happens. The
/// tree is the same before and after, which is checked. With the same input the
/// digests are the same.
///
/// Examples:
///   reroot container rechunk oci-archive:os.tar -o oci:out:os
///   reroot container rechunk oci-archive:os.tar --previous quay.io/acme/os:stable -o docker://quay.io/acme/os:stable
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
    #[command(flatten)]
    to: To,
    /// The image before, made by rechunk as well
    #[arg(long, value_name = "SOURCE")]
    previous: Option<Source>,
    /// Give what is as in the previous image but for its time the time that it has there
    #[arg(long, requires = "previous")]
    keep_times: bool,
    /// How many layers at most, 3 to 127
    #[arg(long, value_name = "N", default_value = "64")]
    max_layers: usize,
    /// How to compress layers
    #[arg(long, value_name = "HOW", default_value = "gzip")]
    compression: Compression,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let opened = places.open(&args.source.source, context)?;
    let previous = args.previous.as_ref().map(|previous| places.open(previous, context)).transpose()?;
    let previous = previous.as_ref().map(super::image).transpose()?;
    let options = RechunkOptions {
        max_layers: args.max_layers,
        compression: args.compression.of_layer(),
        keep_times: args.keep_times,
    };
    let report = rechunk_to(&opened, previous, &args.to.output, &options, &places, context)?;
    output.show(&report, |report| text(report, &args.to.output))?;
    Ok(Code::Done)
}

fn text(report: &Rechunked, destination: &ImageDestination) -> String {
    let mut out = format!(
        "Wrote {} to {destination} ({}, {} in {})\n",
        report.name,
        report.digest,
        format::bytes(report.bytes),
        format::count(report.layers.len() as u64, "layer")
    );
    if let (Some(bytes), Some(layers)) = (report.fetch_bytes, report.fetch_layers) {
        out += &format!(
            "An update from the previous image fetches {} in {}",
            format::bytes(bytes),
            format::count(layers as u64, "layer"),
        );
        if let Some(plain) = report.plain_bytes {
            out += &format!("; with the layers as they were built it would be {}", format::bytes(plain));
        }
        out.push('\n');
    }
    if report.kept_times > 0 {
        out += &format!(
            "{} got the time that they have in the previous image\n",
            format::count(report.kept_times as u64, "path")
        );
    }
    out + &super::pushed(report.pushed.as_ref())
}
