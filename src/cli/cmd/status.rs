//! `reroot status`

mod deployment;
mod lines;
mod merge;
mod summary;

use super::sysroot;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, Result, Status};
use crate::sysroot::DeploymentKey;
use lines::Lines;

/// Show what runs, what boots next and why, and the deployments in boot order
///
/// ● marks the deployment that runs, ▸ the one that boots next when that is another. The last lines sum up, and say
/// what is wrong.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Show whole digests, absolute times, paths, kernel arguments, what became of /etc, failed boots and images
    #[arg(short, long)]
    verbose: bool,
    /// End with exit code 77 when a reboot would bring another deployment than the one that runs
    #[arg(long)]
    pending_exit_77: bool,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let status = ops::status(&sysroot(global, context)?)?;
    let detail = if args.verbose { Detail::All } else { Detail::Short };
    output.show(&status, |status| text(status, detail, context.env.unix_time()))?;
    let tell = args.pending_exit_77 && status.reboot_pending;
    Ok(if tell { Code::PENDING } else { Code::Done })
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Short,
    All,
}

fn text(status: &Status, detail: Detail, now: u64) -> String {
    let mut lines = Lines::default();
    if status.deployments.is_empty() {
        lines.plain("No deployments. `reroot deploy IMAGE` makes the first.");
    }
    for deployment in &status.deployments {
        deployment::stanza(deployment, status, detail, now, &mut lines);
        lines.gap();
    }
    summary::block(status, detail, now, &mut lines);
    summary::alarms(status, detail, &mut lines);
    lines.text()
}

/// `7`, with the stateroot when that is not the default one.
fn name(key: &DeploymentKey) -> String {
    match key.stateroot == Default::default() {
        true => key.id.to_string(),
        false => format!("{}/{}", key.stateroot, key.id),
    }
}

/// `7, version 13.2`
fn name_and_version(key: &DeploymentKey, status: &Status) -> String {
    let deployment = status.deployments.iter().find(|d| d.key() == *key);
    match deployment.and_then(|d| d.image.version.as_deref()) {
        Some(version) => format!("{}, version {}", name(key), crate::names::printable(version.as_bytes())),
        None => name(key),
    }
}
