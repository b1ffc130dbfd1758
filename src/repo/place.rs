//! Walking a directory tree by sorted paths, without looking a path up from the top for each.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;

use crate::fsx::{self, Dir};
use crate::names::ImagePath;

/// The directory in which the last path was. Paths come sorted, so the next one is near it. No symbolic link is
/// followed on the way.
pub(super) struct Place<'a> {
    top: &'a ImagePath,
    dest: &'a Dir,
    missing: Missing,
    /// The open directories from `dest` down with their relative paths.
    stack: Vec<(Vec<u8>, OwnedFd)>,
}

/// What becomes of a directory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is an error.
    Fails,
    /// It is made, mode 0700; another thread may be faster.
    IsMade,
}

impl<'a> Place<'a> {
    /// `dest` is where `top` is.
    pub(super) fn new(top: &'a ImagePath, dest: &'a Dir, missing: Missing) -> Self {
        Self { top, dest, missing, stack: Vec::new() }
    }

    /// Calls `act` with the open parent of a path and the path's last component; for `top` itself with `dest`
    /// and `.`.
    pub(super) fn at<T>(
        &mut self,
        path: &ImagePath,
        act: impl FnOnce(BorrowedFd<'_>, &CString) -> io::Result<T>,
    ) -> io::Result<T> {
        let relative = self.top.strip_from(path);
        let (parent, name) = match relative.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&relative[..slash], &relative[slash + 1..]),
            None if relative.is_empty() => (relative, &b"."[..]),
            None => (&b""[..], relative),
        };
        let name = CString::new(name)?;
        act(self.open(parent)?, &name)
    }

    fn open(&mut self, directory: &[u8]) -> io::Result<BorrowedFd<'_>> {
        let holds = |open: &[u8]| {
            open.is_empty()
                || (directory.starts_with(open) && matches!(directory.get(open.len()), None | Some(b'/')))
        };
        while self.stack.last().is_some_and(|(open, _)| !holds(open)) {
            self.stack.pop();
        }
        if self.stack.is_empty() {
            self.stack.push((Vec::new(), fsx::reopen(self.dest)?));
        }
        loop {
            let (open, fd) = self.stack.last().expect("dest is never popped");
            if open.len() == directory.len() {
                break;
            }
            let start = if open.is_empty() { 0 } else { open.len() + 1 };
            let end =
                directory[start..].iter().position(|b| *b == b'/').map_or(directory.len(), |i| start + i);
            let child = self.open_child(fd.as_fd(), &CString::new(&directory[start..end])?)?;
            self.stack.push((directory[..end].to_vec(), child));
        }
        Ok(self.stack.last().expect("dest is never popped").1.as_fd())
    }

    fn open_child(&self, parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(parent, name, flags, FileMode::empty());
        match open() {
            Err(Errno::NOENT) if self.missing == Missing::IsMade => {
                make_directory(parent, name)?;
                open()
            }
            result => result,
        }
    }
}

/// Makes a directory, mode 0700, that another thread may be making as well.
pub(super) fn make_directory(parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
    match rustix::fs::mkdirat(parent, name, FileMode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}
