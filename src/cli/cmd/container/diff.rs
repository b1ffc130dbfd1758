//! `reroot container diff`

use super::super::diff::{package_line, package_lines, words};
use super::{SOURCE, Where};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::{Output, print};
use crate::container::{Comparison, Names, Side, Source, compare};
use crate::names::printable;
use crate::ops::{Context, Result, Times};

/// So many paths are shown for people.
const SHOWN: usize = 40;

/// Show what changes from one image to another
///
/// Kernel, kernel arguments, units, labels, packages and files, and what a machine
/// fetches that has the first. `--format markdown` is for release notes.
///
/// Examples:
///   reroot container diff quay.io/acme/os:stable quay.io/acme/os:next
///   reroot container diff oci:old ./root --format markdown
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The older one
    #[arg(value_name = "A", long_help = SOURCE)]
    from: Source,
    /// The newer one
    #[arg(value_name = "B", long_help = SOURCE)]
    to: Source,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Also list files that differ in their time alone
    #[arg(long)]
    times: bool,
    /// Show all paths
    #[arg(long)]
    no_truncate: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.place.places(global);
    let (from, to) = (places.open(&args.from, context)?, places.open(&args.to, context)?);
    let report = compare(&from, &to, if args.times { Times::Compare } else { Times::Ignore })?;
    match args.format {
        Format::Text => output.show(&report, |report| text(report, args.no_truncate))?,
        Format::Json => Output::new(true).show(&report, |_| String::new())?,
        Format::Markdown => print(&markdown(&report))?,
    }
    Ok(Code::Done)
}

/// What is said about both sides, a line for each thing that differs.
fn facts(report: &Comparison) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let (from, to) = (&report.from, &report.to);
    let both = |a: &Option<String>, b: &Option<String>| {
        let word =
            |side: &Option<String>| side.as_deref().map_or("none".into(), |text| printable(text.as_bytes()));
        (a != b).then(|| format!("{} -> {}", word(a), word(b)))
    };
    facts.extend(both(&from.image_version, &to.image_version).map(|text| ("Version", text)));
    facts.extend(both(&from.kernel, &to.kernel).map(|text| ("Kernel", text)));
    facts.push(("Size", format!("{} -> {}", format::bytes(from.bytes), format::bytes(to.bytes))));
    if let (Some(bytes), Some(layers)) = (report.fetch_bytes, report.fetch_layers) {
        let of = to.compressed_bytes.map(|all| format!(" of {}", format::bytes(all))).unwrap_or_default();
        facts.push((
            "To fetch",
            format!("{}{of}, {}", format::bytes(bytes), format::count(layers as u64, "layer")),
        ));
    }
    facts
}

/// What only one of the two has: one of it, the heading of a list, and the list.
fn names(report: &Comparison) -> [(&'static str, &'static str, &Names); 3] {
    [
        ("argument", "Arguments", &report.kernel_arguments),
        ("unit", "Units", &report.units),
        ("label", "Labels", &report.labels),
    ]
}

fn text(report: &Comparison, all: bool) -> String {
    let title = |side: &Side| printable(side.name.as_bytes());
    let mut out = format!("{} -> {}\n", title(&report.from), title(&report.to));
    for (name, text) in facts(report) {
        out += &format!("{:<10}{text}\n", format!("{name}:"));
    }
    for (what, _, names) in names(report) {
        names.added.iter().for_each(|name| out += &format!("{what} + {}\n", printable(name.as_bytes())));
        names.removed.iter().for_each(|name| out += &format!("{what} - {}\n", printable(name.as_bytes())));
    }
    package_lines(&report.packages).iter().for_each(|line| out += &format!("{line}\n"));
    let mut paths: Vec<String> = report.added.iter().map(|path| format!("+ {path}")).collect();
    paths.extend(report.removed.iter().map(|path| format!("- {path}")));
    paths.extend(report.changed.iter().map(|change| {
        let what: Vec<String> = change.changes.iter().map(words).collect();
        format!("* {} ({})", change.path, what.join(", "))
    }));
    let shown = if all { paths.len() } else { SHOWN };
    paths.iter().take(shown).for_each(|line| out += &format!("{line}\n"));
    if paths.len() > shown {
        out += &format!("… and {} more paths (--no-truncate)\n", paths.len() - shown);
    }
    if paths.is_empty()
        && report.packages.is_empty()
        && names(report).iter().all(|(_, _, names)| names.is_empty())
    {
        out += "no difference\n";
    }
    out
}

/// For release notes: what people look for first, files only by their number.
fn markdown(report: &Comparison) -> String {
    let mut out = format!("## {} → {}\n\n", cell(&report.from.name), cell(&report.to.name));
    for (name, text) in facts(report) {
        out += &format!("- {name}: {}\n", cell(&text.replace(" -> ", " → ")));
    }
    let (added, removed, changed) = (report.added.len(), report.removed.len(), report.changed.len());
    out += &format!("- Files: {added} added, {removed} removed, {changed} changed\n");
    let packages = &report.packages;
    for (title, list) in [
        ("Upgraded packages", &packages.upgraded),
        ("Downgraded packages", &packages.downgraded),
        ("New packages", &packages.added),
        ("Removed packages", &packages.removed),
    ] {
        if !list.is_empty() {
            out += &format!("\n### {title}\n\n");
            list.iter().for_each(|package| {
                out += &format!("- {}\n", cell(&package_line(package).replace(" -> ", " → ")))
            });
        }
    }
    for (_, title, names) in names(report) {
        if !names.is_empty() {
            out += &format!("\n### {title}\n\n");
            names.added.iter().for_each(|name| out += &format!("- added: `{}`\n", code(name)));
            names.removed.iter().for_each(|name| out += &format!("- removed: `{}`\n", code(name)));
        }
    }
    out
}

/// Text of an image in Markdown, where some characters mean something.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text.as_bytes()).chars() {
        if "*_`<>[]|#&".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn code(text: &str) -> String {
    printable(text.as_bytes()).replace('`', "'")
}
