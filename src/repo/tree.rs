//! What an image's root file system is: [`Tree`], and what one layer says about it: [`LayerTree`].
//!
//! Plain data. [`super::tree_codec`] owns the bytes on disk, [`crate::layer`] makes these from tar.

use std::sync::Arc;

use crate::digest::ObjectId;
use crate::fsx::xattr::Pair;
use crate::names::ImagePath;

/// A modification time with the resolution of the file system. Seconds since the epoch, may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mtime {
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// Extended attributes, sorted by name, without duplicates. Cheap to clone: most inodes have none, and the
/// rest share few sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Xattrs(Option<Arc<[Pair]>>);

impl Xattrs {
    /// Sorts by name; of two values of one name the later wins.
    pub fn new(mut pairs: Vec<Pair>) -> Self {
        if pairs.is_empty() {
            return Self(None);
        }
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self(Some(pairs.into()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.0.as_deref().unwrap_or_default().iter().map(|(name, value)| (&**name, &**value))
    }
}

/// The inode metadata that is part of an object's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777, without the file type.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub xattrs: Xattrs,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    Directory,
    /// A regular file without content. It has no object: it is made, not linked, so that it can keep its exact
    /// time and does not use up the link limit.
    Empty,
    /// A regular file with content. `size` in bytes, never 0.
    File {
        object: ObjectId,
        size: u64,
    },
    Symlink {
        target: Box<[u8]>,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

impl Node {
    pub fn is_directory(&self) -> bool {
        matches!(self, Node::Directory)
    }
}

/// One inode at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    pub path: ImagePath,
    pub meta: Meta,
    pub mtime: Mtime,
    pub node: Node,
}

/// The whole root file system of an image. Entries are sorted by path, the root directory is first, and every
/// entry's parent is present and a directory. Two names of one file are two entries with the same object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    entries: Vec<TreeEntry>,
}

/// Why a list of entries is not a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed tree at `{path}`: {reason}")]
pub struct TreeShapeError {
    pub path: ImagePath,
    pub reason: &'static str,
}

impl Tree {
    /// Takes sorted entries and checks the invariants of the type.
    pub fn new(entries: Vec<TreeEntry>) -> Result<Self, TreeShapeError> {
        let error = |path: &ImagePath, reason| Err(TreeShapeError { path: path.clone(), reason });
        match entries.first() {
            Some(first) if first.path.is_root() && first.node.is_directory() => {}
            _ => return error(&ImagePath::root(), "the first entry is not the root directory"),
        }
        // The directories from the root to the entry before, as indices: enough to see every parent.
        let mut open = vec![0];
        for index in 1..entries.len() {
            let path = &entries[index].path;
            if *path <= entries[index - 1].path {
                return error(path, "not sorted, or twice");
            }
            let parent = path.parent().expect("only the root has no parent, and it is first");
            while open.len() > 1 && entries[*open.last().expect("never empty")].path != parent {
                open.pop();
            }
            if entries[*open.last().expect("never empty")].path != parent {
                return error(path, "its parent is missing or not a directory");
            }
            if entries[index].node.is_directory() {
                open.push(index);
            }
        }
        Ok(Self { entries })
    }

    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The entry at a path, without following symbolic links.
    pub fn get(&self, path: &ImagePath) -> Option<&TreeEntry> {
        self.entries.binary_search_by(|e| e.path.cmp(path)).ok().map(|i| &self.entries[i])
    }

    /// What is below a directory, at any depth, in order.
    pub fn below<'a>(&'a self, directory: &'a ImagePath) -> &'a [TreeEntry] {
        let start = self.entries.partition_point(|e| e.path <= *directory);
        let length = self.entries[start..].partition_point(|e| e.path.is_below(directory));
        &self.entries[start..start + length]
    }
}

/// What a layer says about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This inode is here now.
    Set { meta: Meta, mtime: Mtime, node: Node },
    /// This path is another name of `target`, which is in a layer below (one in the same layer was resolved
    /// while reading the layer).
    Hardlink { target: ImagePath },
    /// Nothing from the layers below is left at this path (`.wh.<name>`).
    Whiteout,
}

/// One layer: changes sorted by path, one per path, and the directories that hide everything below them in
/// lower layers (`.wh..wh..opq`), sorted. Keyed in the repo by the layer's diff_id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerTree {
    pub changes: Vec<(ImagePath, Change)>,
    pub opaque: Vec<ImagePath>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &str) -> TreeEntry {
        TreeEntry {
            path: ImagePath::new(path.as_bytes()).unwrap(),
            meta: Meta::default(),
            mtime: Mtime::default(),
            node: Node::Directory,
        }
    }

    #[test]
    fn a_tree_needs_every_parent() {
        assert!(Tree::new(["", "a", "a/b", "a/b/c", "a-b", "b", "b/x"].map(directory).into()).is_ok());
        assert!(Tree::new(["", "a/b"].map(directory).into()).is_err());
        assert!(Tree::new(["", "a", "b", "a/b"].map(directory).into()).is_err());
        assert!(Tree::new(["a"].map(directory).into()).is_err());
        assert!(Tree::new(vec![]).is_err());
    }

    #[test]
    fn below_is_the_subtree_without_its_root() {
        let tree = Tree::new(["", "a", "a/b", "a/b/c", "a-b", "b"].map(directory).into()).unwrap();
        let a = ImagePath::new(b"a").unwrap();
        let below: Vec<_> = tree.below(&a).iter().map(|e| e.path.to_string()).collect();
        assert_eq!(below, ["a/b", "a/b/c"]);
        assert_eq!(tree.below(&ImagePath::root()).len(), 5);
    }
}
