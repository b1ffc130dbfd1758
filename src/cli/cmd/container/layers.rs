//! `reroot container layers`

use super::{SourceArgument, image};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::container::{LayerChanges, Layers, layers};
use crate::ops::{Context, Error, Result};

/// Show what each layer of an image adds (A), changes (C) and deletes (D)
///
/// Without --layer a line for each layer: BROUGHT are the bytes of files that it
/// adds and changes, HIDDEN those of lower layers that it deletes or replaces,
/// which are fetched all the same.
///
/// Examples:
///   reroot container layers oci:target/image:os
///   reroot container layers quay.io/acme/os:stable --layer 3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
    /// List the paths of layer N, the lowest being 1
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let opened = places.open(&args.source.source, context)?;
    let mut report = layers(image(&opened)?, &opened.name)?;
    if let Some(number) = args.layer {
        let count = report.layers.len();
        let index = number.checked_sub(1).filter(|index| *index < count);
        let index =
            index.ok_or_else(|| Error::not_found(format!("{} has layers 1 to {count}", opened.name)))?;
        report.layers = vec![report.layers.swap_remove(index)];
    }
    output.show(&report, |report| match (args.layer, &*report.layers) {
        (Some(_), [layer]) => paths(layer),
        _ => table(report),
    })?;
    Ok(Code::Done)
}

fn table(report: &Layers) -> String {
    let rows = report.layers.iter().enumerate().map(|(index, layer)| {
        vec![
            (index + 1).to_string(),
            format::short_digest(&layer.diff_id),
            format::bytes(layer.compressed_bytes),
            layer.counted.added.to_string(),
            layer.counted.changed.to_string(),
            layer.counted.deleted.to_string(),
            format::bytes(layer.counted.brought_bytes),
            format::bytes(layer.counted.hidden_bytes),
        ]
    });
    let head = ["LAYER", "DIFF_ID", "SIZE", "A", "C", "D", "BROUGHT", "HIDDEN"];
    format::table(&head, rows, &[0, 2, 3, 4, 5, 6, 7])
}

fn paths(layer: &LayerChanges) -> String {
    let mut out = String::new();
    for change in &layer.counted.changes {
        let bytes =
            if change.bytes > 0 { format!(" ({})", format::bytes(change.bytes)) } else { String::new() };
        out += &format!("{} {}{bytes}\n", change.kind.name(), change.path);
    }
    out
}
