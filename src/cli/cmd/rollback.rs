//! `reroot rollback`

use super::{deployment, sysroot};
use crate::cli::apply::ApplyArguments;
use crate::cli::args::{DryRun, EtcArgument, Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::names::printable;
use crate::ops::{self, Context, EtcOfRollback, Result, RollbackOptions, RolledBack, StagedOne};
use crate::sysroot::DeploymentId;

/// Make the deployment before, or deployment N, first in boot order
///
/// Running it twice undoes it. Nothing is fetched and nothing is deleted. What is staged stays
/// staged: at the shutdown it comes into the boot menu behind this one. A deployment that is known
/// to be bad is passed over, unless it is asked for by its number.
///
/// Each deployment has its own /etc: the older one boots with its own, as it was left.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Args {
    /// The deployment to boot; by default the one before
    #[arg(value_name = "N")]
    id: Option<DeploymentId>,
    /// Drop what is staged
    #[arg(long)]
    drop_staged: bool,
    /// Stage a new deployment of the older files, with today's changes of /etc
    #[arg(long)]
    keep_etc: bool,
    #[command(flatten)]
    etc: EtcArgument,
    #[command(flatten)]
    apply: ApplyArguments,
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let options = RollbackOptions {
        stateroot: args.stateroot.stateroot.clone(),
        id: args.id,
        staged: if args.drop_staged { StagedOne::Drop } else { StagedOne::Keep },
        etc: match args.keep_etc {
            true => EtcOfRollback::Keep(args.etc.etc_strategy),
            false => EtcOfRollback::Own,
        },
        run: args.dry_run.run(),
    };
    let sysroot = sysroot(global, context)?;
    let report = ops::rollback(&sysroot, &options, context)?;
    output.show(&report, text)?;
    args.apply.apply(&sysroot, context, output)?;
    Ok(Code::Done)
}

fn text(report: &RolledBack) -> String {
    let to = deployment(report.to, &report.stateroot);
    let version = report.version.as_deref().map(|v| format!(" (version {})", printable(v.as_bytes())));
    let version = version.unwrap_or_default();
    if report.unchanged {
        return format!("No change: {to}{version} is first in boot order already\n");
    }
    let verb = if report.dry_run { "Would roll back" } else { "Rolled back" };
    let mut text = format!("{verb} from {} to {to}{version}\n", report.from_key());
    if let Some(older) = report.files_of {
        text += &format!(
            "It has the files of deployment {older} and the changes of /etc of the running system\n"
        );
    }
    if let Some(dropped) = &report.dropped {
        text += &format!("{dropped} is not staged any more\n");
    }
    if let Some(staged) = &report.still_staged {
        text += &format!(
            "{staged} stays staged: from the next reboot on it is in the boot menu, behind this one\n"
        );
    }
    if report.booted {
        text += "It is running already\n";
    }
    text
}
