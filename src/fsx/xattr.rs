//! Extended attributes of open files.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The name and the value of an extended attribute.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// All extended attributes of a file, sorted by name. Empty where the file system has none.
pub fn read_all(file: impl AsFd) -> io::Result<Vec<Pair>> {
    collect(
        |buffer| rustix::fs::flistxattr(&file, buffer),
        |name, buffer| rustix::fs::fgetxattr(&file, name, buffer),
    )
}

/// As [`read_all`], of `name` in `dir`, which may be a symbolic link or what must not be opened; see [`set_at`].
pub fn read_all_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<Pair>> {
    let path = path_of(dir, name);
    collect(
        |buffer| rustix::fs::llistxattr(&path[..], buffer),
        |name, buffer| rustix::fs::lgetxattr(&path[..], name, buffer),
    )
}

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<Pair>> {
    let mut names = Vec::new();
    match grow(&mut names, list) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    }
    let mut pairs = Vec::new();
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let mut value = Vec::new();
        match grow(&mut value, |buffer| get(name, buffer)) {
            Ok(()) => pairs.push((name.into(), value.into())),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    pairs.sort();
    Ok(pairs)
}

/// One extended attribute; `None` when it is not set.
pub fn read(file: impl AsFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::new();
    match grow(&mut value, |buffer| rustix::fs::fgetxattr(&file, name, buffer)) {
        Ok(()) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Sets one extended attribute of an open file.
pub fn set(file: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(file, name, value, rustix::fs::XattrFlags::empty())?)
}

/// Sets extended attributes of `name` in `dir`, which may be a symbolic link or a device: through the descriptor's
/// name in `/proc`, since there is no such call for a descriptor and a name.
pub fn set_at<'a>(
    dir: BorrowedFd<'_>,
    name: &CStr,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> io::Result<()> {
    let mut path = None;
    for (attribute, value) in pairs {
        let path = path.get_or_insert_with(|| path_of(dir, name));
        rustix::fs::lsetxattr(&path[..], attribute, value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn path_of(dir: BorrowedFd<'_>, name: &CStr) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name.to_bytes()].concat()
}

/// Longer than nearly all lists and values.
const GUESS: usize = 256;
/// No list and no value is longer: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` of limits.h.
const LONGEST: usize = 64 << 10;

/// Calls with a buffer that grows until the answer fits. Never with an empty one: rustix answers 0 to that, not the
/// length as the system call does.
fn grow(
    out: &mut Vec<u8>,
    mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<()> {
    let mut size = GUESS;
    loop {
        out.resize(size, 0);
        match call(out) {
            Ok(length) => {
                out.truncate(length);
                return Ok(());
            }
            Err(Errno::RANGE) if size < LONGEST => size = LONGEST,
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_back_whatever_their_length() {
        let file = tempfile::tempfile().unwrap();
        let long = vec![b'x'; 2000];
        match set(&file, b"user.b", &long) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return,
            result => result.unwrap(),
        }
        set(&file, b"user.a", b"short").unwrap();
        set(&file, b"user.empty", b"").unwrap();
        let pairs: Vec<Pair> = vec![
            (b"user.a"[..].into(), b"short"[..].into()),
            (b"user.b"[..].into(), long[..].into()),
            (b"user.empty"[..].into(), b""[..].into()),
        ];
        assert_eq!(read_all(&file).unwrap(), pairs);
        assert_eq!(read(&file, "user.b").unwrap(), Some(long));
        assert_eq!(read(&file, "user.c").unwrap(), None);
    }
}
