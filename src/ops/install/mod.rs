//! Install: a disk that boots an image.
//!
//! ```text
//! wipe the old table -> file systems on loop devices -> sysroot, deployment, provenance in the root file system
//!   -> boot loader and entries -> the EFI system partition, from a directory; GRUB's programs for a BIOS
//!   -> the partition table                                                    <- from here on the disk boots
//! ```
//!
//! The table comes last: a disk whose installation did not end has none, so that nothing half boots. Nothing is
//! left behind on the machine that installs: loop device and mount end with the process.

mod bios;
mod choices;
mod configuration;
mod disk;
mod esp;
mod fat_dots;
mod filesystem;
mod fill;
mod fits;
mod mounted;
mod preview;
mod print;
mod provenance;
mod slice;
mod superblock;
mod table;
mod target;
mod to_filesystem;

use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

pub use choices::Choices;
use disk::Architecture;
pub use filesystem::Filesystem;
pub use print::{ConfigurationSource, PrintedConfiguration, print_configuration};
pub use target::Wipe;
pub use to_filesystem::{InstalledFilesystem, Replace, to_filesystem};

use super::boot::{self, Bootloader, Directories, GRUB_DIRECTORY, Loader, Place};
use super::{Context, Error, Result};
use crate::boot::grub::GrubRoot;
use crate::crashpoint;
use crate::fsx::{self, FilesystemSync, LoopDevice};
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::progress::Event;
use crate::sysroot::{DeploymentId, KernelArgument, SeparateVar};
use disk::{Partition, Role};
use fill::{Job, argument, path_of};
use fits::Fits;
use table::Numbered;
use target::Target;

/// What is put into the EFI system partition is made here first, below `/reroot`.
const ESP_SCRATCH: &str = ".tmp-esp";
/// Kernels and initramfs images of several deployments fit.
const BOOT_BYTES: u64 = 512 << 20;
/// Programs and a line of configuration.
const GRUB_ESP_BYTES: u64 = 128 << 20;
const BIOS_BOOT_BYTES: u64 = 1 << 20;
/// Where `--root-ssh-authorized-keys` goes, below the stateroot's `/var`.
const ROOT_HOME: &str = "roothome";

/// How to install.
#[derive(Debug, Clone)]
pub struct InstallOptions {
    pub image: ImageReference,
    /// What upgrades follow; `None`: the image itself.
    pub target_image: Option<ImageReference>,
    pub stateroot: Option<StaterootName>,
    pub kernel_arguments: Vec<KernelArgument>,
    /// `None`, here and below: what the image says, or a default.
    pub filesystem: Option<Filesystem>,
    pub bootloader: Option<Bootloader>,
    pub root_mount_spec: Option<String>,
    pub boot_mount_spec: Option<String>,
    pub initramfs: super::ForeignInitramfs,
    /// The size that a file becomes, in bytes; devices have their own.
    pub size: Option<u64>,
    pub wipe: Wipe,
    /// Bytes of a partition of its own for `/var`.
    pub var_size: Option<u64>,
    /// A file of public keys that may log in as root.
    pub root_ssh_authorized_keys: Option<PathBuf>,
}

impl InstallOptions {
    /// Everything as the image says.
    pub fn of(image: ImageReference) -> Self {
        Self {
            image,
            target_image: None,
            stateroot: None,
            kernel_arguments: Vec::new(),
            filesystem: None,
            bootloader: None,
            root_mount_spec: None,
            boot_mount_spec: None,
            initramfs: super::ForeignInitramfs::default(),
            size: None,
            wipe: Wipe::Refuse,
            var_size: None,
            root_ssh_authorized_keys: None,
        }
    }
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    pub disk: String,
    pub size_bytes: u64,
    pub filesystem: Filesystem,
    /// The UUID of the root file system.
    pub root_uuid: Uuid,
    pub bootloader: Bootloader,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// What upgrades follow.
    pub image: String,
    pub digest: crate::digest::Sha256,
    pub kernel: String,
}

/// Installs an image to a disk or into a raw image file. What was on it is lost from the first step on; the disk
/// boots after the last one. Needs root.
pub fn to_disk(path: &Path, options: &InstallOptions, context: &Context<'_>) -> Result<Installed> {
    if !context.env.privileged {
        return Err(Error::invalid("only root can install: deployments need their owners and loop devices"));
    }
    let target = Target::open(path, options.size, options.wipe)?;
    let job = Job::new(options, context)?;
    choices::check_block(&job.files)?;
    let architecture = Architecture::of_image(job.architecture())?;
    let bios = find_bios(job.choices.bootloader, architecture, context)?;
    let partitions = disk::lay_out(target.size, &wanted_partitions(options, &job.choices, bios.is_some()))?;
    let find = |role| partitions.iter().find(|p| p.role == role);
    let made = |role| find(role).expect("it was laid out");
    check_fits(&job, &target, &partitions)?;
    let root_uuid = Uuid::new_v4();

    context.reporter.report(Event::Phase(&format!("making a {} file system", job.choices.filesystem)));
    table::wipe(&target.file, target.size)?;
    crashpoint!("install.wiped").map_err(Error::io("installing"))?;
    let make = |filesystem: Filesystem, partition: &Partition, label, uuid| {
        let device = LoopDevice::attach(&target.file, partition.start, partition.length)
            .map_err(Error::io("attaching a loop device"))?;
        Ok::<_, Error>((filesystem.make(device.path(), label, uuid)?, device))
    };
    let (root, device) = make(job.choices.filesystem, made(Role::Root), "root", root_uuid)?;

    let var = match find(Role::Var) {
        Some(partition) => {
            let uuid = Uuid::new_v4();
            let (dir, device) = make(job.choices.filesystem, partition, "var", uuid)?;
            let separate = SeparateVar::new(&format!("UUID={uuid}"), job.choices.filesystem.name());
            Some((dir, separate, device))
        }
        None => None,
    };
    let arguments = vec![argument(&format!("root=UUID={root_uuid}"))?, argument("rw")?];
    let (sysroot, deployment) = job.fill(
        &root,
        &path_of(&root),
        arguments,
        var.as_ref().map(|(dir, separate, _)| (dir, separate.clone())),
    )?;
    crashpoint!("install.filled").map_err(Error::io("installing"))?;
    // Taking the lock sweeps what has such a name.
    let locked = sysroot.lock(context.wait)?;
    let esp = fsx::ensure_dir(sysroot.reroot(), ESP_SCRATCH, 0o700)
        .map_err(Error::io("making /reroot/.tmp-esp"))?;
    context.reporter.report(Event::Phase("writing boot entries"));
    let (boot, boot_device, loader) = match (job.choices.bootloader, find(Role::XbootLdr)) {
        (Bootloader::Grub, Some(partition)) => {
            let uuid = Uuid::new_v4();
            let (boot, device) = make(Filesystem::Ext4, partition, "boot", uuid)?;
            (boot, Some(device), Loader::Grub { root: GrubRoot::new(&uuid.to_string(), "")? })
        }
        (Bootloader::Grub, None) => {
            let boot = fsx::open_subdir(&root, "boot").map_err(Error::io("opening /boot"))?;
            (boot, None, Loader::Grub { root: GrubRoot::new(&root_uuid.to_string(), "/boot")? })
        }
        (other, _) => {
            let boot = esp.try_clone().map_err(Error::io("opening /reroot/.tmp-esp"))?;
            let systemd_boot = other == Bootloader::SystemdBoot;
            (boot, None, if systemd_boot { Loader::SystemdBoot } else { Loader::None })
        }
    };
    if let (Some(bios), Loader::Grub { root }) = (&bios, &loader) {
        let holder = find(Role::XbootLdr).unwrap_or(made(Role::Root));
        let number = 1 + partitions.iter().position(|p| p == holder).expect("it is one of them") as u32;
        let prefix = format!("{}/{GRUB_DIRECTORY}", root.prefix());
        bios.write(&target.file, made(Role::BiosBoot), number, &prefix)?;
    }
    let directories = Directories { boot: &boot, esp: Some(&esp) };
    boot::install(&sysroot, &deployment, &directories, loader, job.architecture())?;
    boot::update(&locked, &Place::Given(&boot), &[], context.reporter)?;

    context.reporter.report(Event::Phase("writing the boot partition"));
    let volume_id = Uuid::new_v4().as_fields().0;
    esp::write(&target.file, made(Role::Esp), volume_id, &esp)?;
    crashpoint!("install.boot-written").map_err(Error::io("installing"))?;
    drop((esp, locked));
    fsx::remove_tree(sysroot.reroot(), ESP_SCRATCH).map_err(Error::io("removing /reroot/.tmp-esp"))?;
    for file_system in [Some(&root), Some(&boot), var.as_ref().map(|(dir, ..)| dir)].into_iter().flatten() {
        let written = FilesystemSync::begin(file_system).and_then(|s| s.sync());
        written.map_err(Error::io("syncing the new file systems"))?;
    }
    drop((boot, boot_device, sysroot, root, device, var));
    target.file.sync_all().map_err(Error::io(format!("syncing {}", path.display())))?;

    crashpoint!("install.synced").map_err(Error::io("installing"))?;
    let numbered: Vec<Numbered> =
        partitions.iter().map(|p| Numbered { partition: *p, uuid: Uuid::new_v4() }).collect();
    table::write(&target.file, target.size, Uuid::new_v4(), &numbered, architecture)?;
    crashpoint!("install.table-written").map_err(Error::io("installing"))?;
    target.announce();
    let record = deployment.record;
    Ok(Installed {
        disk: path.display().to_string(),
        size_bytes: target.size,
        filesystem: job.choices.filesystem,
        root_uuid,
        bootloader: job.choices.bootloader,
        id: record.id,
        stateroot: record.stateroot,
        image: record.image.reference,
        digest: record.image.digest,
        kernel: record.kernel,
    })
}

/// What this machine has to make a disk that starts by BIOS. That it has nothing is told: the disk then starts by UEFI
/// alone.
fn find_bios(
    bootloader: Bootloader,
    architecture: Architecture,
    context: &Context<'_>,
) -> Result<Option<bios::Parts>> {
    if bootloader != Bootloader::Grub || architecture != Architecture::X86_64 {
        return Ok(None);
    }
    let parts = bios::Parts::find()?;
    if parts.is_none() {
        let warning = format!(
            "the disk will start by UEFI and not by BIOS: that needs {}, which is not installed here",
            bios::how_to_get()
        );
        context.reporter.report(Event::Warning(&warning));
    }
    Ok(parts)
}

/// The partitions beside that of the root file system, with their lengths in bytes.
fn wanted_partitions(options: &InstallOptions, choices: &Choices, bios: bool) -> Vec<(Role, u64)> {
    let is_grub = choices.bootloader == Bootloader::Grub;
    let mut wanted = Vec::new();
    if bios {
        wanted.push((Role::BiosBoot, BIOS_BOOT_BYTES));
    }
    wanted.push((Role::Esp, if is_grub { GRUB_ESP_BYTES } else { BOOT_BYTES }));
    if is_grub && !choices.filesystem.readable_by_grub() {
        wanted.push((Role::XbootLdr, BOOT_BYTES));
    }
    wanted.extend(options.var_size.map(|length| (Role::Var, length)));
    wanted
}

/// Refuses what does not fit, before anything is written.
fn check_fits(job: &Job<'_>, target: &Target, partitions: &[Partition]) -> Result<()> {
    let length = |role| partitions.iter().find(|p| p.role == role).map(|p| p.length);
    let root = length(Role::Root).unwrap_or(0);
    // GRUB reads kernels from the root file system, or from a partition of their own.
    let boot = match job.choices.bootloader {
        Bootloader::Grub => length(Role::XbootLdr).unwrap_or(root),
        _ => length(Role::Esp).unwrap_or(0),
    };
    if let Some(length) = length(Role::Var) {
        fits::check_var(length, job.preview.var_bytes)?;
    }
    let fits = Fits { disk: target.size, root, boot };
    fits.check(job.preview.root_bytes, job.preview.kernel_bytes()?)
}
