//! `reroot container history`

use super::super::image::history::text;
use super::{SourceArgument, image};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::image::history;
use crate::ops::{Context, Error, Result};

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
    let digest = image(&opened)?.record.manifest_digest.to_string();
    let store = opened.store.ok_or_else(|| Error::bug("an image is in a store"))?;
    output.show(&history(store, &digest)?, text)?;
    Ok(Code::Done)
}
