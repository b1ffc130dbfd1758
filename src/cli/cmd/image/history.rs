//! `reroot image history`

use super::super::sysroot;
use super::StoredImage;
use crate::cli::args::Global;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::printable;
use crate::ops::image::{History, history};
use crate::ops::{Context, Result};

/// Show how an image was built and what each layer brought
///
/// NEW are the bytes of files that no layer below has, SHARED those that one has already.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    image: StoredImage,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<()> {
    output.show(&history(&sysroot(global, context)?, &args.image.image)?, text)
}

pub(in crate::cli::cmd) fn text(history: &History) -> String {
    let rows = history.lines.iter().map(|line| {
        let number = |n: Option<u64>| n.map_or("-".into(), format::bytes);
        let layer = line.layer.as_ref();
        vec![
            number(layer.map(|l| l.size)),
            number(layer.map(|l| l.new_bytes)),
            number(layer.map(|l| l.shared_bytes)),
            printable(line.instruction.as_deref().or(line.comment.as_deref()).unwrap_or("-").as_bytes()),
        ]
    });
    format::table(&["SIZE", "NEW", "SHARED", "INSTRUCTION"], rows, &[0, 1, 2])
}
