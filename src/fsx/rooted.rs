//! Reading a path of an image from a checkout: symbolic links resolve inside the image's root, as they will
//! after the switch to it, and devices, pipes and `/proc` links cannot be opened by accident.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::dir::read_regular;

/// Opens a path for reading as if `root` were `/` (openat2(2), `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`);
/// `None` when it does not exist. Never blocks on a pipe.
pub fn open_in_root(root: &Dir, path: &[u8]) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => return Ok(Some(fd.into())),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            // A rename somewhere on the path made the kernel give up (openat2(2), EAGAIN).
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reads a regular file of at most `limit` bytes; `None` when it does not exist.
pub fn read_in_root(root: &Dir, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    open_in_root(root, path)?.map(|file| read_regular(file, limit)).transpose()
}
