//! What is compared: an inode's type, metadata and content.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType};

use crate::fsx::xattr::Pair;
use crate::fsx::{self, Dir};

/// Extended attributes that are no change when they differ: a label is the policy's and not the file's, and EVM's
/// seal covers the inode number, which no copy has in common with its source.
const NOT_COMPARED: [&[u8]; 2] = [b"security.selinux", b"security.evm"];

/// What an inode is. `Special` are sockets, pipes and devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    File,
    Symlink,
    Special,
}

impl Shape {
    pub(super) fn is_directory(self) -> bool {
        self == Shape::Directory
    }
}

/// An inode as it was read, without its content.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub kind: FileType,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub device: u64,
    pub mtime: (i64, u32),
    /// All of them, sorted by name.
    pub xattrs: Vec<Pair>,
    /// Of a symbolic link.
    pub target: Vec<u8>,
    identity: (u64, u64),
}

impl Inode {
    /// Reads `name` in `dir` without opening it and without following a link; `.` is `dir` itself.
    pub(super) fn read(dir: &Dir, name: &CString) -> io::Result<Self> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let target = match kind {
            FileType::Symlink => rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes(),
            _ => Vec::new(),
        };
        Ok(Self {
            kind,
            mode: (stat.st_mode & 0o7777) as u16,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            device: stat.st_rdev,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
            xattrs: fsx::xattr::read_all_at(dir.as_fd(), name)?,
            target,
            identity: (stat.st_dev, stat.st_ino),
        })
    }

    pub(super) fn shape(&self) -> Shape {
        match self.kind {
            FileType::Directory => Shape::Directory,
            FileType::RegularFile => Shape::File,
            FileType::Symlink => Shape::Symlink,
            _ => Shape::Special,
        }
    }

    /// `socket`, `fifo` …
    pub(super) fn kind_name(&self) -> &'static str {
        kind_name(self.kind)
    }

    fn compared_xattrs(&self) -> impl Iterator<Item = &Pair> {
        self.xattrs.iter().filter(|(name, _)| !NOT_COMPARED.contains(&&**name))
    }
}

pub(super) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::RegularFile => "file",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "char-device",
        FileType::BlockDevice => "block-device",
        _ => "unknown",
    }
}

/// In what two inodes differ; times do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Differences(u8);

impl Differences {
    pub const TYPE: Self = Self(1);
    pub const CONTENT: Self = Self(2);
    /// Where a symbolic link points.
    pub const TARGET: Self = Self(4);
    pub const MODE: Self = Self(8);
    pub const OWNER: Self = Self(16);
    pub const XATTRS: Self = Self(32);

    const NAMES: [(Self, &str); 6] = [
        (Self::TYPE, "type"),
        (Self::CONTENT, "content"),
        (Self::TARGET, "target"),
        (Self::MODE, "mode"),
        (Self::OWNER, "owner"),
        (Self::XATTRS, "xattrs"),
    ];

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// `content`, `mode` … in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(one, _)| self.0 & one.0 != 0).map(|(_, name)| *name)
    }

    fn add(&mut self, one: Self, differs: bool) {
        self.0 |= if differs { one.0 } else { 0 };
    }
}

/// How closely the content of two files of one size is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Byte by byte.
    Compare,
    /// Not at all when they have the same time: good enough to count.
    TrustTimes,
}

/// Compares inodes; keeps its buffers.
pub(super) struct Comparer {
    contents: Contents,
    buffers: [Vec<u8>; 2],
}

/// An inode and where it is.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub dir: &'a Dir,
    pub inode: &'a Inode,
}

impl Comparer {
    pub(super) fn new(contents: Contents) -> Self {
        Self { contents, buffers: [vec![0; 64 << 10], vec![0; 64 << 10]] }
    }

    /// In what `name` differs from one directory to the other. Not found: one of the files was removed meanwhile.
    pub(super) fn compare(&mut self, a: At<'_>, b: At<'_>, name: &CString) -> io::Result<Differences> {
        let mut found = Differences::default();
        let (x, y) = (a.inode, b.inode);
        if x.identity == y.identity {
            return Ok(found);
        }
        if x.kind != y.kind {
            found.add(Differences::TYPE, true);
        } else {
            match x.shape() {
                Shape::Directory => {}
                Shape::File => found.add(Differences::CONTENT, !self.same_content(a, b, name)?),
                Shape::Symlink => found.add(Differences::TARGET, x.target != y.target),
                Shape::Special => found.add(Differences::TYPE, x.device != y.device),
            }
            // The mode of a link means nothing.
            found.add(Differences::MODE, x.shape() != Shape::Symlink && x.mode != y.mode);
        }
        found.add(Differences::OWNER, (x.uid, x.gid) != (y.uid, y.gid));
        found.add(Differences::XATTRS, !x.compared_xattrs().eq(y.compared_xattrs()));
        Ok(found)
    }

    fn same_content(&mut self, a: At<'_>, b: At<'_>, name: &CString) -> io::Result<bool> {
        if a.inode.size != b.inode.size {
            return Ok(false);
        }
        if a.inode.size == 0 || self.contents == Contents::TrustTimes && a.inode.mtime == b.inode.mtime {
            return Ok(true);
        }
        let mut left = fsx::open_regular_raw(a.dir, name)?;
        let mut right = fsx::open_regular_raw(b.dir, name)?;
        let [left_buffer, right_buffer] = &mut self.buffers;
        loop {
            let n = fill(&mut left, left_buffer)?;
            let m = fill(&mut right, right_buffer)?;
            if left_buffer[..n] != right_buffer[..m] {
                return Ok(false);
            }
            if n == 0 {
                return Ok(true);
            }
        }
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
