//! Building the new root and moving it over the old one.
//!
//! The new root is put together below `/run/reroot`, where nobody looks, and appears in one step at the end:
//!
//! ```text
//! 1. everything that is mounted becomes private: a mount below a shared one cannot be moved
//! 2. /run/reroot/new          the deployment (or an overlay on it), its etc, the stateroot's var
//! 3. /run/reroot/new          read-only; etc and var are mounts of their own and stay writable
//! 4. /sysroot                 moved to /run/reroot/new/sysroot, read-only
//! 5. /run/reroot/new          moved to /sysroot
//! ```
//!
//! Up to step 4 an error leaves `/sysroot` as it was. A directory is opened once, without following links, and then
//! mounted by its descriptor (open_tree(2), move_mount(2), Linux 5.2): no path of the image is looked up twice.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
    MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::choose::Target;
use super::settings::{Etc, Root, Settings};
use super::{Error, Result, observe};
use crate::fsx::{self, Dir};

/// Where the new root is put together, below `/run/reroot`.
const NEW: &str = "new";
/// Where the file system in RAM is while overlays are made of it.
const RAM: &str = "ram";

/// Makes `target` what is mounted at `sysroot`. `root` is the physical root, which is mounted there and has all that
/// `target` requires; `run` is `/run/reroot`, at the path `run_path`.
pub fn mount(
    root: &Dir,
    sysroot: &Path,
    target: &Target,
    settings: &Settings,
    run: &Dir,
    run_path: &Path,
) -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Error::io("making all mounts private"))?;
    make_writable(root).map_err(Error::io(format!(
        "making the file system at {} writable (it is mounted read-only until then)",
        sysroot.display()
    )))?;
    let new = Scratch::make(run, run_path, NEW)?;
    let built = build(root, sysroot, target, settings, &new, run, run_path)?;
    switch(root, sysroot, &built)?;
    new.keep_mount();
    Ok(())
}

/// The new root, complete but for `/sysroot`.
struct NewRoot {
    /// The mount itself.
    mount: Dir,
    /// Its directory `sysroot`.
    sysroot: Dir,
}

fn build(
    root: &Dir,
    sysroot: &Path,
    target: &Target,
    settings: &Settings,
    new: &Scratch<'_>,
    run: &Dir,
    run_path: &Path,
) -> Result<NewRoot> {
    let open = |path: String| observe::open(root, &path).map_err(Error::io(format!("opening {path}")));
    let deployment = open(target.to_string())?;
    let own_etc = open(format!("{target}/etc"))?;
    let var = open(format!("{}/var", target.stateroot_path()))?;

    let transient = settings.root == Root::Transient || settings.etc == Etc::Transient;
    let ram = if transient { Some(Ram::make(run, run_path)?) } else { None };
    let overlay = |name, path: String| {
        let lower = open(path.clone())?;
        let context = format!("mounting an overlay on {path} (its module must be in the initramfs)");
        let ram = ram.as_ref().expect("made when anything is transient");
        ram.overlay(name, &lower, &sysroot.join(&path[1..])).map_err(Error::io(context))
    };
    let bind = |dir: &Dir, path: String| bind(dir).map_err(Error::io(format!("mounting {path}")));

    let mount = match settings.root {
        Root::ReadOnly => bind(&deployment, target.to_string())?,
        Root::Transient => overlay("root", target.to_string())?,
    };
    let etc = match settings.etc {
        Etc::Own => bind(&own_etc, format!("{target}/etc"))?,
        Etc::Transient => overlay("etc", format!("{target}/usr/etc"))?,
    };
    let var = bind(&var, format!("{}/var", target.stateroot_path()))?;

    attach(&mount, &new.dir).map_err(Error::io("mounting the new root"))?;
    let inside = |name: &str| {
        fsx::open_subdir(&mount, name).map_err(Error::io(format!("opening {name} in the new root")))
    };
    for (name, what) in [("etc", &etc), ("var", &var)] {
        let place = inside(name)?;
        let done = attach(what, &place).and_then(|()| set_access(what, Access::ReadWrite));
        done.map_err(Error::io(format!("mounting {name} in the new root")))?;
    }
    let access = match settings.root {
        Root::ReadOnly => Access::ReadOnly,
        Root::Transient => Access::ReadWrite,
    };
    set_access(&mount, access).map_err(Error::io("setting the new root read-only or writable"))?;
    let sysroot = inside("sysroot")?;
    Ok(NewRoot { mount, sysroot })
}

/// Moves the physical root into the new one, and the new one to its place.
fn switch(root: &Dir, sysroot: &Path, new: &NewRoot) -> Result<()> {
    let shown = sysroot.display();
    attach(root, &new.sysroot).map_err(Error::io(format!("moving {shown} into the new root")))?;
    let finish = || {
        set_access(root, Access::ReadOnly)?;
        attach(&new.mount, &fsx::open_dir(sysroot)?)
    };
    finish().map_err(|error| {
        // Back where people look for it. If that fails too, the first error is the one to tell.
        let _ = fsx::open_dir(sysroot).and_then(|place| attach(root, &place));
        Error::io(format!("moving the new root to {shown}"))(error)
    })
}

/// A directory below `/run/reroot` on which something is mounted for a while.
struct Scratch<'a> {
    run: &'a Dir,
    run_path: &'a Path,
    name: &'static str,
    dir: Dir,
    mounted: bool,
}

impl<'a> Scratch<'a> {
    fn make(run: &'a Dir, run_path: &'a Path, name: &'static str) -> Result<Self> {
        let dir = fsx::ensure_dir(run, name, 0o700);
        let dir = dir.map_err(Error::io(format!("making {}/{name}", run_path.display())))?;
        Ok(Self { run, run_path, name, dir, mounted: true })
    }

    /// What was mounted here is somewhere else now.
    fn keep_mount(mut self) {
        self.mounted = false;
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if self.mounted {
            // Nothing may be mounted yet; what is left of it hinders nobody.
            let _ = rustix::mount::unmount(
                self.run_path.join(self.name),
                UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
            );
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
    fn make(run: &'a Dir, run_path: &'a Path) -> Result<Self> {
        let scratch = Scratch::make(run, run_path, RAM)?;
        let make = || {
            let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            rustix::mount::fsconfig_set_string(&fs, "source", "reroot")?;
            rustix::mount::fsconfig_set_string(&fs, "mode", "0755")?;
            let dir = create(&fs)?;
            attach(&dir, &scratch.dir)?;
            Ok(dir)
        };
        let dir = make().map_err(Error::io::<io::Error>("mounting a file system in RAM"))?;
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

        // As paths: descriptors are accepted since Linux 6.13 only. None of these paths has a link in it, nor a
        // character that overlayfs would take for a separator.
        let ram = self.scratch.run_path.join(self.scratch.name).join(name);
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&fs, "source", "reroot")?;
        rustix::mount::fsconfig_set_string(&fs, "lowerdir", lower_path)?;
        rustix::mount::fsconfig_set_string(&fs, "upperdir", ram.join("upper"))?;
        rustix::mount::fsconfig_set_string(&fs, "workdir", ram.join("work"))?;
        create(&fs)
    }
}

/// Makes the file system that was configured, not attached anywhere.
fn create(fs: impl AsFd) -> io::Result<Dir> {
    rustix::mount::fsconfig_create(&fs)?;
    let mount =
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RELATIME)?;
    Ok(Dir::from_std_file(mount.into()))
}

/// A new mount of a directory, not attached anywhere.
fn bind(dir: &Dir) -> io::Result<Dir> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(Dir::from_std_file(rustix::mount::open_tree(dir, "", flags)?.into()))
}

/// Puts a mount at a directory, wherever it was before.
fn attach(mount: &Dir, place: &Dir) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", place, "", flags)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

/// Sets one attached mount, and not its file system, read-only or writable. The other flags stay: mount(2) sets all
/// of them at once, but keeps those of access times when none is given.
fn set_access(mount: &Dir, access: Access) -> io::Result<()> {
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
