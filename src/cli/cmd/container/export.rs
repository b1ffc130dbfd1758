//! `reroot container export`

use super::SourceArgument;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::container::{Destination, ExportOptions, export};
use crate::oci::write::LayerCompression;
use crate::ops::{Context, Result};

/// Write an image, a deployment or a directory for other programs
///
/// As a tar of the root, as an image with one layer, or as a bundle that crun and
/// runc run. An image keeps its config: labels, environment, command. With the
/// same input the bytes are the same; SOURCE_DATE_EPOCH says when an image was
/// made.
///
/// Examples:
///   reroot container export quay.io/acme/os:stable -o tar:- | tar -t
///   reroot container export ./root -o oci-archive:os.tar:os
///   reroot container export 3 -o bundle:try -- /bin/sh -c 'cat /etc/os-release' && crun run --bundle try os
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
    /// Where to: a tar, a bundle, or a place for an image
    #[arg(short, long, value_name = "DEST", long_help = DESTINATION)]
    output: Destination,
    /// How to compress the layer of an image
    #[arg(long, value_name = "HOW", default_value = "gzip")]
    compression: Compression,
    /// What a bundle runs; by default what the image says, or /bin/sh
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

const DESTINATION: &str = "\
Where to: tar:FILE (- is stdout), bundle:DIR, or an image: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] \
or docker://HOST/REPOSITORY[:TAG]";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Compression {
    /// What every program reads
    Gzip,
    /// Smaller and quicker than gzip
    Zstd,
    /// zstd of which podman fetches only the files that it lacks
    #[value(name = "zstd:chunked")]
    ZstdChunked,
    /// The tar as it is
    None,
}

impl Compression {
    pub(super) fn of_layer(self) -> LayerCompression {
        match self {
            Self::Gzip => LayerCompression::Gzip,
            Self::Zstd => LayerCompression::Zstd,
            Self::ZstdChunked => LayerCompression::ZstdChunked,
            Self::None => LayerCompression::None,
        }
    }
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let opened = places.open(&args.source.source, context)?;
    let options = ExportOptions { compression: args.compression.of_layer(), command: args.command.clone() };
    let report = export(&opened, &args.output, &options, context)?;
    if args.output != Destination::Stdout {
        output.show(&report, |report| match (&report.digest, report.layer_bytes) {
            (Some(digest), Some(bytes)) => {
                format!(
                    "Wrote {} to {} ({digest}, {})\n{}",
                    report.name,
                    report.destination,
                    format::bytes(bytes),
                    super::pushed(report.pushed.as_ref())
                )
            }
            _ => format!("Wrote {} to {}\n", report.name, report.destination),
        })?;
    }
    Ok(Code::Done)
}
