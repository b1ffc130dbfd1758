//! How much room is left.

use std::io;

use cap_std::fs::Dir;

/// Space of the file system that holds a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes that this process may still write (`f_bavail`).
    pub available_bytes: u64,
    pub total_bytes: u64,
    /// `None` where the file system has no fixed number of inodes (btrfs, vfat).
    pub available_inodes: Option<u64>,
}

/// Asks the file system (statvfs(3)).
pub fn free_space(dir: &Dir) -> io::Result<FreeSpace> {
    let stat = rustix::fs::fstatvfs(dir)?;
    Ok(FreeSpace {
        available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        available_inodes: (stat.f_files > 0).then_some(stat.f_favail),
    })
}
