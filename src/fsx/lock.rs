//! One lock file, taken shared or exclusive, that can say who holds it.
//!
//! The lock is flock(2) on an open file: the kernel drops it when the holder dies, so there is nothing stale to
//! clean up. Who holds it is asked of the kernel as well (`/proc/locks`), not read from a file that may lie.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags};

/// How long to wait for a lock that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    No,
    For(Duration),
    Forever,
}

/// A process that holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// Its command line, empty when it may not be read.
    pub command: String,
    /// How long it has been running.
    pub running: Option<Duration>,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{}", busy(.0))]
    Busy(Vec<Holder>),
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn busy(holders: &[Holder]) -> String {
    let Some(first) = holders.first() else {
        return "another process is working on this sysroot".into();
    };
    let mut text = format!("pid {} is working on this sysroot", first.pid);
    if !first.command.is_empty() {
        text += &format!(" (`{}`", first.command);
        if let Some(running) = first.running {
            text += &format!(", running for {} s", running.as_secs());
        }
        text += ")";
    }
    if holders.len() > 1 {
        text += &format!(", and {} more", holders.len() - 1);
    }
    text
}

/// The file that is locked.
#[derive(Debug)]
pub struct LockFile(File);

/// Proof that nobody else holds the lock exclusively.
#[derive(Debug)]
pub struct SharedGuard(File);

/// Proof that nobody else holds the lock at all.
#[derive(Debug)]
pub struct ExclusiveGuard(SharedGuard);

impl LockFile {
    /// Opens the lock file below `dir`, making it when it is missing (mode 0600).
    pub fn open(dir: &Dir, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => Ok(Self(fd.into())),
            // A read-only file system still lets readers in.
            Err(rustix::io::Errno::ROFS) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                Ok(Self(rustix::fs::openat(dir, name, flags, Mode::empty())?.into()))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    pub fn shared(self, wait: Wait) -> Result<SharedGuard, LockError> {
        self.take(wait, File::try_lock_shared, File::lock_shared).map(SharedGuard)
    }

    pub fn exclusive(self, wait: Wait) -> Result<ExclusiveGuard, LockError> {
        self.take(wait, File::try_lock, File::lock).map(|file| ExclusiveGuard(SharedGuard(file)))
    }

    fn take(
        self,
        wait: Wait,
        attempt: fn(&File) -> Result<(), TryLockError>,
        block: fn(&File) -> io::Result<()>,
    ) -> Result<File, LockError> {
        if wait == Wait::Forever {
            block(&self.0)?;
            return Ok(self.0);
        }
        let start = Instant::now();
        loop {
            match attempt(&self.0) {
                Ok(()) => return Ok(self.0),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) => {}
            }
            match wait {
                // flock(2) has no time limit of its own.
                Wait::For(limit) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
                _ => return Err(LockError::Busy(holders(&self.0)?)),
            }
        }
    }
}

impl Drop for SharedGuard {
    /// Closing the file is not enough: a child process that was forked a moment ago has the same open file until
    /// it calls exec, and would keep the lock (flock(2)).
    fn drop(&mut self) {
        // It cannot fail for a lock that is held; if it did, closing would still release it.
        let _ = self.0.unlock();
    }
}

impl ExclusiveGuard {
    /// Who holds the lock alone also has what those have who share it.
    pub fn as_shared(&self) -> &SharedGuard {
        &self.0
    }
}

fn holders(file: &File) -> io::Result<Vec<Holder>> {
    let inode = rustix::fs::fstat(file)?.st_ino;
    let table = read_proc("/proc/locks").unwrap_or_default();
    Ok(parse_holders(&table, inode).into_iter().map(describe).collect())
}

/// The processes that hold a flock on an inode, from the text of proc_locks(5). The device numbers there are
/// those of the superblock and differ from `st_dev` on btrfs and overlayfs, so only the inode is compared.
fn parse_holders(table: &str, inode: u64) -> Vec<u32> {
    let mut pids: Vec<u32> = table
        .lines()
        .filter_map(|line| {
            // `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; a waiter has `->` in the second column.
            let mut fields = line.split_whitespace().skip(1);
            (fields.next() == Some("FLOCK")).then_some(())?;
            let pid = fields.nth(2)?.parse().ok()?;
            let held: u64 = fields.next()?.rsplit(':').next()?.parse().ok()?;
            (held == inode).then_some(pid)
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn describe(pid: u32) -> Holder {
    let command = read_proc(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = command.trim_end_matches('\0').replace('\0', " ");
    let command = crate::names::printable(command.chars().take(200).collect::<String>().as_bytes());
    Holder { pid, command, running: running_for(pid) }
}

/// Field 22 of proc_pid_stat(5) is the start in clock ticks (100 a second) after boot.
fn running_for(pid: u32) -> Option<Duration> {
    let stat = read_proc(&format!("/proc/{pid}/stat"))?;
    let start: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = read_proc("/proc/uptime")?.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_secs((uptime as u64).saturating_sub(start / 100)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the kernel's view of this process's peers, not the host's state"
)]
fn read_proc(path: &str) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_read_from_the_kernels_table() {
        let table = "1: FLOCK  ADVISORY  WRITE 812 fe:00:5678 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 900 fe:00:5678 0 EOF\n\
                     2: POSIX  ADVISORY  READ 813 fe:00:5678 128 128\n\
                     3: FLOCK  ADVISORY  READ 814 fe:00:9999 0 EOF\n\
                     4: FLOCK  ADVISORY  READ 815 fe:00:5678 0 EOF\n";
        assert_eq!(parse_holders(table, 5678), [812, 815]);
    }

    #[test]
    fn the_second_writer_is_told_who_the_first_is() {
        let temp = tempfile::tempdir().unwrap();
        let dir = super::super::open_dir(temp.path()).unwrap();
        let first = LockFile::open(&dir, "lock").unwrap().exclusive(Wait::No).unwrap();
        let refused = LockFile::open(&dir, "lock").unwrap().shared(Wait::No).unwrap_err();
        let LockError::Busy(holders) = &refused else { panic!("{refused}") };
        assert!(holders.iter().any(|h| h.pid == std::process::id() && h.running.is_some()), "{holders:?}");
        drop(first);
        let one = LockFile::open(&dir, "lock").unwrap().shared(Wait::No).unwrap();
        let two = LockFile::open(&dir, "lock").unwrap().shared(Wait::No).unwrap();
        assert!(
            LockFile::open(&dir, "lock").unwrap().exclusive(Wait::For(Duration::from_millis(1))).is_err()
        );
        drop((one, two));
        LockFile::open(&dir, "lock").unwrap().exclusive(Wait::Forever).unwrap();
    }
}
