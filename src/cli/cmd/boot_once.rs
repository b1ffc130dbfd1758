//! `reroot boot-once`

use super::{deployment, sysroot};
use crate::cli::args::{Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, BootOnce, BootOnceCancelled, Context, Result};
use crate::sysroot::{DeploymentId, DeploymentKey};

/// Boot a deployment once, at the next start
///
/// The boot order stays as it is: the start after that boots the default again. Whoever chooses something else in the
/// boot menu has used it up.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The number of the deployment
    #[arg(value_name = "N", required_unless_present = "cancel")]
    id: Option<DeploymentId>,
    #[command(flatten)]
    stateroot: InStateroot,
    /// Restart the machine now
    #[arg(long)]
    apply: bool,
    /// Take it back: the next start boots the default
    #[arg(long, conflicts_with_all = ["id", "stateroot", "apply"])]
    cancel: bool,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let sysroot = sysroot(global, context)?;
    match args.id {
        None => output.show(&ops::cancel_boot_once(&sysroot, context)?, cancelled)?,
        Some(id) => {
            output.show(&ops::boot_once(&sysroot, id, args.stateroot.stateroot.as_ref(), context)?, once)?;
            if args.apply {
                ops::restart_for_boot_once(&sysroot, context)?;
            }
        }
    }
    Ok(Code::Done)
}

fn once(report: &BootOnce) -> String {
    let version =
        report.version.as_deref().map(|v| format!(" (version {})", crate::names::printable(v.as_bytes())));
    let name = deployment(report.id, &report.stateroot);
    let then = match &report.then {
        Some(then) if (&then.id, &then.stateroot) == (&report.id, &report.stateroot) => {
            "it is the default, and boots after that too\n".into()
        }
        then => format!("after that {} boots again\n", default(then.as_ref())),
    };
    format!("The next start boots {name}{}; {then}", version.unwrap_or_default())
}

fn cancelled(report: &BootOnceCancelled) -> String {
    let start = if report.unchanged { "No change: the" } else { "The" };
    format!("{start} next start boots {}\n", default(report.next.as_ref()))
}

fn default(key: Option<&DeploymentKey>) -> String {
    key.map_or_else(|| "the default".into(), |key| deployment(key.id, &key.stateroot))
}
