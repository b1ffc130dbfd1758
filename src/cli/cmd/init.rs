//! `reroot init`

use crate::cli::args::{DryRun, Global};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::names::StaterootName;
use crate::ops::{self, Context, InitOptions, Result};
use crate::repo::Mode;

/// Make the directory given by --sysroot a sysroot
///
/// Run as root, deployments are what the image says. Run as another user, owners, modes and security attributes
/// are only recorded: such a sysroot can inspect, compare and check images, but not boot them. Running it again
/// changes nothing.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Make the stateroot NAME as well
    #[arg(long, value_name = "NAME")]
    stateroot: Option<StaterootName>,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let options = InitOptions { stateroot: args.stateroot.clone(), run: args.dry_run.run() };
    let report = ops::init(&global.sysroot, &options, context)?;
    output.show(&report, |report| {
        let mode = match report.mode {
            Mode::Bare => "",
            Mode::BareUser => " for a user without privileges",
        };
        let verb = match (report.unchanged, report.dry_run) {
            (true, _) => return format!("{} is a sysroot{mode} already\n", report.sysroot),
            (false, true) => "Would make",
            (false, false) => "Made",
        };
        format!("{verb} {} a sysroot{mode}\n", report.sysroot)
    })?;
    Ok(Code::Done)
}
