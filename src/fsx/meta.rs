//! Owner, mode and times of an inode.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

/// Gives an open file its owner and mode. The owner goes first: chown(2) clears setuid and setgid.
pub fn set_owner_and_mode(file: impl AsFd, uid: u32, gid: u32, mode: u16) -> io::Result<()> {
    rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode.into()))?;
    Ok(())
}

/// Sets the modification time of `name` below `dir`, of a symbolic link itself; the access time stays.
/// An empty name means `dir` itself.
pub fn set_times(dir: impl AsFd, name: &std::ffi::CStr, seconds: i64, nanoseconds: u32) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    };
    if name.is_empty() {
        rustix::fs::futimens(dir, &times)?;
    } else {
        rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}
