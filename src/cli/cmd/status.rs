//! `reroot status`

use jiff::Timestamp;

use super::sysroot;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::{StaterootName, printable};
use crate::ops::{self, Context, DeploymentStatus, Result, Status};
use crate::sysroot::Slot;

/// Show the deployments in boot order
///
/// ● marks the booted deployment, ▸ the one that boots next when none is booted.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Show whole digests, absolute times and paths
    #[arg(short, long)]
    verbose: bool,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let status = ops::status(&sysroot(global, context)?)?;
    output.show(&status, |status| text(status, args.verbose, context.env.unix_time()))?;
    Ok(Code::Done)
}

fn text(status: &Status, verbose: bool, now: u64) -> String {
    let mut out = String::new();
    if status.deployments.is_empty() {
        out += "No deployments. `reroot deploy IMAGE` makes the first.\n";
    }
    for (index, deployment) in status.deployments.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out += &stanza(deployment, verbose, now);
    }
    for problem in &status.problems {
        out += &format!("\nproblem: {}: {}\n", printable(problem.path.as_bytes()), problem.message);
    }
    out
}

fn stanza(deployment: &DeploymentStatus, verbose: bool, now: u64) -> String {
    let image = &deployment.image;
    let has = |slot| deployment.slots.contains(&slot);
    let mark = match (has(Slot::Booted), has(Slot::Default)) {
        (true, _) => "●",
        (false, true) => "▸",
        (false, false) => " ",
    };
    let slots: Vec<&str> = deployment.slots.iter().map(|slot| slot_name(*slot)).collect();
    let mut name = deployment.id.to_string();
    if deployment.stateroot != StaterootName::default() {
        name = format!("{}/{name}", deployment.stateroot);
    }
    let slots = if slots.is_empty() { String::new() } else { format!("  ({})", slots.join(", ")) };
    let mut out = format!("{mark} {name}: {}{slots}\n", image.reference);
    let mut field = |label: &str, value: String| out += &format!("{label:>11}: {value}\n");
    let built = image.timestamp.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    let age =
        built.map(|t| format!(" (built {})", if verbose { t.to_string() } else { format::age(t, now) }));
    let version = image.version.as_deref().map_or("none".into(), |v| printable(v.as_bytes()));
    field("Version", version + &age.unwrap_or_default());
    let digest = if verbose { image.digest.to_string() } else { format::short_digest(&image.digest) };
    field("Digest", digest);
    if let (Some(size), Some(unique)) = (deployment.size_bytes, deployment.unique_bytes) {
        field("Size", format!("{}, {} of its own", format::bytes(size), format::bytes(unique)));
    }
    if deployment.follows.as_deref().is_some_and(|follows| follows != image.reference) {
        field("Follows", deployment.follows.clone().unwrap_or_default());
    }
    if verbose {
        field("Kernel", deployment.kernel.clone());
        field("Tree", deployment.tree.to_string());
        field("Path", deployment.path.clone());
        field("Deployed", deployment.created.to_string());
        field("Order", deployment.order.to_string());
        if !deployment.kernel_arguments.is_empty() {
            field("Arguments", words(&deployment.kernel_arguments));
        }
    } else {
        field("Deployed", format::age(deployment.created, now));
    }
    out
}

fn slot_name(slot: Slot) -> &'static str {
    match slot {
        Slot::Booted => "booted",
        Slot::Staged => "staged",
        Slot::Default => "default",
        Slot::Rollback => "rollback",
        Slot::Pinned => "pinned",
    }
}

fn words<T: ToString>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}
