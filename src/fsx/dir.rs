//! Opening, listing and reading.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

pub use rustix::fs::FileType;

/// Opens a directory by an ambient path. The one place where a path from the command line or the environment
/// becomes a directory; symbolic links in it are followed.
pub fn open_dir(path: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(path, ambient_authority())
}

/// Opens a file for reading by an ambient path, as [`open_dir`] opens a directory. Never blocks on a pipe.
pub fn open_file(path: &Path) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Opens a directory directly below `dir`. A symbolic link is an error.
pub fn open_subdir(dir: &Dir, name: &str) -> io::Result<Dir> {
    open_subdir_raw(dir, &CString::new(name)?)
}

/// As [`open_subdir`], for a name that need not be UTF-8.
pub fn open_subdir_raw(dir: &Dir, name: &CStr) -> io::Result<Dir> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    Ok(Dir::from_std_file(fd.into()))
}

/// As [`open_subdir`]; `None` when there is nothing of that name.
pub fn subdir_optional(dir: &Dir, name: &str) -> io::Result<Option<Dir>> {
    match open_subdir(dir, name) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory if it is missing, with exactly `mode`, and opens it. Not synced.
pub fn ensure_dir(dir: &Dir, name: &str, mode: u32) -> io::Result<Dir> {
    match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)) {
        Ok(()) => {
            // The umask may have taken bits away.
            rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    open_subdir(dir, name)
}

/// A descriptor of the same directory that can be read and synced (`Dir` itself is `O_PATH`).
pub fn reopen(dir: &Dir) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, ".", flags, Mode::empty())?)
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Vec<u8>,
    pub kind: FileType,
    /// For a mount point the inode below it.
    pub inode: u64,
}

/// What is in a directory, sorted by name.
pub fn list_dir(dir: &Dir) -> io::Result<Vec<Listed>> {
    let mut list = Vec::new();
    for entry in rustix::fs::Dir::new(reopen(dir)?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        list.push(Listed { name: name.to_vec(), kind, inode: entry.ino() });
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// Opens a regular file directly below `dir` for reading, without following a link. Never blocks on a pipe.
pub fn open_regular(dir: &Dir, name: &str) -> io::Result<std::fs::File> {
    open_regular_raw(dir, &CString::new(name)?)
}

/// As [`open_regular`], for a name that need not be UTF-8.
pub fn open_regular_raw(dir: &Dir, name: &CStr) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: std::fs::File = rustix::fs::openat(dir, name, flags, Mode::empty())?.into();
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    Ok(file)
}

/// Reads a regular file directly below `dir`, without following a link, up to `limit` bytes; `None` when it is
/// absent. A longer file is an error.
pub fn read_limited(dir: &Dir, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => read_regular(fd.into(), limit).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn read_regular(mut file: std::fs::File, limit: u64) -> io::Result<Vec<u8>> {
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    let mut bytes = Vec::with_capacity((stat.st_size as u64).min(limit) as usize + 1);
    file.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}
