//! `reroot deploy`

use super::{ImageArgument, deployed, finalization, sysroot};
use crate::cli::args::{
    DryRun, EtcArgument, ForPlatform, Global, InStateroot, InitramfsArgument, RateArgument,
};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{self, Context, DeployOptions, Result};
use crate::sysroot::KernelArgument;

/// Fetch an image and make a new deployment of it
///
/// The deployment is first in boot order when the command ends, and on the running system staged
/// for the next shutdown. Until then nothing that was there before has changed; interrupted at
/// any moment, the same command finishes the job.
///
/// Examples:
///   reroot deploy quay.io/acme/os:stable
///   reroot --sysroot /mnt deploy oci:/media/usb/os:13
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    image: ImageArgument,
    /// Add a kernel argument to those of the first deployment; may be given several times
    #[arg(long = "karg", value_name = "ARGUMENT")]
    kernel_arguments: Vec<KernelArgument>,
    #[command(flatten)]
    stateroot: InStateroot,
    #[command(flatten)]
    platform: ForPlatform,
    #[command(flatten)]
    initramfs: InitramfsArgument,
    #[command(flatten)]
    etc: EtcArgument,
    /// Stage it locked: no shutdown finalizes it before `reroot finalize-staged --unlock`
    #[arg(long)]
    lock_finalization: bool,
    #[command(flatten)]
    rate: RateArgument,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let options = DeployOptions {
        stateroot: args.stateroot.stateroot.clone(),
        kernel_arguments: args.kernel_arguments.clone(),
        platform: args.platform.platform.clone(),
        initramfs: args.initramfs.foreign(),
        etc: args.etc.etc_strategy,
        finalization: finalization(args.lock_finalization),
        run: args.dry_run.run(),
    };
    let context = &args.rate.limit(context);
    let report = ops::deploy(&sysroot(global, context)?, &args.image.image, &options, context)?;
    output.show(&report, deployed)?;
    Ok(Code::Done)
}
