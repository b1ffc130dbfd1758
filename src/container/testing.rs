//! Roots in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};

use super::Root;
use crate::digest::ObjectId;
use crate::names::ImagePath;
use crate::repo::{self, Contents, Meta, Mtime, Node, Tree, TreeEntry, Xattrs};

/// A root in the making. Directories above what is added are there by themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    entries: BTreeMap<ImagePath, TreeEntry>,
    contents: BTreeMap<ImagePath, Vec<u8>>,
}

impl Files {
    fn entry(mut self, path: &[u8], mode: u16, node: Node) -> Self {
        let path = ImagePath::new(path).unwrap();
        let mut above = path.parent();
        while let Some(directory) = above {
            above = directory.parent();
            self.entries.entry(directory.clone()).or_insert_with(|| TreeEntry {
                path: directory,
                meta: Meta { mode: 0o755, ..Meta::default() },
                mtime: Mtime::default(),
                node: Node::Directory,
            });
        }
        let meta = Meta { mode, ..Meta::default() };
        self.entries.insert(path.clone(), TreeEntry { path, meta, mtime: Mtime::default(), node });
        self
    }

    pub fn dir(self, path: &str) -> Self {
        self.entry(path.as_bytes(), 0o755, Node::Directory)
    }

    pub fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let (path, content) = (path.as_ref(), content.as_ref());
        let size = content.len() as u64;
        let node = match size {
            0 => Node::Empty,
            _ => Node::File { object: ObjectId(*blake3::hash(content).as_bytes()), size },
        };
        let mut this = self.entry(path, 0o644, node);
        this.contents.insert(ImagePath::new(path).unwrap(), content.to_vec());
        this
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), 0o777, Node::Symlink { target: target.as_bytes().into() })
    }

    pub fn fifo(self, path: &str) -> Self {
        self.entry(path.as_bytes(), 0o644, Node::Fifo)
    }

    /// Without a path and everything below.
    pub fn without(mut self, path: &str) -> Self {
        let path = ImagePath::new(path.as_bytes()).unwrap();
        self.entries.retain(|entry, _| *entry != path && !entry.is_below(&path));
        self
    }

    /// With everything below a directory somewhere else, and the directory left empty.
    pub fn moved(mut self, from: &str, to: &str) -> Self {
        let from = ImagePath::new(from.as_bytes()).unwrap();
        let below: Vec<_> = self.entries.keys().filter(|path| path.is_below(&from)).cloned().collect();
        for path in below {
            let mut entry = self.entries.remove(&path).unwrap();
            let moved = [to.as_bytes(), b"/", from.strip_from(&path)].concat();
            self = self.dir(to).entry(&moved, entry.meta.mode, Node::Fifo);
            entry.path = ImagePath::new(&moved).unwrap();
            if let Some(content) = self.contents.remove(&path) {
                self.contents.insert(entry.path.clone(), content);
            }
            self.entries.insert(entry.path.clone(), entry);
        }
        self
    }

    pub fn change(mut self, path: &str, change: impl FnOnce(&mut TreeEntry)) -> Self {
        change(self.entries.get_mut(&ImagePath::new(path.as_bytes()).unwrap()).unwrap());
        self
    }

    pub fn mode(self, path: &str, mode: u16) -> Self {
        self.change(path, |entry| entry.meta.mode = mode)
    }

    pub fn xattr(self, path: &str, name: &str) -> Self {
        self.change(path, |entry| {
            entry.meta.xattrs = Xattrs::new(vec![(name.as_bytes().into(), b"1"[..].into())]);
        })
    }

    pub fn mtime(self, path: &str, seconds: i64) -> Self {
        self.change(path, |entry| entry.mtime.seconds = seconds)
    }

    pub fn root(&self) -> Root<'static> {
        let tree = Tree::new(self.entries.values().cloned().collect()).unwrap();
        Root::new(tree, InMemory(self.contents.clone()), Vec::new())
    }
}

struct InMemory(BTreeMap<ImagePath, Vec<u8>>);

impl Contents for InMemory {
    fn open(&self, entry: &TreeEntry) -> repo::Result<File> {
        let fd = rustix::fs::memfd_create("content", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(fd);
        file.write_all(&self.0[&entry.path]).unwrap();
        file.rewind().unwrap();
        Ok(file)
    }
}
