//! `reroot install`

use std::path::PathBuf;

use crate::cli::args::{Global, InitramfsArgument};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::ops::install::{
    self, ConfigurationSource, Filesystem, InstallOptions, PrintedConfiguration, Replace, Wipe,
};
use crate::ops::{Bootloader, Context, Result};
use crate::progress::Event;
use crate::sysroot::KernelArgument;

/// Make a machine out of a bootable image
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    ToDisk(Box<ToDisk>),
    ToFilesystem(Box<ToFilesystem>),
    PrintConfiguration(PrintConfiguration),
}

/// What both ways to install have in common.
#[derive(Debug, clap::Args)]
struct Common {
    /// The image to install
    #[arg(long, value_name = "IMAGE", visible_alias = "source-imgref")]
    image: ImageReference,
    /// The image that upgrades follow, when it is another one
    #[arg(long, value_name = "IMAGE")]
    target_imgref: Option<ImageReference>,
    /// What loads the kernel [default: what the image says, or systemd-boot]
    #[arg(long, value_name = "NAME")]
    bootloader: Option<Bootloader>,
    #[command(flatten)]
    initramfs: InitramfsArgument,
    /// Add a kernel argument; may be given several times
    #[arg(long = "karg", value_name = "ARGUMENT")]
    kernel_arguments: Vec<KernelArgument>,
    /// Let the holders of the public keys in FILE log in as root
    #[arg(long, value_name = "FILE")]
    root_ssh_authorized_keys: Option<PathBuf>,
    /// The OS line that is installed [default: what the image says, or default]
    #[arg(long, value_name = "NAME")]
    stateroot: Option<StaterootName>,
}

impl Common {
    fn options(&self) -> InstallOptions {
        InstallOptions {
            target_image: self.target_imgref.clone(),
            stateroot: self.stateroot.clone(),
            kernel_arguments: self.kernel_arguments.clone(),
            bootloader: self.bootloader,
            initramfs: self.initramfs.foreign(),
            root_ssh_authorized_keys: self.root_ssh_authorized_keys.clone(),
            ..InstallOptions::of(self.image.clone())
        }
    }
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
    #[command(flatten)]
    common: Common,
    /// The size of a disk image, as 8G; devices have their own
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    size: Option<u64>,
    /// Install over what is on the disk, which is lost
    #[arg(long)]
    wipe: bool,
    /// Put /var on a partition of its own, of this size; needs systemd 254 in the image
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    var_size: Option<u64>,
    /// The root file system: ext4, xfs or btrfs [default: what the image says, or ext4]
    #[arg(long, value_name = "NAME")]
    filesystem: Option<Filesystem>,
}

/// Install an image to a root file system that is mounted
///
/// For disks that are partitioned by hand: mount the root file system at ROOT, and the boot partition
/// below it at ROOT/boot, ROOT/efi or ROOT/boot/efi. The root file system must be empty. How the
/// kernel finds both is read from them. The boot entry is written last.
///
/// Example:
///   mount /dev/vg/root /mnt && mount --mkdir /dev/nvme0n1p1 /mnt/boot
///   reroot install to-filesystem --image quay.io/acme/os:stable /mnt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct ToFilesystem {
    /// Where the root file system is mounted
    root: PathBuf,
    #[command(flatten)]
    common: Common,
    /// What becomes of what is in the root file system: `wipe` removes it
    #[arg(long, value_name = "HOW", value_parser = replace)]
    replace: Option<Replace>,
    /// How the kernel finds the root file system, as LABEL=root; empty: it is not told
    /// [default: what the image says, or the UUID]
    #[arg(long, value_name = "SPEC", verbatim_doc_comment)]
    root_mount_spec: Option<String>,
    /// How the running system finds the boot partition; empty: it is not told
    /// [default: what the image says, or the UUID]
    #[arg(long, value_name = "SPEC", verbatim_doc_comment)]
    boot_mount_spec: Option<String>,
}

fn replace(text: &str) -> std::result::Result<Replace, String> {
    match text {
        "wipe" => Ok(Replace::Wipe),
        "alongside" => Err(
            "reroot does not take over a file system with another system in it: that would stay in /sysroot \
                            for ever, where nothing updates or removes it; use `wipe`, or another file system"
                .into(),
        ),
        _ => Err(format!("`{text}` is not `wipe`")),
    }
}

/// Print what an image says about how it is installed
///
/// Merges the files in /usr/lib/bootc/install and /usr/lib/reroot/install, and says where each value
/// comes from. Without an image: those of the running system.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct PrintConfiguration {
    /// The image whose files are read; nothing of it is stored
    #[arg(long, value_name = "IMAGE", conflicts_with = "rootfs")]
    image: Option<ImageReference>,
    /// A directory with a root file system
    #[arg(long, value_name = "DIR", default_value = "/")]
    rootfs: PathBuf,
}

pub(in crate::cli) fn run(args: &Args, _: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    match &args.command {
        Command::ToDisk(args) => to_disk(args, context, output),
        Command::ToFilesystem(args) => to_filesystem(args, context, output),
        Command::PrintConfiguration(args) => print_configuration(args, context, output),
    }
}

fn to_filesystem(args: &ToFilesystem, context: &Context<'_>, output: Output) -> Result<Code> {
    let options = InstallOptions {
        root_mount_spec: args.root_mount_spec.clone(),
        boot_mount_spec: args.boot_mount_spec.clone(),
        ..args.common.options()
    };
    let report = install::to_filesystem(&args.root, &options, args.replace.unwrap_or_default(), context)?;
    output.show(&report, |report| {
        format!(
            "Installed {} to {} ({} on {}, {} on {})\nUpgrades follow {}\n",
            format::short_digest(&report.digest),
            report.root,
            super::deployment(report.id, &report.stateroot),
            report.filesystem,
            report.bootloader,
            report.boot,
            report.image,
        )
    })?;
    Ok(Code::Done)
}

fn print_configuration(args: &PrintConfiguration, context: &Context<'_>, output: Output) -> Result<Code> {
    let source = match &args.image {
        Some(image) => ConfigurationSource::Image(image.clone()),
        None => ConfigurationSource::Directory(args.rootfs.clone()),
    };
    let printed = install::print_configuration(&source, context)?;
    for warning in &printed.warnings {
        context.reporter.report(Event::Warning(warning));
    }
    output.show(&printed, PrintedConfiguration::text)?;
    Ok(Code::Done)
}

fn to_disk(args: &ToDisk, context: &Context<'_>, output: Output) -> Result<Code> {
    let options = InstallOptions {
        filesystem: args.filesystem,
        size: args.size,
        var_size: args.var_size,
        wipe: if args.wipe { Wipe::Allow } else { Wipe::Refuse },
        ..args.common.options()
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
