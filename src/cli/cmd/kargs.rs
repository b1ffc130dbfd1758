//! `reroot kargs`

use super::{deployment, sysroot};
use crate::boot::cmdline::KernelArg;
use crate::cli::args::{DryRun, Global, InStateroot};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::cli::{editor, format};
use crate::ops::{
    self, ChangedArguments, Context, Edits, KernelArguments, KernelArgumentsChange, KernelArgumentsOf,
    Result, ShownArgument,
};
use crate::sysroot::DeploymentId;

/// Show or change the kernel arguments
///
/// Without options shows the arguments of the deployment that boots next, and where each comes
/// from: the image's kargs.d, the machine's /etc/reroot/kargs.d, or the deployment's origin, which
/// has what this command, `--karg` and the installer have set.
///
/// A change makes a new deployment of the same files, which boots next; upgrades keep it. Files
/// in /etc/reroot/kargs.d are read again whenever a deployment is made.
///
/// Examples:
///   reroot kargs
///   reroot kargs --append console=ttyS0 --delete quiet
///   reroot kargs --replace console=ttyS0=ttyS1 --dry-run
///   reroot kargs --append 'dyndbg="file drivers/usb/* +p"'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Args {
    /// The deployment to show or to start from; by default the one that boots next
    #[arg(value_name = "N")]
    id: Option<DeploymentId>,
    /// Add an argument, even one that is there already
    #[arg(long, value_name = "ARGUMENT")]
    append: Vec<KernelArg>,
    /// Add an argument unless it is there already
    #[arg(long, value_name = "ARGUMENT")]
    append_if_missing: Vec<KernelArg>,
    /// Remove an argument, also one of the image; KEY alone when only one has it
    #[arg(long, value_name = "KEY[=VALUE]")]
    delete: Vec<KernelArg>,
    /// Give an argument another value, also one of the image; with OLD when there are several
    #[arg(long, value_name = "KEY=[OLD=]NEW")]
    replace: Vec<KernelArg>,
    /// Write them in an editor: $VISUAL, $EDITOR, else vi
    #[arg(long, conflicts_with_all = ["append", "append_if_missing", "delete", "replace", "refresh"])]
    editor: bool,
    /// Only take over what has changed in /etc/reroot/kargs.d
    #[arg(long, conflicts_with_all = ["append", "append_if_missing", "delete", "replace"])]
    refresh: bool,
    /// End with exit code 77 when nothing changed
    #[arg(long)]
    unchanged_exit_77: bool,
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Args {
    /// True when a deployment may be made.
    pub(in crate::cli) fn changes(&self) -> bool {
        let lists = [&self.append, &self.append_if_missing, &self.delete, &self.replace];
        self.editor || self.refresh || lists.into_iter().any(|list| !list.is_empty())
    }
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let sysroot = sysroot(global, context)?;
    let of = KernelArgumentsOf { id: args.id, stateroot: args.stateroot.stateroot.clone() };
    if !args.changes() {
        output.show(&ops::kernel_arguments(&sysroot, &of)?, shown)?;
        return Ok(Code::Done);
    }
    let change = if args.editor {
        let was = ops::editable(&sysroot, &of)?;
        let wanted = editor::kernel_arguments(&was, context.env)?;
        KernelArgumentsChange::List { was, wanted }
    } else if args.refresh {
        KernelArgumentsChange::Refresh
    } else {
        KernelArgumentsChange::Edits(Edits {
            delete: args.delete.clone(),
            replace: args.replace.clone(),
            append: args.append.clone(),
            append_if_missing: args.append_if_missing.clone(),
        })
    };
    let report = ops::change_kernel_arguments(&sysroot, &of, &change, args.dry_run.run(), context)?;
    output.show(&report, changed)?;
    Ok(if report.unchanged && args.unchanged_exit_77 { Code::Unchanged } else { Code::Done })
}

fn shown(report: &KernelArguments) -> String {
    let mut out = format!("Kernel arguments of {}\n", deployment(report.id, &report.stateroot));
    out += &table(&report.arguments);
    if !report.removed.is_empty() {
        out += "\nRemoved on this machine\n";
        out += &table(&report.removed);
    }
    out
}

fn table(arguments: &[ShownArgument]) -> String {
    let row = |a: &ShownArgument| {
        vec![a.argument.clone(), a.source.to_string(), a.file.clone().unwrap_or_default()]
    };
    format::table(&["ARGUMENT", "FROM", "FILE"], arguments.iter().map(row), &[])
}

fn changed(report: &ChangedArguments) -> String {
    let name = deployment(report.id, &report.stateroot);
    if report.unchanged {
        return format!("No change: {name} has these kernel arguments already\n");
    }
    let made = if report.dry_run { "Would make" } else { "Made" };
    let mut out = format!("{made} {name} from deployment {}\n", report.from);
    report.removed.iter().for_each(|argument| out += &format!("- {argument}\n"));
    report.added.iter().for_each(|argument| out += &format!("+ {argument}\n"));
    if report.added.is_empty() && report.removed.is_empty() {
        out += "The arguments are the same; where they come from, or their order, is not\n";
    }
    if report.dry_run {
        for key in &report.leaving {
            out += &format!("{key} would leave the boot menu and be removed: $BOOT has no room for both\n");
        }
        return out;
    }
    out + "It is first in boot order\n"
}
