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
mod disk;
mod esp;
mod fat_dots;
mod filesystem;
mod provenance;
mod slice;
mod table;
mod target;

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

pub use disk::Architecture;
pub use filesystem::Filesystem;
pub use target::Wipe;

use super::boot::{self, Bootloader, Directories, GRUB_DIRECTORY, Loader, Place};
use super::deploy::{Request, make_deployment};
use super::fetch::{absolute, resolve};
use super::{Context, Error, InitOptions, Result, ResultExt, Run, init};
use crate::boot::grub::GrubRoot;
use crate::fsx::{self, Dir, FilesystemSync, LoopDevice};
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::progress::Event;
use crate::sysroot::{Deployment, DeploymentId, KernelArgument, Sysroot};
use disk::{Partition, Role};
use provenance::Provenance;
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
    pub filesystem: Filesystem,
    pub bootloader: Bootloader,
    pub initramfs: super::ForeignInitramfs,
    /// The size that a file becomes, in bytes; devices have their own.
    pub size: Option<u64>,
    pub wipe: Wipe,
    /// A file of public keys that may log in as root.
    pub root_ssh_authorized_keys: Option<PathBuf>,
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
    let resolved = resolve(&options.image, None, context)?;
    let architecture = Architecture::of_image(&resolved.image.config.architecture)?;
    let bios = find_bios(options.bootloader, architecture, context)?;
    let target = Target::open(path, options.size, options.wipe)?;
    let partitions = disk::lay_out(target.size, &wanted_partitions(options, bios.is_some()))?;
    let find = |role| partitions.iter().find(|p| p.role == role);
    let made = |role| find(role).expect("it was laid out");
    let root_uuid = Uuid::new_v4();

    context.reporter.report(Event::Phase(&format!("making a {} file system", options.filesystem)));
    table::wipe(&target.file, target.size)?;
    let make = |filesystem: Filesystem, partition: &Partition, label, uuid| {
        let device = LoopDevice::attach(&target.file, partition.start, partition.length)
            .map_err(Error::io("attaching a loop device"))?;
        Ok::<_, Error>((filesystem.make(device.path(), label, uuid)?, device))
    };
    let (root, device) = make(options.filesystem, made(Role::Root), "root", root_uuid)?;

    let (sysroot, deployment) = fill(&root, root_uuid, &resolved, options, context)?;
    // Taking the lock sweeps what has such a name.
    let locked = sysroot.lock(context.wait)?;
    let esp = fsx::ensure_dir(sysroot.reroot(), ESP_SCRATCH, 0o700)
        .map_err(Error::io("making /reroot/.tmp-esp"))?;
    context.reporter.report(Event::Phase("writing boot entries"));
    let (boot, boot_device, loader) = match (options.bootloader, find(Role::XbootLdr)) {
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
    boot::install(&sysroot, &deployment, &directories, loader, &resolved.image.config.architecture)?;
    boot::update(&locked, &Place::Given(&boot), &[], context.reporter)?;

    context.reporter.report(Event::Phase("writing the boot partition"));
    let volume_id = Uuid::new_v4().as_fields().0;
    esp::write(&target.file, made(Role::Esp), volume_id, &esp)?;
    drop((esp, locked));
    fsx::remove_tree(sysroot.reroot(), ESP_SCRATCH).map_err(Error::io("removing /reroot/.tmp-esp"))?;
    for file_system in [&root, &boot] {
        let written = FilesystemSync::begin(file_system).and_then(|s| s.sync());
        written.map_err(Error::io("syncing the new file systems"))?;
    }
    drop((boot, boot_device, sysroot, root, device));
    target.file.sync_all().map_err(Error::io(format!("syncing {}", path.display())))?;

    let numbered: Vec<Numbered> =
        partitions.iter().map(|p| Numbered { partition: *p, uuid: Uuid::new_v4() }).collect();
    table::write(&target.file, target.size, Uuid::new_v4(), &numbered, architecture)?;
    target.announce();
    let record = deployment.record;
    Ok(Installed {
        disk: path.display().to_string(),
        size_bytes: target.size,
        filesystem: options.filesystem,
        root_uuid,
        bootloader: options.bootloader,
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
fn wanted_partitions(options: &InstallOptions, bios: bool) -> Vec<(Role, u64)> {
    let is_grub = options.bootloader == Bootloader::Grub;
    let mut wanted = Vec::new();
    if bios {
        wanted.push((Role::BiosBoot, BIOS_BOOT_BYTES));
    }
    wanted.push((Role::Esp, if is_grub { GRUB_ESP_BYTES } else { BOOT_BYTES }));
    if is_grub && !options.filesystem.readable_by_grub() {
        wanted.push((Role::XbootLdr, BOOT_BYTES));
    }
    wanted
}

/// Makes the sysroot and its first deployment in an empty file system.
fn fill(
    root: &Dir,
    root_uuid: Uuid,
    resolved: &super::fetch::Resolved,
    options: &InstallOptions,
    context: &Context<'_>,
) -> Result<(Sysroot, Deployment)> {
    // The file system is mounted nowhere: its root has this name in this process only.
    let path = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
    for directory in ["boot", "reroot"] {
        fsx::ensure_dir(root, directory, 0o700).map_err(Error::io(format!("making /{directory}")))?;
    }
    init(&path, &InitOptions { stateroot: options.stateroot.clone(), run: Run::Real }, context)?;
    let sysroot = Sysroot::open(&path, context.env)?;
    let mut kernel_arguments = vec![argument(&format!("root=UUID={root_uuid}"))?, argument("rw")?];
    kernel_arguments.extend(options.kernel_arguments.iter().cloned());
    let follow = options.target_image.as_ref().map(absolute).transpose()?;
    let initramfs = super::initramfs::Check::Always(options.initramfs);
    let request = Request { stateroot: options.stateroot.clone(), kernel_arguments, follow, initramfs };
    let deployed = make_deployment(&sysroot, resolved, &request, context)?;
    let observed = sysroot.observe()?;
    let deployment = observed
        .deployments
        .into_iter()
        .find(|d| d.record.id == deployed.id)
        .ok_or_else(|| Error::bug("the new deployment is not there"))?;
    if let Some(keys) = &options.root_ssh_authorized_keys {
        authorize(&sysroot, &deployment, keys)?;
    }
    let record = &deployment.record;
    let provenance = Provenance {
        version: Provenance::VERSION,
        image: resolved.reference.to_string(),
        digest: record.image.digest,
        target_image: record.image.reference.clone(),
        image_version: record.image.version.clone(),
        timestamp: jiff::Timestamp::try_from(context.env.now())
            .map_or_else(|_| String::new(), |now| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        kernel: record.kernel.clone(),
        reroot: env!("CARGO_PKG_VERSION"),
    };
    provenance.write(&sysroot)?;
    Ok((sysroot, deployment))
}

fn argument(text: &str) -> Result<KernelArgument> {
    text.parse().map_err(|e: crate::names::NameError| Error::invalid(e.to_string()))
}

/// Lets the holders of keys log in as root: root's home is `/var/roothome` in an image-based system.
fn authorize(sysroot: &Sysroot, deployment: &Deployment, keys: &Path) -> Result<()> {
    let shown = keys.display();
    let read = || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut fsx::open_file(keys)?, &mut text)?;
        Ok(text)
    };
    let text = read().map_err(Error::io(format!("reading {shown}")))?;
    let write = || {
        let stateroot = fsx::open_subdir(sysroot.deploy(), deployment.record.stateroot.as_str())?;
        let home = fsx::ensure_dir(&fsx::open_subdir(&stateroot, "var")?, ROOT_HOME, 0o700)?;
        fsx::write_atomic(&fsx::ensure_dir(&home, ".ssh", 0o700)?, "authorized_keys", &text, 0o600)
    };
    write().map_err(Error::io("writing root's authorized_keys")).context(|| format!("installing {shown}"))
}
