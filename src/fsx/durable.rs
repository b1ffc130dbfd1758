//! Making names durable: new content first, then one rename, then the directory.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::dir::reopen;

/// Writes a small file under `name`, replacing what was there in one step. When this returns, content and name
/// survive a power cut; when it fails or is killed, the old file is untouched and at most a `.tmp-` file is left.
pub fn write_atomic(dir: &Dir, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = format!(".tmp-{name}.{}.{unique}", rustix::process::getpid().as_raw_nonzero());
    // A name at the limit of the file system still needs a temporary one.
    let temporary = if temporary.len() > 255 { format!(".tmp-{unique}") } else { temporary };
    let result = write_synced(dir, &temporary, bytes, mode).and_then(|()| rename(dir, &temporary, dir, name));
    if result.is_err() {
        // What cannot be removed here is swept by the owner of the directory.
        let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
        return result;
    }
    sync_dir(dir)
}

/// Writes a file anew in the blocks that it has, for readers that remember where they are. Its length stays, and must be
/// that of `bytes`. Durable when it returns; a power cut before that may leave any mixture of old and new sectors.
pub fn overwrite(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
    if !is_file || stat.st_size as u64 != bytes.len() as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file does not have the length that it had",
        ));
    }
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_synced(dir: &Dir, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes)?;
    file.sync_all()
}

/// Renames, replacing the target. Durable once the directories are synced.
pub fn rename(from: &Dir, name: &str, to: &Dir, new_name: &str) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, name, to, new_name)?)
}

/// Renames unless the target exists; false when it does and nothing was changed.
pub fn rename_noreplace(from: &Dir, name: &str, to: &Dir, new_name: &str) -> io::Result<bool> {
    match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // A file system without RENAME_NOREPLACE: look, then rename. Callers hold a lock.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match rustix::fs::statat(to, new_name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(false),
                Err(Errno::NOENT) => rename(from, name, to, new_name).map(|()| true),
                Err(errno) => Err(errno.into()),
            }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Gives two files each other's names in one step, or renames `name` when nothing has `other`. On a file system that
/// cannot exchange names, `other` is replaced. Durable once the directory is synced.
pub fn exchange(dir: &Dir, name: &str, other: &str) -> io::Result<()> {
    match rustix::fs::renameat_with(dir, name, dir, other, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => rename(dir, name, dir, other),
        result => Ok(result?),
    }
}

/// Gives two files or directories of two directories each other's places in one step. Durable once both directories are
/// synced. An error on a file system that cannot (renameat2(2), `RENAME_EXCHANGE`).
pub fn exchange_between(from: &Dir, name: &str, to: &Dir, other: &str) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from, name, to, other, RenameFlags::EXCHANGE)?)
}

/// Removes a file; false when it was absent. Durable once the directory is synced.
pub fn remove_file(dir: &Dir, name: &str) -> io::Result<bool> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes the names in a directory durable (fsync(2): a file's own fsync does not cover its directory entry).
pub fn sync_dir(dir: &Dir) -> io::Result<()> {
    Ok(rustix::fs::fsync(reopen(dir)?)?)
}

/// The file system that holds a directory, from before the first write on: a sync reports every write that was
/// lost since then, also one that the kernel tried and told another process of (syncfs(2)).
#[derive(Debug)]
pub struct FilesystemSync(OwnedFd);

impl FilesystemSync {
    /// Called before anything is written that the sync is to cover.
    pub fn begin(dir: &Dir) -> io::Result<Self> {
        reopen(dir).map(Self)
    }

    /// Writes everything of the file system to disk, content and names.
    ///
    /// An error means that some write was lost, and the kernel reports it once: the caller gives up what it wrote
    /// and never tries the sync again as if nothing had happened.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }
}
