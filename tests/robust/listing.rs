//! What a directory holds, to the byte, so that two moments can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use reroot::digest::Sha256;

/// Everything about one name except times and inode numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(u64, Sha256),
    Link(PathBuf),
    Other,
}

/// Paths below a directory and what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing(BTreeMap<PathBuf, Item>);

impl Listing {
    /// Reads everything below `top`; links are not followed.
    pub fn of(top: &Path) -> Self {
        let mut items = BTreeMap::new();
        let mut todo = vec![top.to_owned()];
        while let Some(path) = todo.pop() {
            let stat = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let content = if stat.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                Content::Other
            } else if stat.is_file() {
                let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                Content::File(stat.len(), Sha256::of(&bytes))
            } else if stat.is_symlink() {
                Content::Link(fs::read_link(&path).unwrap())
            } else {
                Content::Other
            };
            let owner = (stat.uid(), stat.gid());
            let item = Item { mode: stat.mode(), owner, device: stat.rdev(), content };
            items.insert(path.strip_prefix(top).unwrap().to_owned(), item);
        }
        Self(items)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first paths that differ, in words; empty when nothing does.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        paths
            .filter(|path| self.0.get(*path) != other.0.get(*path))
            .map(|path| format!("{}: {:?} -> {:?}", path.display(), self.0.get(path), other.0.get(path)))
            .take(10)
            .collect()
    }
}
