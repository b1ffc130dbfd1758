//! A file system that is mounted nowhere: it is there as long as its directory is open, and gone when the process
//! is, however that ends.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
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
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mount, ".", flags, Mode::empty())?;
    Ok(Dir::from_std_file(root.into()))
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
