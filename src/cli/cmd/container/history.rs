//! `reroot container history`

use super::super::image::history::text;
use super::{SourceArgument, image};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::image::history;
use crate::ops::{Context, Result};

/// Show how an image was built and what each instruction brought
///
/// NEW are the bytes of files that no layer below has, SHARED those that one has already, or another image of the store.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let opened = places.open(&args.source.source, context)?;
    let image = image(&opened)?;
    output.show(&history(image.store, &image.record.manifest_digest.to_string())?, text)?;
    Ok(Code::Done)
}
