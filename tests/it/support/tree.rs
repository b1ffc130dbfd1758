//! Everything that can be known of a directory tree from outside, for comparing two of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What one name stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Fact {
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky.
    pub mode: u32,
    pub owner: (u32, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub mtime: (i64, i64),
    /// Device and inode number; not compared.
    pub inode: (u64, u64),
}

#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File { size: u64, blake3: blake3::Hash },
    Symlink(Vec<u8>),
    Device { block: bool, number: u64 },
    Fifo,
    Socket,
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Directory => write!(f, "directory")?,
            Kind::File { size, blake3 } => write!(f, "file of {size} bytes {}", &blake3.to_hex()[..8])?,
            Kind::Symlink(target) => write!(f, "link to {}", target.escape_ascii())?,
            Kind::Device { block, number } => write!(f, "device block={block} {number:#x}")?,
            Kind::Fifo => write!(f, "fifo")?,
            Kind::Socket => write!(f, "socket")?,
        }
        let ((uid, gid), (seconds, nanos)) = (self.owner, self.mtime);
        write!(f, " {:04o} {uid}:{gid} {seconds}.{nanos:09}", self.mode)?;
        for (name, value) in &self.xattrs {
            write!(f, " {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        Ok(())
    }
}

/// Which times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    All,
    /// Those of everything but files with content: their inodes are shared between images.
    NotOfSharedFiles,
    None,
}

/// A tree by path; the root is the empty path.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<Vec<u8>, Fact>);

impl Facts {
    /// Reads a tree without leaving it and without changing its times.
    pub fn read(root: &Path) -> Self {
        let mut facts = Self::default();
        facts.add(root, Vec::new());
        facts
    }

    fn add(&mut self, path: &Path, name: Vec<u8>) {
        let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file_type = metadata.file_type();
        let kind = if file_type.is_dir() {
            Kind::Directory
        } else if file_type.is_file() {
            Kind::File { size: metadata.len(), blake3: hash(path) }
        } else if file_type.is_symlink() {
            Kind::Symlink(fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec())
        } else if file_type.is_fifo() {
            Kind::Fifo
        } else if file_type.is_socket() {
            Kind::Socket
        } else {
            Kind::Device { block: file_type.is_block_device(), number: metadata.rdev() }
        };
        let fact = Fact {
            // A symlink's mode means nothing on Linux.
            mode: if file_type.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 },
            kind,
            owner: (metadata.uid(), metadata.gid()),
            xattrs: xattrs(path),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
        };
        self.0.insert(name.clone(), fact);
        if file_type.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                let child = entry.unwrap().file_name();
                let mut inner = name.clone();
                if !inner.is_empty() {
                    inner.push(b'/');
                }
                inner.extend_from_slice(child.as_bytes());
                self.add(&path.join(OsStr::from_bytes(child.as_bytes())), inner);
            }
        }
    }

    /// Only what is at or below one of the paths, or (`keep` false) everything else.
    pub fn filter(&self, keep: bool, paths: &[&str]) -> Self {
        let below = |name: &[u8], path: &str| {
            name.strip_prefix(path.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        let kept = |name: &[u8]| paths.iter().any(|path| below(name, path)) == keep;
        Self(self.0.iter().filter(|(name, _)| kept(name)).map(|(n, f)| (n.clone(), f.clone())).collect())
    }

    /// The same tree with `from` at the front of each path replaced.
    pub fn moved(&self, from: &str, to: &str) -> Self {
        let name = |name: &Vec<u8>| match name.strip_prefix(from.as_bytes()) {
            Some(rest) => [to.as_bytes(), rest].concat(),
            None => name.clone(),
        };
        Self(self.0.iter().map(|(n, f)| (name(n), f.clone())).collect())
    }

    /// What differs, one line each. Inodes are not compared.
    pub fn differences(&self, other: &Self, times: Times) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, one) in &self.0 {
            match other.0.get(name) {
                None => lines.push(format!("{}: only in the first: {one:?}", name.escape_ascii())),
                Some(two) if comparable(one, times) != comparable(two, times) => {
                    lines.push(format!("{}: {one:?}\n    but {two:?}", name.escape_ascii()));
                }
                Some(_) => {}
            }
        }
        for (name, two) in other.0.iter().filter(|(name, _)| !self.0.contains_key(*name)) {
            lines.push(format!("{}: only in the second: {two:?}", name.escape_ascii()));
        }
        lines
    }

    /// Fails with the first differences.
    pub fn assert_same(&self, other: &Self, times: Times, what: &str) {
        let lines = self.differences(other, times);
        let shown = lines.iter().take(20).map(|line| format!("\n  {line}")).collect::<String>();
        assert!(lines.is_empty(), "{what}: {} of {} differ:{shown}", lines.len(), self.0.len());
    }

    /// Regular files.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], &Fact, u64)> {
        self.0.iter().filter_map(|(name, fact)| match fact.kind {
            Kind::File { size, .. } => Some((name.as_slice(), fact, size)),
            _ => None,
        })
    }
}

fn comparable(fact: &Fact, times: Times) -> Fact {
    let shared = matches!(fact.kind, Kind::File { size, .. } if size > 0);
    let with_time = times == Times::All || times == Times::NotOfSharedFiles && !shared;
    Fact { inode: (0, 0), mtime: if with_time { fact.mtime } else { (0, 0) }, ..fact.clone() }
}

fn hash(path: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::io::copy(&mut file, &mut hasher).unwrap();
    hasher.finalize()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4096];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else { return BTreeMap::new() };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}
