//! Removing a tree without ever leaving it.

use std::ffi::CStr;
use std::io;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Removes `name` below `dir` and everything in it. Symbolic links are removed, not followed; a directory on
/// another file system is an error and is left alone. What is already gone is fine. Not synced.
///
/// Directories without write permission for their owner are opened up first, so that an unprivileged user can
/// remove what an image made read-only.
pub fn remove_tree(dir: &Dir, name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    let device = match rustix::fs::statat(dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat.st_dev,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    remove_entry(dir, &name, FileType::Unknown, device)
}

fn remove_entry(dir: impl rustix::fd::AsFd, name: &CStr, kind: FileType, device: u64) -> io::Result<()> {
    if !matches!(kind, FileType::Directory | FileType::Unknown) {
        return gone(rustix::fs::unlinkat(dir, name, AtFlags::empty()));
    }
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(&dir, name, flags, Mode::empty());
    let fd = match open() {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(&dir, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        Err(errno) => return Err(errno.into()),
    };
    let stat = rustix::fs::fstat(&fd)?;
    if stat.st_dev != device {
        return Err(io::Error::other(format!(
            "`{}` is a mount point; unmount it first",
            name.to_string_lossy()
        )));
    }
    if stat.st_mode & 0o700 != 0o700 {
        // Root does not need it; an ordinary user owns everything below.
        let _ = rustix::fs::fchmod(&fd, Mode::RWXU);
    }
    // Entries are read in one go before anything is removed: some file systems lose their place otherwise.
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(&fd)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    for (child, kind) in entries {
        remove_entry(&fd, &child, kind, device)?;
    }
    drop(fd);
    gone(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
}

fn gone(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}
