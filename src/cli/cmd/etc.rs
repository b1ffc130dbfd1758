//! `reroot etc`

use super::{deployment, sysroot};
use crate::cli::args::{Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::{self, Context, EtcDrift, Result};
use crate::sysroot::DeploymentId;

/// See what was changed in /etc
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Diff(Diff),
}

/// Compare the /etc of a deployment with the defaults of its image
///
/// Lists what was modified (M), added (A) and deleted (D) on this machine: what a new deployment
/// keeps. Times do not count.
#[derive(Debug, clap::Args)]
struct Diff {
    /// The number of the deployment; by default the booted one, else the first in boot order
    #[arg(value_name = "N")]
    id: Option<DeploymentId>,
    /// Show what was modified: type, content, target, mode, owner, xattrs
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    stateroot: InStateroot,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let Command::Diff(Diff { id, verbose, stateroot }) = &args.command;
    let drift = ops::etc_drift(&sysroot(global, context)?, *id, stateroot.stateroot.as_ref())?;
    output.show(&drift, |drift| text(drift, *verbose))?;
    Ok(Code::Done)
}

fn text(drift: &EtcDrift, verbose: bool) -> String {
    let mut out = String::new();
    for change in &drift.changes {
        out += &format!("{} {}", change.kind.letter(), change.path);
        if verbose && !change.what.is_empty() {
            out += &format!(" ({})", change.what.names().collect::<Vec<_>>().join(", "));
        }
        out.push('\n');
    }
    for skipped in &drift.skipped {
        out += &format!("not kept: {} ({})\n", skipped.path, skipped.kind);
    }
    if drift.changes.is_empty() {
        out += &format!("The /etc of {} is as its image has it\n", deployment(drift.id, &drift.stateroot));
    } else if verbose {
        out += &format!("{}\n", format::count(drift.changes.len() as u64, "change"));
    }
    out
}
