//! `reroot upgrade`

mod checked;

use super::{deployed, deployment, finalization, sysroot};
use crate::cli::apply::ApplyArguments;
use crate::cli::args::{
    DryRun, EtcArgument, ForPlatform, Global, InStateroot, InitramfsArgument, RateArgument,
};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::digest::Sha256;
use crate::ops::{self, Context, Deployed, Downgrade, Finalization, KnownFailed, Result, UpgradeOptions};
use crate::sysroot::Sysroot;

/// Fetch the newest version of the image that is followed
///
/// Looks at the image that the first deployment follows, and makes a new deployment when that has changed: on the
/// running system staged for the next shutdown, with the changes of /etc up to then. The new deployment keeps the
/// local kernel arguments.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only look whether there is something new; fetches metadata alone
    ///
    /// Tells what would change when everything of the new image is in the store already.
    #[arg(long, conflicts_with_all = ["dry_run", "download_only", "from_downloaded", "apply", "soft_reboot"])]
    check: bool,
    /// Let the next reboot take what `--download-only` has staged; fetches nothing
    #[arg(long, conflicts_with_all = ["download_only", "dry_run", "tag", "require_digest"])]
    from_downloaded: bool,
    /// Take another tag of the image, and follow it from now on
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// What upgrade and switch share.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Take an image that is older than the one deployed
    #[arg(long)]
    allow_downgrade: bool,
    /// Take an image again that failed to boot on this machine
    #[arg(long)]
    allow_failed: bool,
    /// End with exit code 77 when nothing changed
    #[arg(long)]
    unchanged_exit_77: bool,
    /// Take nothing but the image with this manifest digest, sha256:…
    #[arg(long, value_name = "DIGEST")]
    require_digest: Option<Sha256>,
    /// Fetch and stage it, and let no reboot take it before `upgrade --from-downloaded`
    #[arg(long, conflicts_with_all = ["apply", "soft_reboot"])]
    download_only: bool,
    #[command(flatten)]
    apply: ApplyArguments,
    #[command(flatten)]
    etc: EtcArgument,
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    platform: ForPlatform,
    #[command(flatten)]
    initramfs: InitramfsArgument,
    #[command(flatten)]
    pub(super) rate: RateArgument,
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
            failed: if self.allow_failed { KnownFailed::Allow } else { KnownFailed::Refuse },
            tag: None,
            manifest: None,
            require_digest: self.require_digest,
            etc: self.etc.etc_strategy,
            finalization: finalization(self.download_only),
            run: self.dry_run.run(),
        }
    }

    /// Shows what was done, and reboots when that was asked for.
    pub(super) fn finish(
        &self,
        sysroot: &Sysroot,
        report: &Deployed,
        context: &Context<'_>,
        output: Output,
    ) -> Result<Code> {
        output.show(report, deployed)?;
        if !report.dry_run {
            self.apply.apply(sysroot, context, output)?;
        }
        Ok(self.code(report.unchanged))
    }

    fn code(&self, unchanged: bool) -> Code {
        if unchanged && self.unchanged_exit_77 { Code::Unchanged } else { Code::Done }
    }
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let context = &args.options.rate.limit(context);
    let sysroot = sysroot(global, context)?;
    let options = UpgradeOptions { tag: args.tag.clone(), ..args.options.upgrade_options() };
    if args.check {
        let report = ops::check_upgrade(&sysroot, &options, context)?;
        output.show(&report, |report| checked::text(report, context.env.unix_time()))?;
        return Ok(args.options.code(!report.available));
    }
    if args.from_downloaded {
        let report = ops::set_finalization(&sysroot, Finalization::AtShutdown, context)?;
        output.show(&report, |report| {
            format!("{} boots at the next reboot\n", deployment(report.id, &report.stateroot))
        })?;
        args.options.apply.apply(&sysroot, context, output)?;
        return Ok(args.options.code(report.unchanged));
    }
    let report = ops::upgrade(&sysroot, &options, context)?;
    args.options.finish(&sysroot, &report, context, output)
}
