//! `reroot upgrade`

use super::{cost, deployed, deployment, image, sysroot};
use crate::cli::args::{DryRun, ForPlatform, Global, InStateroot, InitramfsArgument};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::{self, Context, Downgrade, Result, UpdateCheck, UpgradeOptions};

/// Fetch the newest version of the image that is followed
///
/// Looks at the image that the first deployment follows, and makes a new deployment when that has changed. The
/// new deployment keeps the local kernel arguments.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only look whether there is something new; fetches metadata alone
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    #[command(flatten)]
    options: Options,
}

/// What upgrade and switch share.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Take an image that is older than the one deployed
    #[arg(long)]
    allow_downgrade: bool,
    /// End with exit code 77 when nothing changed
    #[arg(long)]
    unchanged_exit_77: bool,
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    platform: ForPlatform,
    #[command(flatten)]
    initramfs: InitramfsArgument,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Options {
    pub(super) fn upgrade_options(&self) -> UpgradeOptions {
        UpgradeOptions {
            stateroot: self.stateroot.stateroot.clone(),
            platform: self.platform.platform.clone(),
            downgrade: if self.allow_downgrade { Downgrade::Allow } else { Downgrade::Refuse },
            initramfs: self.initramfs.foreign(),
            run: self.dry_run.run(),
        }
    }

    pub(super) fn code(&self, unchanged: bool) -> Code {
        if unchanged && self.unchanged_exit_77 { Code::Unchanged } else { Code::Done }
    }
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let (sysroot, options) = (sysroot(global, context)?, args.options.upgrade_options());
    if args.check {
        let report = ops::check_upgrade(&sysroot, &options, context)?;
        output.show(&report, checked)?;
        return Ok(args.options.code(!report.available));
    }
    let report = ops::upgrade(&sysroot, &options, context)?;
    output.show(&report, deployed)?;
    Ok(args.options.code(report.unchanged))
}

fn checked(report: &UpdateCheck) -> String {
    let name = deployment(report.id, &report.stateroot);
    if !report.available {
        return format!("No update: {name} is {}\n", image(&report.current));
    }
    format!(
        "Update available: {}\n  digest {}\n  {}\n  {name} has {}\n",
        image(&report.latest),
        format::short_digest(&report.latest.digest),
        cost(&report.fetch),
        report.current.version.as_deref().map_or_else(
            || format::short_digest(&report.current.digest),
            |version| format!("version {}", crate::names::printable(version.as_bytes())),
        ),
    )
}
