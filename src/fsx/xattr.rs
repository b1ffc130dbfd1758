//! Extended attributes of open files.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// All extended attributes of a file, sorted by name. Empty where the file system has none.
pub fn read_all(file: impl AsFd) -> io::Result<Vec<(Box<[u8]>, Box<[u8]>)>> {
    let mut names = Vec::new();
    match grow(&mut names, |buffer| rustix::fs::flistxattr(&file, buffer)) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    }
    let mut pairs = Vec::new();
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let mut value = Vec::new();
        match grow(&mut value, |buffer| rustix::fs::fgetxattr(&file, name, buffer)) {
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

/// Asks first for the length, then for the bytes, again when they grew in between.
fn grow(
    out: &mut Vec<u8>,
    mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<()> {
    loop {
        let length = call(&mut [])?;
        if length == 0 {
            out.clear();
            return Ok(());
        }
        out.resize(length, 0);
        match call(out) {
            Ok(length) => {
                out.truncate(length);
                return Ok(());
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
    }
}
