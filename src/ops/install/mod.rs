//! Install: a disk that boots an image.
//!
//! ```text
//! wipe the old table -> root file system on a loop device -> sysroot, deployment, provenance in it
//!   -> what the firmware reads, in a directory -> the EFI system partition, from that directory
//!   -> the partition table                                                    <- from here on the disk boots
//! ```
//!
//! The table comes last: a disk whose installation did not end has none, so that nothing half boots. Nothing is
//! left behind on the machine that installs: loop device and mount end with the process.

mod disk;
mod esp;
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

use super::boot::{self, Bootloader, Place};
use super::deploy::{Request, make_deployment};
use super::fetch::{absolute, resolve};
use super::{Context, Error, InitOptions, Result, ResultExt, Run, init};
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
const BOOT_SCRATCH: &str = ".tmp-boot";
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
    let target = Target::open(path, options.size, options.wipe)?;
    let partitions = disk::lay_out(target.size, options.bootloader.wants_bios_boot(), true)?;
    let find = |role| partitions.iter().find(|p| p.role == role).expect("it was laid out");
    let root_uuid = Uuid::new_v4();

    context.reporter.report(Event::Phase(&format!("making a {} file system", options.filesystem)));
    table::wipe(&target.file, target.size)?;
    let Partition { start, length, .. } = *find(Role::Root);
    let device =
        LoopDevice::attach(&target.file, start, length).map_err(Error::io("attaching a loop device"))?;
    let root = options.filesystem.make(device.path(), root_uuid, options.bootloader.reads_root())?;

    let (sysroot, deployment) = fill(&root, root_uuid, &resolved, options, context)?;
    // Taking the lock sweeps what has such a name.
    let locked = sysroot.lock(context.wait)?;
    let boot = fsx::ensure_dir(sysroot.reroot(), BOOT_SCRATCH, 0o700)
        .map_err(Error::io("making /reroot/.tmp-boot"))?;
    context.reporter.report(Event::Phase("writing boot entries"));
    boot::install(&sysroot, &deployment, &boot, options.bootloader, &resolved.image.config.architecture)?;
    boot::update(&locked, &Place::Given(&boot), &[], context.reporter)?;

    context.reporter.report(Event::Phase("writing the boot partition"));
    let volume_id = Uuid::new_v4().as_fields().0;
    esp::write(&target.file, find(Role::Esp), volume_id, &boot)?;
    drop((boot, locked));
    fsx::remove_tree(sysroot.reroot(), BOOT_SCRATCH).map_err(Error::io("removing /reroot/.tmp-boot"))?;
    let written = FilesystemSync::begin(&root).and_then(|s| s.sync());
    written.map_err(Error::io("syncing the new file system"))?;
    drop((sysroot, root, device));
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
    let request = Request { stateroot: options.stateroot.clone(), kernel_arguments, follow };
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
