//! `reroot install`

use std::path::PathBuf;

use crate::cli::args::{Global, InitramfsArgument};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::ops::install::{self, Filesystem, InstallOptions, Wipe};
use crate::ops::{Bootloader, Context, Result};
use crate::sysroot::KernelArgument;

/// Make a machine out of a bootable image
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    ToDisk(ToDisk),
}

/// Install an image to a disk, or into a raw disk image
///
/// Partitions the disk (EFI system partition, root file system), makes a deployment of the image,
/// and writes what the firmware boots. Everything that was on the disk is lost. The partition table
/// is written last: a disk whose installation did not finish does not boot, and installing again
/// starts over.
///
/// Examples:
///   reroot install to-disk --image quay.io/acme/os:stable /dev/nvme0n1
///   reroot install to-disk --image oci:build/os --target-imgref quay.io/acme/os:stable \
///       --size 8G disk.img
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct ToDisk {
    /// The disk, or the file that becomes a raw disk image
    #[arg(value_name = "DEVICE|FILE")]
    disk: PathBuf,
    /// The image to install
    #[arg(long, value_name = "IMAGE", visible_alias = "source-imgref")]
    image: ImageReference,
    /// The image that upgrades follow, when it is another one
    #[arg(long, value_name = "IMAGE")]
    target_imgref: Option<ImageReference>,
    /// The size of a disk image, as 8G; devices have their own
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    size: Option<u64>,
    /// Install over what is on the disk, which is lost
    #[arg(long)]
    wipe: bool,
    /// The root file system: ext4, xfs or btrfs
    #[arg(long, value_name = "NAME", default_value_t)]
    filesystem: Filesystem,
    /// What loads the kernel
    #[arg(long, value_name = "NAME", default_value = "systemd-boot")]
    bootloader: Bootloader,
    #[command(flatten)]
    initramfs: InitramfsArgument,
    /// Add a kernel argument; may be given several times
    #[arg(long = "karg", value_name = "ARGUMENT")]
    kernel_arguments: Vec<KernelArgument>,
    /// Let the holders of the public keys in FILE log in as root
    #[arg(long, value_name = "FILE")]
    root_ssh_authorized_keys: Option<PathBuf>,
    /// The OS line that is installed
    #[arg(long, value_name = "NAME")]
    stateroot: Option<StaterootName>,
}

pub(in crate::cli) fn run(args: &Args, _: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let Command::ToDisk(args) = &args.command;
    let options = InstallOptions {
        image: args.image.clone(),
        target_image: args.target_imgref.clone(),
        stateroot: args.stateroot.clone(),
        kernel_arguments: args.kernel_arguments.clone(),
        filesystem: args.filesystem,
        bootloader: args.bootloader,
        initramfs: args.initramfs.foreign(),
        size: args.size,
        wipe: if args.wipe { Wipe::Allow } else { Wipe::Refuse },
        root_ssh_authorized_keys: args.root_ssh_authorized_keys.clone(),
    };
    let report = install::to_disk(&args.disk, &options, context)?;
    output.show(&report, |report| {
        format!(
            "Installed {} to {} ({}, {} on {}, {})\nUpgrades follow {}\n",
            format::short_digest(&report.digest),
            report.disk,
            format::bytes(report.size_bytes),
            super::deployment(report.id, &report.stateroot),
            report.filesystem,
            report.bootloader,
            report.image,
        )
    })?;
    Ok(Code::Done)
}

/// `8G`: a number with K, M, G or T for powers of 1024.
fn bytes(text: &str) -> std::result::Result<u64, String> {
    let (digits, shift) =
        match text.trim_end_matches("iB").split_at(text.trim_end_matches("iB").len().saturating_sub(1)) {
            (digits, "K" | "k") => (digits, 10),
            (digits, "M") => (digits, 20),
            (digits, "G") => (digits, 30),
            (digits, "T") => (digits, 40),
            _ => (text, 0),
        };
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is not a size; write 8G or 8192M"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("`{text}` is more than any disk has"))
}
