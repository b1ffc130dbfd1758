//! Install to a root file system that a person made and mounted.
//!
//! ```text
//! look at ROOT and the image, refuse -> sysroot, deployment, provenance in ROOT, synced
//!   -> boot loader on $BOOT -> boot entry                                     <- from here on it boots
//! ```

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid};
use rustix::io::Errno;
use serde::Serialize;

use super::fill::{Job, argument};
use super::mounted::{Mount, Prepared};
use super::superblock::uuid_of;
use super::{Filesystem, InstallOptions, fits};
use crate::boot::entries;
use crate::boot::file_name::BootOrder;
use crate::boot::grub::GrubRoot;
use crate::crashpoint;
use crate::digest::Sha256;
use crate::fsx::{self, Dir, FilesystemSync};
use crate::names::{StaterootName, printable};
use crate::ops::boot::{self, Bootloader, Directories, Loader, Place};
use crate::ops::{Context, Error, ErrorKind, Result, files};
use crate::progress::Event;
use crate::sysroot::{DeploymentId, KernelArgument};

/// What the probe of the file system leaves when it is killed.
const PROBE: &str = ".reroot-probe";
/// The inode of a btrfs subvolume's root directory (`BTRFS_FIRST_FREE_OBJECTID`).
const SUBVOLUME: u64 = 256;

/// What becomes of what is in the root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replace {
    #[default]
    Refuse,
    /// It is removed first.
    Wipe,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledFilesystem {
    pub root: String,
    pub filesystem: String,
    /// `root=` of the kernel, when it is told.
    pub root_mount_spec: Option<String>,
    /// Where `$BOOT` is, below the root.
    pub boot: String,
    pub bootloader: Bootloader,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// What upgrades follow.
    pub image: String,
    pub digest: Sha256,
    pub kernel: String,
}

/// Installs an image to the file system that is mounted at `path`. It boots after the last step. Needs root.
pub fn to_filesystem(
    path: &Path,
    options: &InstallOptions,
    replace: Replace,
    context: &Context<'_>,
) -> Result<InstalledFilesystem> {
    if !context.env.privileged {
        return Err(Error::invalid("only root can install: deployments need their owners"));
    }
    let prepared = Prepared::look(path)?;
    let strangers = prepared.strangers()?;
    if let (Replace::Refuse, Some(first)) = (replace, strangers.first()) {
        return Err(Error::invalid(format!(
            "{} is not empty: it has {}; `--replace wipe` removes everything that is there",
            prepared.path.display(),
            printable(first.as_bytes())
        )));
    }
    let mut job = Job::new(options, context)?;
    let bootloader = job.choices.bootloader;
    let boot = Boot::choose(&prepared, bootloader)?;
    let root = RootMount::of(&prepared, &job)?;
    probe(&prepared)?;
    job.highest_order = check_entries(&boot.open(&prepared, boot.point), replace)?;
    check_space(&prepared, &boot, &job, replace)?;
    let mut arguments = root.arguments()?;
    arguments.extend(boot.argument(&job, context)?);

    if replace == Replace::Wipe {
        prepared.wipe()?;
    }
    let (sysroot, deployment) = job.fill(&prepared.dir, &prepared.path, arguments, None)?;
    let synced = FilesystemSync::begin(&prepared.dir).and_then(|s| s.sync());
    synced.map_err(Error::io(format!("syncing {}", prepared.path.display())))?;
    crashpoint!("install.filled").map_err(Error::io("installing"))?;

    context.reporter.report(Event::Phase("writing boot entries"));
    let locked = sysroot.lock(context.wait)?;
    let dir = boot.open(&prepared, boot.point)?;
    let esp = boot.esp.map(|point| boot.open(&prepared, point)).transpose()?;
    let directories = Directories { boot: &dir, esp: esp.as_ref() };
    boot::install(&sysroot, &deployment, &directories, boot.loader.clone(), job.architecture())?;
    crashpoint!("install.loader-written").map_err(Error::io("installing"))?;
    boot::update(&locked, &Place::Given(&dir), &[], context.reporter)?;
    for dir in [Some(&dir), esp.as_ref()].into_iter().flatten() {
        let synced = FilesystemSync::begin(dir).and_then(|s| s.sync());
        synced.map_err(Error::io("syncing $BOOT"))?;
    }
    let record = deployment.record;
    Ok(InstalledFilesystem {
        root: prepared.path.display().to_string(),
        filesystem: prepared.mount.kind.clone(),
        root_mount_spec: root.spec,
        boot: format!("/{}", boot.point),
        bootloader,
        id: record.id,
        stateroot: record.stateroot,
        image: record.image.reference,
        digest: record.image.digest,
        kernel: record.kernel,
    })
}

/// The highest boot order on `$BOOT`: what is installed goes before it. Entries of ours that are there belong to another
/// installation, or to one that is installed anew, and will be removed.
fn check_entries(boot: &Result<Dir>, replace: Replace) -> Result<Option<BootOrder>> {
    // What cannot be opened yet is made later.
    let Ok(boot) = boot else { return Ok(None) };
    let found = entries::read_entries(boot)?;
    match (found.ours().next(), replace) {
        (Some((_, entry)), Replace::Refuse) => Err(Error::invalid(format!(
            "the boot partition has entries of another installation of reroot ({}), and two cannot share one; \
             `--replace wipe` removes them",
            entries::shown(&entry.file_name)
        ))),
        _ => Ok(found.highest_order()),
    }
}

/// How the initramfs finds the root file system.
struct RootMount {
    /// `None` when it is not told.
    spec: Option<String>,
    subvolume: Option<String>,
}

impl RootMount {
    fn of(prepared: &Prepared, job: &Job<'_>) -> Result<Self> {
        let Mount { root, kind, source, .. } = &prepared.mount;
        let shown = prepared.path.display();
        let spec = match &job.choices.root_mount_spec {
            Some(spec) => Some(spec.clone()).filter(|spec| !spec.is_empty()),
            None => match uuid_of(Path::new(source), kind) {
                Some(uuid) => Some(format!("UUID={uuid}")),
                None => {
                    return Err(Error::invalid(format!(
                        "the {kind} file system at {shown} has no UUID that can be read; `--root-mount-spec` says how the \
                         kernel finds it, for example LABEL=root"
                    )));
                }
            },
        };
        let subvolume = if kind == "btrfs" && root != "/" {
            let stat = rustix::fs::fstat(&prepared.dir)
                .map_err(|e| Error::io(format!("looking at {shown}"))(e.into()))?;
            if stat.st_ino != SUBVOLUME {
                return Err(Error::invalid(format!(
                    "{shown} is a directory and not a subvolume of its btrfs"
                )));
            }
            Some(root.clone())
        } else {
            None
        };
        Ok(Self { spec, subvolume })
    }

    fn arguments(&self) -> Result<Vec<KernelArgument>> {
        let mut arguments = Vec::new();
        if let Some(spec) = &self.spec {
            arguments.push(checked("root", spec)?);
        }
        if let Some(subvolume) = &self.subvolume {
            arguments.push(checked("rootflags", &format!("subvol={subvolume}"))?);
        }
        arguments.push(argument("rw")?);
        Ok(arguments)
    }
}

/// `KEY=VALUE`, quoted as the kernel wants it.
fn checked(key: &str, value: &str) -> Result<KernelArgument> {
    let argument_of = crate::boot::cmdline::KernelArg::with_value(key, value);
    argument(argument_of.map_err(|e| Error::invalid(e.to_string()))?.as_str())
}

/// Where the entries go, and what reads them.
struct Boot {
    /// Below the root.
    point: &'static str,
    /// `None`: a directory of the root file system.
    mount: Option<Mount>,
    /// Where the EFI system partition is, below the root.
    esp: Option<&'static str>,
    loader: Loader,
}

impl Boot {
    fn choose(prepared: &Prepared, bootloader: Bootloader) -> Result<Self> {
        let shown = prepared.path.display();
        // With two of them that at /boot is rather for kernels.
        let esp = prepared.boot.iter().rev().find(|(_, mount)| mount.kind == "vfat");
        let needs_esp = || {
            Error::invalid(format!(
                "{bootloader} needs an EFI system partition (vfat), and none is mounted at {shown}/boot, {shown}/efi or \
                 {shown}/boot/efi"
            ))
        };
        let (chosen, loader) = match bootloader {
            Bootloader::SystemdBoot => (Some(esp.ok_or_else(needs_esp)?), Loader::SystemdBoot),
            Bootloader::Grub => {
                esp.ok_or_else(needs_esp)?;
                let own = prepared.boot.iter().find(|(point, _)| *point == "boot");
                (own, grub_root(prepared, own.map(|(_, mount)| mount))?)
            }
            Bootloader::None => (prepared.boot.first(), Loader::None),
        };
        let esp = esp.map(|(point, _)| *point);
        for (point, mount) in &prepared.boot {
            if mount.read_only {
                return Err(Error::invalid(format!("{shown}/{point} is mounted read-only")));
            }
        }
        let (point, mount) = chosen.map_or(("boot", None), |(point, mount)| (*point, Some(mount.clone())));
        Ok(Self { point, mount, esp, loader })
    }

    fn open(&self, prepared: &Prepared, point: &str) -> Result<Dir> {
        let path = prepared.path.join(point);
        fsx::open_dir(&path).map_err(Error::io(format!("opening {}", path.display())))
    }

    /// What makes the running system mount it at the same place.
    fn argument(&self, job: &Job<'_>, context: &Context<'_>) -> Result<Option<KernelArgument>> {
        let Some(mount) = &self.mount else { return Ok(None) };
        let given = job.choices.boot_mount_spec.clone();
        let spec =
            given.or_else(|| uuid_of(Path::new(&mount.source), &mount.kind).map(|id| format!("UUID={id}")));
        let missing = match &spec {
            Some(spec) if spec.is_empty() => return Ok(None),
            None => Some("it has no UUID that can be read; `--boot-mount-spec` says how it is found"),
            Some(_) => match files::follow(job.preview.tree(), self.point) {
                Some(entry) if entry.node.is_directory() => None,
                _ => Some("the image has no such directory"),
            },
        };
        if let Some(reason) = missing {
            context.reporter.report(Event::Warning(&format!(
                "the installed system will not mount its boot partition at /{}: {reason}",
                self.point
            )));
            return Ok(None);
        }
        let options = if mount.kind == "vfat" { "umask=0077,nofail" } else { "nofail" };
        let value = format!("{}:/{}:{}:{options}", spec.unwrap_or_default(), self.point, mount.kind);
        checked("systemd.mount-extra", &value).map(Some)
    }
}

/// How GRUB finds `$BOOT`: the partition at /boot, or the directory of that name.
fn grub_root(prepared: &Prepared, boot: Option<&Mount>) -> Result<Loader> {
    let mount = boot.unwrap_or(&prepared.mount);
    let place = mount.point.display();
    if mount.kind.parse::<Filesystem>().is_ok_and(Filesystem::readable_by_grub) {
        let uuid = uuid_of(Path::new(&mount.source), &mount.kind);
        let uuid = uuid.ok_or_else(|| Error::invalid(format!("the file system at {place} has no UUID")))?;
        return Ok(Loader::Grub { root: GrubRoot::new(&uuid, if boot.is_some() { "" } else { "/boot" })? });
    }
    Err(Error::invalid(format!(
        "GRUB reads kernels from ext4 only, and {place} is {}: mount a partition with ext4 at {}/boot",
        mount.kind,
        prepared.path.display()
    )))
}

/// Tries what deployments need of a file system.
fn probe(prepared: &Prepared) -> Result<()> {
    let dir = &prepared.dir;
    let lacks = |what: &str| {
        Err(Error::incompatible(format!(
            "{} is {}, which has no {what}: deployments cannot live there",
            prepared.path.display(),
            prepared.mount.kind
        )))
    };
    let error = |e: io::Error| Error::io(format!("writing to {}", prepared.path.display()))(e);
    fsx::remove_tree(dir, PROBE).map_err(error)?;
    let scratch = fsx::ensure_dir(dir, PROBE, 0o700).map_err(error)?;
    let tried = || -> Result<Option<&str>, Errno> {
        fsx::write_atomic(&scratch, "file", b"", 0o600)
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let unable = |result: Result<(), Errno>| match result {
            Ok(()) => Ok(false),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(true),
            Err(errno) => Err(errno),
        };
        if unable(rustix::fs::linkat(&scratch, "file", &scratch, "link", AtFlags::empty()))? {
            return Ok(Some("hard links"));
        }
        if unable(rustix::fs::symlinkat("file", &scratch, "symlink"))? {
            return Ok(Some("symbolic links"));
        }
        let (owner, group) = (Some(Uid::from_raw(1)), Some(Gid::from_raw(1)));
        let owned = rustix::fs::chownat(&scratch, "file", owner, group, AtFlags::SYMLINK_NOFOLLOW);
        Ok(unable(owned)?.then_some("owners of files"))
    };
    let tried = tried();
    fsx::remove_tree(dir, PROBE).map_err(error)?;
    match tried.map_err(|errno| error(errno.into()))? {
        Some(what) => lacks(what),
        None => Ok(()),
    }
}

/// What is free is enough. What is about to be removed counts as full: the file system tells only afterwards.
fn check_space(prepared: &Prepared, boot: &Boot, job: &Job<'_>, replace: Replace) -> Result<()> {
    let free = |dir: &Dir| fsx::free_space(dir).map_err(Error::io("asking for free space"));
    let (shown, kernel) = (prepared.path.display(), job.preview.kernel_bytes()?);
    let root = free(&prepared.dir)?;
    let room = match replace {
        Replace::Refuse => root.available_bytes,
        Replace::Wipe => root.total_bytes,
    };
    let needed = job.preview.root_bytes + if boot.mount.is_none() { kernel } else { 0 };
    if needed > room {
        return Err(Error::Other {
            kind: ErrorKind::Incompatible,
            message: format!("{shown} has room for {room} bytes; the image needs at least {needed}"),
        });
    }
    match boot.mount {
        Some(_) => {
            let place = format!("{shown}/{}", boot.point);
            fits::check_boot(free(&boot.open(prepared, boot.point)?)?.available_bytes, kernel, &place)
        }
        None => Ok(()),
    }
}
