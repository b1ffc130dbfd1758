//! The command line: every word that can be typed, with its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::cmd;
use super::exit::Code;
use super::output::Output;
use crate::names::StaterootName;
use crate::oci::Rate;
use crate::oci::platform::Platform;
use crate::ops::{Context, ForeignInitramfs, Result};
use crate::sysroot::etc_merge::EtcStrategy;

/// Keep a Linux system as numbered deployments of bootable container images
///
/// An upgrade is a new deployment beside the old one; a rollback makes an older one first again. Files that
/// deployments share are stored once.
#[derive(Debug, Parser)]
#[command(
    name = "reroot",
    version,
    propagate_version = true,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Work on the physical root in DIR
    #[arg(long, global = true, value_name = "DIR", default_value = "/", env = "REROOT_SYSROOT")]
    pub sysroot: PathBuf,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Wait for another command to finish, for ever or for SECONDS
    #[arg(long, global = true, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    pub wait: Option<Option<u64>>,
    /// Show no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Write progress as JSON lines to the open file descriptor N
    #[arg(long, global = true, value_name = "N")]
    pub progress_fd: Option<i32>,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// For everything that is printed from here on.
    pub(super) fn write_global(self) {
        match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::AlwaysAnsi,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Which stateroot.
#[derive(Debug, Args)]
pub(super) struct InStateroot {
    /// The OS line, when there are several; by default that of the first deployment
    #[arg(long, value_name = "NAME")]
    pub stateroot: Option<StaterootName>,
}

/// Whether to act.
#[derive(Debug, Args)]
pub(super) struct DryRun {
    /// Say what would be done and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl DryRun {
    pub(super) fn run(&self) -> crate::ops::Run {
        if self.dry_run { crate::ops::Run::Dry } else { crate::ops::Run::Real }
    }
}

/// Whether an initramfs that does not know deployments is taken.
#[derive(Debug, Args)]
pub(super) struct InitramfsArgument {
    /// Take an image whose initramfs has no reroot-prepare-root, and brings something else that boots it
    #[arg(long)]
    allow_foreign_initramfs: bool,
}

impl InitramfsArgument {
    pub(super) fn foreign(&self) -> ForeignInitramfs {
        if self.allow_foreign_initramfs { ForeignInitramfs::Allow } else { ForeignInitramfs::Refuse }
    }
}

/// What to do where `/etc` was changed here and the new defaults do not go with that.
#[derive(Debug, Args)]
pub(super) struct EtcArgument {
    /// What to do where a changed file is in the way of a new directory in /etc, or a changed directory of a file:
    /// fail, keep-local or take-new
    #[arg(long, value_name = "STRATEGY", default_value = "fail")]
    pub etc_strategy: EtcStrategy,
}

/// Which of the images of an index.
#[derive(Debug, Args)]
pub(super) struct ForPlatform {
    /// Take the image for OS/ARCH[/VARIANT] instead of this machine's
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,
}

/// How fast.
#[derive(Debug, Args)]
pub(super) struct RateArgument {
    /// Fetch no faster than so many bytes per second, K, M and G being powers of 1024: 500K, 2M
    #[arg(long, value_name = "RATE")]
    limit_rate: Option<Rate>,
}

impl RateArgument {
    pub(super) fn limit<'a>(&self, context: &Context<'a>) -> Context<'a> {
        Context { limit_rate: self.limit_rate, ..*context }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(cmd::init::Args),
    Install(cmd::install::Args),
    Deploy(cmd::deploy::Args),
    Upgrade(cmd::upgrade::Args),
    Switch(cmd::switch::Args),
    Unstage(cmd::unstage::Args),
    FinalizeStaged(cmd::finalize_staged::Args),
    Rollback(cmd::rollback::Args),
    BootOnce(cmd::boot_once::Args),
    Status(cmd::status::Args),
    History(cmd::history::Args),
    Kargs(cmd::kargs::Args),
    Pin(cmd::pin::Args),
    Unpin(cmd::unpin::Args),
    Undeploy(cmd::undeploy::Args),
    MarkGood(cmd::mark_good::Args),
    MarkBad(cmd::mark_bad::Args),
    BootComplete(cmd::boot_complete::Args),
    Prune(cmd::prune::Args),
    Diff(cmd::diff::Args),
    #[command(visible_alias = "usroverlay")]
    UsrOverlay(cmd::usr_overlay::Args),
    Etc(cmd::etc::Args),
    Image(cmd::image::Args),
    Container(cmd::container::Args),
    #[cfg(feature = "agent")]
    Agent(cmd::agent::Args),
    Fsck(cmd::fsck::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
}

impl Command {
    /// True for what the configuration decides about: what is fetched, and what is removed.
    pub(super) fn needs_config(&self) -> bool {
        match self {
            Self::Deploy(_)
            | Self::Install(_)
            | Self::Upgrade(_)
            | Self::Switch(_)
            | Self::FinalizeStaged(_)
            | Self::Prune(_)
            | Self::Image(_) => true,
            Self::Kargs(args) => args.changes(),
            _ => false,
        }
    }

    pub(super) fn run(&self, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
        match self {
            Self::Init(args) => cmd::init::run(args, global, context, output),
            Self::Install(args) => cmd::install::run(args, global, context, output),
            Self::Deploy(args) => cmd::deploy::run(args, global, context, output),
            Self::Upgrade(args) => cmd::upgrade::run(args, global, context, output),
            Self::Switch(args) => cmd::switch::run(args, global, context, output),
            Self::Unstage(args) => cmd::unstage::run(args, global, context, output),
            Self::FinalizeStaged(args) => cmd::finalize_staged::run(args, global, context, output),
            Self::Rollback(args) => cmd::rollback::run(args, global, context, output),
            Self::BootOnce(args) => cmd::boot_once::run(args, global, context, output),
            Self::Status(args) => cmd::status::run(args, global, context, output),
            Self::History(args) => cmd::history::run(args, global, context, output),
            Self::Kargs(args) => cmd::kargs::run(args, global, context, output),
            Self::Pin(args) => cmd::pin::run(args, global, context, output),
            Self::Unpin(args) => cmd::unpin::run(args, global, context, output),
            Self::Undeploy(args) => cmd::undeploy::run(args, global, context, output),
            Self::MarkGood(args) => cmd::mark_good::run(args, global, context, output),
            Self::MarkBad(args) => cmd::mark_bad::run(args, global, context, output),
            Self::BootComplete(args) => cmd::boot_complete::run(args, global, context, output),
            Self::Prune(args) => cmd::prune::run(args, global, context, output),
            Self::Diff(args) => cmd::diff::run(args, global, output, context),
            Self::UsrOverlay(args) => cmd::usr_overlay::run(args, global, context, output),
            Self::Etc(args) => cmd::etc::run(args, global, context, output),
            Self::Image(args) => cmd::image::run(args, global, context, output),
            Self::Container(args) => cmd::container::run(args, global, context, output),
            #[cfg(feature = "agent")]
            Self::Agent(args) => cmd::agent::run(args, global, context, output),
            Self::Fsck(args) => cmd::fsck::run(args, global, context, output),
            Self::Completions(args) => cmd::completions::run(args),
            Self::Man(args) => cmd::man::run(args),
        }
    }
}
