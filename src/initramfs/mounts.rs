//! Building the new root and moving it over the old one.
//!
//! The new root is put together below `/run/reroot`, where nobody looks, and appears in one step at the end:
//!
//! ```text
//! 1. everything that is mounted becomes private: a mount below a shared one cannot be moved
//! 2. /run/reroot/new          the deployment (or an overlay on it), its etc, the stateroot's var, for GRUB boot
//! 3. /run/reroot/new          read-only; those in it are mounts of their own and stay writable
//! 4. /sysroot                 moved to /run/reroot/new/sysroot, read-only
//! 5. /run/reroot/new          moved to /sysroot
//! ```
//!
//! For a soft reboot the running system does the same (`nextroot`): there the physical root stays where it is, and is mounted
//! a second time.
//!
//! Up to step 4 an error leaves `/sysroot` as it was, and what a run leaves that is killed at any time the next one takes
//! back (`recover`). A directory is opened once, without following links, and then
//! mounted by its descriptor (open_tree(2), move_mount(2), Linux 5.2): no path of the image is looked up twice.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::boot_dir::{self, BOOT};
use super::choose::Target;
use super::observe::Found;
use super::settings::{Etc, Root, Settings};
use super::var::Var;
use super::{Error, Result};
use crate::fsx::{self, Dir, OverlayPaths, attach};

/// For the running system too; it outlives the initramfs.
pub const RUN: &str = "/run/reroot";
/// Where the new root is put together, below [`RUN`].
pub(super) const NEW: &str = "new";
/// Where the file system in RAM is while overlays are made of it, below [`RUN`].
pub(super) const RAM: &str = "ram";

/// What is to be mounted, and of what.
#[derive(Debug)]
pub struct Job<'a> {
    pub target: &'a Target,
    pub settings: Settings,
    pub var: Var,
    /// Where the physical root is mounted, and the new one will be.
    pub sysroot: &'a Path,
    /// The physical root.
    pub root: &'a Dir,
    /// All that `target` requires in it.
    pub found: &'a Found,
    /// The directory where the new root is put together: [`RUN`], or one that only this process knows.
    pub run: &'a Dir,
    /// The path of `run`.
    pub run_path: &'a Path,
}

/// The new root, complete but for `/sysroot`.
pub(super) struct NewRoot {
    /// The mount itself.
    pub mount: Dir,
    /// Its directory `sysroot`.
    pub sysroot: Dir,
    /// What is mounted in it, by path from it; `/sysroot` will be.
    pub mounts: Vec<String>,
}

impl Job<'_> {
    /// Does it, and says what is mounted in the new root.
    pub fn run(&self) -> Result<Vec<String>> {
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(Error::io("making all mounts private"))?;
        make_writable(self.root).map_err(Error::io(format!(
            "making the file system at {} writable (it is mounted read-only until then)",
            self.sysroot.display()
        )))?;
        let place = Scratch::make(self.run, self.run_path, NEW)?;
        let new = self.build(&place.dir)?;
        self.switch(&new)?;
        place.keep_mount();
        Ok(new.mounts)
    }

    /// Puts the new root together at `place`.
    pub(super) fn build(&self, place: &Dir) -> Result<NewRoot> {
        let Self { target, settings, .. } = self;
        let transient = settings.root == Root::Transient || settings.etc == Etc::Transient;
        let ram = if transient { Some(Ram::make(self.run, self.run_path)?) } else { None };
        let overlay = |name, path: String| {
            let ram = ram.as_ref().expect("made when anything is transient");
            let overlay = ram.overlay(name, self.found.directory(&path)?, &self.sysroot.join(&path[1..]));
            overlay.map_err(Error::io(format!(
                "mounting an overlay on {path} (its module must be in the initramfs)"
            )))
        };
        let bind = |path: String| {
            bind(self.found.directory(&path)?).map_err(Error::io(format!("mounting {path} a second time")))
        };
        let (root, access) = match settings.root {
            Root::ReadOnly => (bind(target.to_string())?, Access::ReadOnly),
            Root::Transient => (overlay("root", target.to_string())?, Access::ReadWrite),
        };
        let etc = match settings.etc {
            Etc::Own => bind(format!("{target}/etc"))?,
            Etc::Transient => overlay("etc", format!("{target}/usr/etc"))?,
        };
        let var = match &self.var {
            Var::Stateroot => Some(bind(target.var_path())?),
            Var::Separate(source) => Some(source.mount()?),
            Var::Elsewhere => None,
        };
        let boot = boot_dir::find(self.root, self.found.directory(&target.to_string())?)?;
        let boot = boot.map(|boot| self::bind(&boot).map_err(Error::io("mounting /boot a second time")));
        let boot = boot.transpose()?;

        let inside = |name: &str| {
            fsx::open_subdir(&root, name).map_err(Error::io(format!("opening {name} in the new root")))
        };
        attach(&root, place)
            .and_then(|()| make_private(&root))
            .map_err(Error::io("mounting the new root"))?;
        let mounts = [("etc", Some(&etc)), ("var", var.as_ref()), (BOOT, boot.as_ref())];
        let mut mounted_at = Vec::new();
        for (name, mount) in mounts.into_iter().filter_map(|(name, mount)| Some((name, mount?))) {
            mounted_at.push(format!("/{name}"));
            let place = inside(name)?;
            let mounted = attach(mount, &place)
                .and_then(|()| make_private(mount))
                .and_then(|()| set_access(mount, Access::ReadWrite));
            mounted.map_err(Error::io(format!("mounting {name} in the new root")))?;
        }
        set_access(&root, access).map_err(Error::io("setting the new root read-only or writable"))?;
        let sysroot = inside("sysroot")?;
        mounted_at.push("/sysroot".into());
        Ok(NewRoot { mount: root, sysroot, mounts: mounted_at })
    }

    /// Moves the physical root into the new one, and the new one to its place.
    fn switch(&self, new: &NewRoot) -> Result<()> {
        let shown = self.sysroot.display();
        attach(self.root, &new.sysroot).map_err(Error::io(format!("moving {shown} into the new root")))?;
        let finish = || {
            set_access(self.root, Access::ReadOnly)?;
            attach(&new.mount, &fsx::open_dir(self.sysroot)?)
        };
        finish().map_err(|error| {
            // Back where people look for it. If that fails too, the first error is the one to tell.
            let _ = fsx::open_dir(self.sysroot).and_then(|place| attach(self.root, &place));
            Error::io(format!("moving the new root to {shown}"))(error)
        })
    }
}

/// A directory below `/run/reroot` on which something is mounted for a while.
pub(super) struct Scratch<'a> {
    run: &'a Dir,
    name: &'static str,
    path: PathBuf,
    pub dir: Dir,
    mounted: bool,
}

impl<'a> Scratch<'a> {
    pub fn make(run: &'a Dir, run_path: &Path, name: &'static str) -> Result<Self> {
        let path = run_path.join(name);
        let dir =
            fsx::ensure_dir(run, name, 0o700).map_err(Error::io(format!("making {}", path.display())))?;
        Ok(Self { run, name, path, dir, mounted: true })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was mounted here is somewhere else now.
    pub fn keep_mount(mut self) {
        self.mounted = false;
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if self.mounted {
            // Nothing may be mounted yet; what is left of it hinders nobody.
            let _ = rustix::mount::unmount(self.path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        let _ = rustix::fs::unlinkat(self.run, self.name, rustix::fs::AtFlags::REMOVEDIR);
    }
}

/// A file system in RAM for what is written to overlays. It has a name only while they are made: they hold it, and
/// nobody can write past them.
struct Ram<'a> {
    scratch: Scratch<'a>,
    dir: Dir,
}

impl<'a> Ram<'a> {
    fn make(run: &'a Dir, run_path: &Path) -> Result<Self> {
        let scratch = Scratch::make(run, run_path, RAM)?;
        let dir = mount_ram(&scratch.dir)?;
        Ok(Self { scratch, dir })
    }

    /// An overlay on the directory `lower`, at `lower_path`, not attached anywhere.
    fn overlay(&self, name: &str, lower: &Dir, lower_path: &Path) -> io::Result<Dir> {
        let place = fsx::ensure_dir(&self.dir, name, 0o700)?;
        // The top directory of an overlay has the owner and mode of the upper one.
        let upper = fsx::ensure_dir(&place, "upper", 0o755)?;
        let stat = rustix::fs::fstat(lower)?;
        fsx::set_owner_and_mode(
            fsx::reopen(&upper)?,
            stat.st_uid,
            stat.st_gid,
            (stat.st_mode & 0o7777) as u16,
        )?;
        fsx::ensure_dir(&place, "work", 0o700)?;

        // None of these paths has a link in it.
        let ram = self.scratch.path().join(name);
        let (upper, work) = (ram.join("upper"), ram.join("work"));
        fsx::overlay_detached(OverlayPaths { lower: lower_path, upper: &upper, work: &work })
    }
}

/// Mounts an empty file system in RAM.
pub(super) fn mount_ram(place: &Dir) -> Result<Dir> {
    let mount = || {
        let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&fs, "source", "reroot")?;
        rustix::mount::fsconfig_set_string(&fs, "mode", "0755")?;
        let dir = create(&fs)?;
        attach(&dir, place)?;
        Ok(dir)
    };
    mount().map_err(Error::io::<io::Error>("mounting a file system in RAM"))
}

/// Makes the file system that was configured, not attached anywhere.
fn create(fs: impl AsFd) -> io::Result<Dir> {
    rustix::mount::fsconfig_create(&fs)?;
    let mount =
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RELATIME)?;
    Ok(Dir::from_std_file(mount.into()))
}

/// A new mount of a directory, not attached anywhere.
pub(super) fn bind(dir: &Dir) -> io::Result<Dir> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(Dir::from_std_file(rustix::mount::open_tree(dir, "", flags)?.into()))
}

/// Lets an attached mount be one of its own. A second mount of something shared would get what is mounted in the first, and
/// lose it again with it: of a soft reboot's new root, `/var` together with the old root (mount_namespaces(7)).
pub(super) fn make_private(mount: &Dir) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    Ok(rustix::mount::mount_change(path, MountPropagationFlags::PRIVATE)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// Sets one attached mount, and not its file system, read-only or writable. The other flags stay: mount(2) sets all
/// of them at once, but keeps those of access times when none is given.
pub(super) fn set_access(mount: &Dir, access: Access) -> io::Result<()> {
    let is = rustix::fs::fstatvfs(mount)?.f_flag;
    let mut flags = MountFlags::BIND;
    for (set, flag) in [
        (is.contains(StatVfsMountFlags::NOSUID), MountFlags::NOSUID),
        (is.contains(StatVfsMountFlags::NODEV), MountFlags::NODEV),
        (is.contains(StatVfsMountFlags::NOEXEC), MountFlags::NOEXEC),
        (access == Access::ReadOnly, MountFlags::RDONLY),
    ] {
        flags.set(flag, set);
    }
    Ok(rustix::mount::mount_remount(format!("/proc/self/fd/{}", mount.as_raw_fd()), flags, "")?)
}

/// Makes the file system itself writable. An initramfs mounts the root read-only unless it is told otherwise, for a
/// check of the file system that is over by now, and expects the system to change that by its fstab.
fn make_writable(root: &Dir) -> io::Result<()> {
    if !rustix::fs::fstatvfs(root)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let fs = rustix::mount::fspick(root, "", flags)?;
    rustix::mount::fsconfig_set_flag(&fs, "rw")?;
    Ok(rustix::mount::fsconfig_reconfigure(&fs)?)
}
