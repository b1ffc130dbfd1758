//! `reroot container inspect`

use super::SourceArgument;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::container::{Inspected, inspect};
use crate::names::printable;
use crate::ops::{Context, Result};

/// So many packages and directories are shown.
const SHOWN: usize = 10;

/// Show what an image is like: kernel, arguments, units, labels, and where its bytes are
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgument,
    /// Show all packages, directories and units
    #[arg(long)]
    no_truncate: bool,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let places = args.source.place.places(global);
    let opened = places.open(&args.source.source, context)?;
    output.show(&inspect(&opened)?, |report| text(report, args.no_truncate))?;
    Ok(Code::Done)
}

fn text(report: &Inspected, all: bool) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        out += &format!("{:<11}{}\n", format!("{name}:"), printable(text.as_bytes()))
    };
    line("Image", report.name.clone());
    if let Some(digest) = &report.digest {
        line("Digest", digest.to_string());
    }
    let release = &report.facts.os_release;
    if let Some(name) = release.get("PRETTY_NAME").or(release.get("ID")) {
        line("System", name.clone());
    }
    if let Some(created) = &report.created {
        line("Created", created.clone());
    }
    line("For", report.architecture.clone());
    if let Some(kernel) = &report.facts.kernel {
        line(
            "Kernel",
            format!(
                "{} ({}, initramfs {})",
                kernel.version,
                format::bytes(kernel.vmlinuz_bytes),
                format::bytes(kernel.initramfs_bytes)
            ),
        );
    }
    let arguments: Vec<_> =
        report.facts.kernel_arguments.iter().map(|argument| argument.value.as_str()).collect();
    if !arguments.is_empty() {
        line("Arguments", arguments.join(" "));
    }
    for (key, value) in &report.labels {
        line("Label", format!("{key}={value}"));
    }
    let facts = &report.facts;
    let size = format!(
        "{} in {}, {} and {}",
        format::bytes(facts.bytes),
        format::count(facts.files, "file"),
        format::count(facts.links, "link"),
        format::directories(facts.directories),
    );
    line("Size", size);
    if let (Some(bytes), Some(layers)) = (report.compressed_bytes, report.layers) {
        line("To fetch", format!("{} in {}", format::bytes(bytes), format::count(layers as u64, "layer")));
    }
    line("Units", format!("{} wanted by others", facts.units.len()));
    for problem in facts.problems.iter().chain(&report.not_read) {
        line("Problem", problem.clone());
    }
    if all {
        out.push('\n');
        facts.units.iter().for_each(|unit| out += &format!("{unit}\n"));
    }
    let shown = if all { usize::MAX } else { SHOWN };
    let directories = report.by_directory.iter().take(shown);
    out.push('\n');
    out += &format::table(
        &["SIZE", "FILES", "DIRECTORY"],
        directories.map(|d| vec![format::bytes(d.bytes), d.files.to_string(), d.path.clone()]),
        &[0, 1],
    );
    if report.packages.is_empty() {
        return out;
    }
    out.push('\n');
    let packages = report.packages.iter().take(shown);
    out += &format::table(
        &["SIZE", "FILES", "PACKAGE", "VERSION"],
        packages
            .map(|p| vec![format::bytes(p.bytes), p.files.to_string(), p.name.clone(), p.version.clone()]),
        &[0, 1],
    );
    out += &format!(
        "{} in {}, {} in no package\n",
        format::bytes(facts.bytes.saturating_sub(report.unowned_bytes)),
        format::count(report.packages.len() as u64, "package"),
        format::bytes(report.unowned_bytes)
    );
    out
}
