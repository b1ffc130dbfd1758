//! `reroot diff`

use super::sysroot;
use crate::cli::args::{Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::names::printable;
use crate::ops::{self, Change, Context, Diff, DiffOptions, PackageChange, PackageDiff, Result, Side, Times};

/// Compare two deployments or stored images
///
/// Lists packages that were added (+), removed (-), upgraded or downgraded, then paths that
/// were added, removed and changed, with what changed.
///
/// Examples:
///   reroot diff 1 2
///   reroot diff 2 quay.io/acme/os:next
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Args {
    /// A deployment number, or a stored image by reference or digest
    #[arg(value_name = "A")]
    from: Side,
    /// The same, the newer one
    #[arg(value_name = "B")]
    to: Side,
    /// Also list files that differ in their time alone
    #[arg(long)]
    times: bool,
    /// Only packages
    #[arg(long)]
    packages: bool,
    #[command(flatten)]
    stateroot: InStateroot,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    output: Output,
    context: &Context<'_>,
) -> Result<Code> {
    let options = DiffOptions {
        stateroot: args.stateroot.stateroot.clone(),
        times: if args.times { Times::Compare } else { Times::Ignore },
    };
    let diff = ops::diff(&sysroot(global, context)?, &args.from, &args.to, &options)?;
    output.show(&diff, |diff| text(diff, args.packages))?;
    Ok(Code::Done)
}

fn text(diff: &Diff, packages_only: bool) -> String {
    let mut out = format!("{} -> {}\n", diff.from.name, diff.to.name);
    let packages = &diff.packages;
    package_lines(packages).iter().for_each(|line| out += &format!("{line}\n"));
    if !packages_only {
        diff.added.iter().for_each(|path| out += &format!("+ {path}\n"));
        diff.removed.iter().for_each(|path| out += &format!("- {path}\n"));
        for change in &diff.changed {
            let what: Vec<String> = change.changes.iter().map(words).collect();
            out += &format!("* {} ({})\n", change.path, what.join(", "));
        }
    }
    if diff.added.is_empty() && diff.removed.is_empty() && diff.changed.is_empty() {
        out += "no difference\n";
    }
    out
}

/// A line for each package that differs, and for each database that was not read.
pub(super) fn package_lines(packages: &PackageDiff) -> Vec<String> {
    let mut lines = Vec::new();
    for (sign, list) in [
        ("+", &packages.added),
        ("-", &packages.removed),
        ("↑", &packages.upgraded),
        ("↓", &packages.downgraded),
    ] {
        lines.extend(list.iter().map(|package| format!("package {sign} {}", package_line(package))));
    }
    lines.extend(packages.not_read.iter().map(|database| format!("package database not read: {database}")));
    lines
}

pub(super) fn package_line(package: &PackageChange) -> String {
    let version = |v: &Option<String>| v.as_deref().map(|v| printable(v.as_bytes())).unwrap_or_default();
    let name = printable(package.name.as_bytes());
    match (&package.from, &package.to) {
        (Some(_), Some(_)) => format!("{name} {} -> {}", version(&package.from), version(&package.to)),
        (from, to) => format!("{name} {}{}", version(from), version(to)),
    }
}

pub(super) fn words(change: &Change) -> String {
    match change {
        Change::Type { from, to } => format!("{from} -> {to}"),
        Change::Mode { from, to } => format!("mode {from} -> {to}"),
        Change::Owner { from, to } => format!("owner {from} -> {to}"),
        Change::Xattrs { names } => format!("xattrs {}", names.join(" ")),
        Change::Target { from, to } => format!("link to {from} -> {to}"),
        Change::Device { from, to } => format!("device {from} -> {to}"),
        Change::Content => "content".into(),
        Change::Size { from, to } => format!("size {from} -> {to}"),
        Change::Mtime { from, to } => format!("time {from} -> {to}"),
    }
}
