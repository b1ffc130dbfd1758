//! `reroot finalize-staged`

use super::{deployment, finalization, sysroot};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, FinalizationLock, Finalized, Result};

/// Finish the staged deployment: merge /etc and make it boot next
///
/// reroot-finalize-staged.service runs this at every shutdown, when nothing changes /etc any more;
/// there is no need to run it by hand. With --lock no shutdown finishes it: the system that runs
/// now boots again, and the staged deployment is lost with that reboot (what was fetched is not).
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Args {
    /// Do not finish it at the shutdown until it is unlocked
    #[arg(long, conflicts_with = "unlock")]
    lock: bool,
    /// Finish it at the next shutdown
    #[arg(long)]
    unlock: bool,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let sysroot = sysroot(global, context)?;
    if args.lock || args.unlock {
        let report = ops::set_finalization(&sysroot, finalization(args.lock), context)?;
        output.show(&report, locked)?;
    } else {
        output.show(&ops::finalize_staged(&sysroot, context)?, finalized)?;
    }
    Ok(Code::Done)
}

fn locked(report: &FinalizationLock) -> String {
    let name = deployment(report.id, &report.stateroot);
    let state = if report.locked { "is locked: no shutdown finishes it" } else { "boots at the next reboot" };
    format!("{name} {state}\n")
}

fn finalized(report: &Option<Finalized>) -> String {
    match report {
        None => "Nothing is staged\n".into(),
        Some(report) => {
            let name = deployment(report.id, &report.stateroot);
            match report.done {
                true => format!("Finalized {name}: it boots next\n"),
                false => format!("Not finalizing {name}: it is locked\n"),
            }
        }
    }
}
