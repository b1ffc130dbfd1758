//! File systems that are mounted nowhere: they are there as long as a directory of theirs is open, and gone when the
//! process is, however that ends.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use cap_std::fs::Dir;
#[cfg(feature = "cli")]
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

/// Mounts `device` for this process alone (fsopen(2), fsmount(2)) and gives its root. `kind` is the name of the
/// file system. What the kernel says about a failure is in the error.
pub fn mount_detached(device: &Path, kind: &str) -> io::Result<Dir> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mounted = || {
        fsconfig_set_string(&context, "source", device)?;
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let mount = mounted().map_err(|errno: rustix::io::Errno| explained(&context, errno.into()))?;
    // The descriptor itself: only with it can the mount still be given a place (move_mount(2)).
    Ok(Dir::from_std_file(mount.into()))
}

/// The directories of an overlay, as paths: descriptors are accepted since Linux 6.13 only.
#[derive(Debug, Clone, Copy)]
pub struct OverlayPaths<'a> {
    pub lower: &'a Path,
    pub upper: &'a Path,
    pub work: &'a Path,
}

/// An overlay, for this process alone until it is given a place. No path may have a link in it that others could change,
/// nor a character that overlayfs would take for a separator (`:`, `,`, `\\`).
pub fn overlay_detached(paths: OverlayPaths<'_>) -> io::Result<Dir> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mounted = || {
        fsconfig_set_string(&context, "source", "reroot")?;
        fsconfig_set_string(&context, "lowerdir", paths.lower)?;
        fsconfig_set_string(&context, "upperdir", paths.upper)?;
        fsconfig_set_string(&context, "workdir", paths.work)?;
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RELATIME)
    };
    let mount = mounted().map_err(|errno: rustix::io::Errno| explained(&context, errno.into()))?;
    Ok(Dir::from_std_file(mount.into()))
}

/// Gives a mount a place, wherever it was before.
pub fn attach(mount: &Dir, place: &Dir) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", place, "", flags)?)
}

/// Whether what this process mounts is seen by the system: it has the mounts of process 1, and not its own.
#[cfg(feature = "cli")]
pub fn has_the_systems_mounts() -> io::Result<bool> {
    let namespace = |process: &str| rustix::fs::stat(format!("/proc/{process}/ns/mnt"));
    let (own, systems) = (namespace("self")?, namespace("1")?);
    Ok((own.st_dev, own.st_ino) == (systems.st_dev, systems.st_ino))
}

/// The same directory in a mount of our own that may be written to, when `dir` is the root of one that may not. A
/// running system has its physical root mounted read-only, so that nobody writes there by mistake; others do not see
/// this mount (open_tree(2), mount_setattr(2); ostree remounts in a namespace of its own for the same end).
///
/// Gives `dir` back when it is writable. Needs `CAP_SYS_ADMIN` otherwise. A file system that is read-only itself stays
/// so.
#[cfg(feature = "cli")]
pub fn writable(dir: &Dir) -> io::Result<Dir> {
    if !rustix::fs::fstatvfs(dir)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return dir.try_clone();
    }
    let mount = clone(dir)?;
    set_attributes(&mount, MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mount, ".", flags, Mode::empty())?;
    Ok(Dir::from_std_file(root.into()))
}

/// The same directory once more, mounted nowhere yet: only to be looked at, its devices and its setuid programs being none. What is
/// mounted below it is not there. Needs `CAP_SYS_ADMIN`.
#[cfg(feature = "cli")]
pub fn bind_to_look_at(dir: &Dir) -> io::Result<Dir> {
    let mount = clone(dir)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    set_attributes(&mount, attributes, MountAttrFlags::empty())?;
    Ok(Dir::from_std_file(mount.into()))
}

#[cfg(feature = "cli")]
fn clone(dir: &Dir) -> io::Result<OwnedFd> {
    use rustix::mount::{OpenTreeFlags, open_tree};

    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(dir, "", flags)?)
}

#[cfg(feature = "cli")]
fn set_attributes(mount: &OwnedFd, set: MountAttrFlags, clear: MountAttrFlags) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    /// `struct mount_attr` of linux/mount.h.
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = MountAttributes {
        set: set.bits().into(),
        clear: clear.bits().into(),
        propagation: 0,
        user_namespace: 0,
    };
    #[expect(unsafe_code, reason = "neither rustix nor libc has this system call")]
    // SAFETY: the path is an empty string, and the structure the one of linux/mount.h with its size.
    let changed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if changed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Adds what the kernel wrote to the context of the mount.
fn explained(context: &OwnedFd, error: io::Error) -> io::Error {
    let mut buffer = [0; 512];
    let mut text = String::new();
    while let Ok(n @ 1..) = rustix::io::read(context, &mut buffer) {
        // "e ", "w " or "i " in front says how grave it is.
        let message = String::from_utf8_lossy(&buffer[..n]);
        let message = message.split_once(' ').map_or(&*message, |(_, rest)| rest).trim();
        text = if text.is_empty() { message.into() } else { format!("{text}; {message}") };
    }
    if text.is_empty() { error } else { io::Error::new(error.kind(), format!("{error} ({text})")) }
}
