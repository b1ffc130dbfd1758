//! `reroot image inspect`

use super::super::sysroot;
use super::StoredImage;
use crate::cli::args::Global;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::printable;
use crate::ops::image::{Inspected, inspect};
use crate::ops::{Context, Result};

/// Show what is known of an image in the store
///
/// With --json the manifest and the config are shown whole.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    image: StoredImage,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<()> {
    output.show(&inspect(&sysroot(global, context)?, &args.image.image)?, text)
}

fn text(image: &Inspected) -> String {
    let none = || "none".to_owned();
    let mut out = String::new();
    let mut field = |label: &str, value: String| out += &format!("{label:>9}: {value}\n");
    field("Reference", image.reference.clone().unwrap_or_else(none));
    field("Digest", image.digest.to_string());
    if let Some(index) = &image.index_digest {
        field("Index", index.to_string());
    }
    field("Version", image.image_version.as_deref().map_or_else(none, |v| printable(v.as_bytes())));
    field("Built", image.timestamp.as_deref().map_or_else(none, |t| printable(t.as_bytes())));
    field("Pulled", image.pulled.to_string());
    field("Kernel", image.kernel.clone().unwrap_or_else(none));
    field("Tree", image.tree.to_string());
    out.push('\n');
    let rows = image.layers.iter().enumerate().map(|(index, layer)| {
        vec![
            (index + 1).to_string(),
            format::bytes(layer.size),
            format::short_digest(&layer.digest),
            format::short_digest(&layer.diff_id),
        ]
    });
    out + &format::table(&["LAYER", "SIZE", "DIGEST", "DIFF ID"], rows, &[0, 1])
}
