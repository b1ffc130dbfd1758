//! `reroot container du`

mod chart;
mod page;

use super::SourceArgument;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::{Output, print};
use crate::container::{Branch, By, Usage, du};
use crate::ops::{Context, Result};

/// Show where the bytes of an image are
///
/// A content that has several names counts at the first of them, as on a disk.
/// `--format html` makes a page with a chart and a list to open and close, in one
/// file that needs nothing else; `--format svg` the chart alone.
///
/// Examples:
///   reroot container du quay.io/acme/os:stable
///   reroot container du ./root --by package --min 2
///   reroot container du oci-archive:os.tar --format html > os.html
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
    /// What to add up
    #[arg(long, value_name = "WHAT", default_value = "directory")]
    by: What,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// How many levels to show [default: as text 3, or 1 by package; all as JSON; 6 as a chart]
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Leave out what is less than so many hundredths of everything [default: 1 as text, 0 as JSON, 0.05 as a chart]
    #[arg(long, value_name = "PERCENT")]
    min: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Directory,
    Package,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Svg,
    Html,
}

impl Format {
    /// Levels, and the least share.
    fn usual_cut(self, by: By) -> (usize, f64) {
        match (self, by) {
            (Self::Text, By::Directory) => (3, 1.0),
            (Self::Text, By::Package) => (1, 1.0),
            (Self::Json, _) => (usize::MAX, 0.0),
            (Self::Svg | Self::Html, _) => (6, 0.05),
        }
    }
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let opened = places.open(&args.source.source, context)?;
    let by = match args.by {
        What::Directory => By::Directory,
        What::Package => By::Package,
    };
    let format = if output.is_json() { Format::Json } else { args.format };
    let (depth, least) = format.usual_cut(by);
    let mut usage = du(&opened, by)?;
    usage.cut(args.depth.unwrap_or(depth), args.min.unwrap_or(least) / 100.0);
    match format {
        Format::Text => print(&text(&usage))?,
        Format::Json => Output::new(true).show(&usage, |_| String::new())?,
        Format::Svg => print(&chart::svg(&usage))?,
        Format::Html => print(&page::html(&usage))?,
    }
    Ok(Code::Done)
}

fn text(usage: &Usage) -> String {
    let mut rows = Vec::new();
    add(&usage.root, usage.root.bytes, 0, &mut rows);
    let mut out = format::table(&["SIZE", "%", "FILES", "WHERE"], rows, &[0, 1, 2]);
    for reason in &usage.not_read {
        out += &format!("{reason}\n");
    }
    out
}

fn add(branch: &Branch, all: u64, level: usize, rows: &mut Vec<Vec<String>>) {
    rows.push(vec![
        format::bytes(branch.bytes),
        percent(branch.bytes, all),
        branch.files.to_string(),
        format!("{}{}", "  ".repeat(level), branch.name),
    ]);
    branch.children.iter().for_each(|child| add(child, all, level + 1, rows));
}

fn percent(bytes: u64, all: u64) -> String {
    format!("{:.1}", bytes as f64 * 100.0 / all.max(1) as f64)
}
