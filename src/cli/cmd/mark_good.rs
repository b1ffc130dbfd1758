//! `reroot mark-good`

use super::{deployment, sysroot};
use crate::cli::args::{DryRun, Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::health::{MarkOptions, Marked};
use crate::ops::{self, Context, Result};
use crate::sysroot::{DeploymentId, HealthState};

/// Say that a deployment works
///
/// The boot loader does not count its boots any more, and its image may be installed again. A boot that completes does this
/// by itself.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
}

/// A deployment about which something is said.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The number of the deployment; by default the one that runs
    #[arg(value_name = "N")]
    id: Option<DeploymentId>,
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Which {
    pub(super) fn options(&self) -> MarkOptions {
        MarkOptions { id: self.id, stateroot: self.stateroot.stateroot.clone(), run: self.dry_run.run() }
    }
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let report = ops::mark_good(&sysroot(global, context)?, &args.which.options(), context)?;
    output.show(&report, marked)?;
    Ok(Code::Done)
}

pub(super) fn marked(report: &Marked) -> String {
    let name = deployment(report.deployment.id, &report.deployment.stateroot);
    let state = match report.state {
        HealthState::Good => "good",
        HealthState::Bad => "bad",
        HealthState::Untried => "untried",
    };
    let text = match (report.unchanged, report.dry_run) {
        (true, _) => format!("No change: {name} is {state}\n"),
        (false, true) => format!("Would mark {name} as {state}\n"),
        (false, false) => format!("Marked {name} as {state}\n"),
    };
    let next = report.next.as_ref().map(|next| deployment(next.id, &next.stateroot));
    text + &next.map(|next| format!("First in boot order is {next}\n")).unwrap_or_default()
}
