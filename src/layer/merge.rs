//! Stacking layers into one root file system, in memory.
//!
//! For each layer, lowest first: hard links to lower layers are looked up in the tree as it is, then everything
//! the layer deletes goes, then everything it sets comes. So a whiteout never hides what its own layer brings,
//! and a hard link may keep what its own layer deletes under the old name (image-spec, layer.md).
//!
//! A path whose parent is a symbolic link (`lib/x` with `lib -> usr/lib` from a layer below) is followed inside
//! the image's root; an entry that replaces a link never goes through it.

use std::collections::BTreeMap;

use super::{Error, Result};
use crate::names::ImagePath;
use crate::repo::{Change, LayerTree, Meta, Mtime, Node, Tree, TreeEntry};

/// Symbolic links followed on the way to one path (the kernel's limit).
const MAX_LINKS: usize = 40;

/// Merges layers, lowest first; one is in memory at a time.
pub fn merge(layers: impl IntoIterator<Item = Result<LayerTree>>) -> Result<Tree> {
    let mut root = Root::default();
    for (index, layer) in layers.into_iter().enumerate() {
        root.apply(layer?).map_err(|(path, reason)| Error::Conflict { layer: index + 1, path, reason })?;
    }
    let mut entries = Vec::with_capacity(root.directory.count());
    root.directory.write(ImagePath::root(), &mut entries);
    Ok(Tree::new(entries).expect("a nested tree lists its directories before what is in them, in order"))
}

/// What is wrong with an entry, and which.
type Conflict = (ImagePath, String);

#[derive(Debug, Clone)]
struct Inode {
    meta: Meta,
    mtime: Mtime,
    node: Node,
}

#[derive(Debug)]
enum Item {
    Directory(Directory),
    Other(Inode),
}

#[derive(Debug, Default)]
struct Directory {
    meta: Meta,
    mtime: Mtime,
    children: BTreeMap<Box<[u8]>, Item>,
}

#[derive(Debug)]
struct Root {
    directory: Directory,
}

impl Default for Root {
    fn default() -> Self {
        Self { directory: Directory::missing() }
    }
}

impl Directory {
    /// A directory that is needed but that no layer describes.
    fn missing() -> Self {
        Self { meta: Meta { mode: 0o755, ..Meta::default() }, ..Self::default() }
    }

    /// Entries of this directory, itself included.
    fn count(&self) -> usize {
        let below = |item: &Item| match item {
            Item::Directory(directory) => directory.count(),
            Item::Other(_) => 1,
        };
        1 + self.children.values().map(below).sum::<usize>()
    }

    fn write(self, path: ImagePath, out: &mut Vec<TreeEntry>) {
        let Self { meta, mtime, children } = self;
        out.push(TreeEntry { path: path.clone(), meta, mtime, node: Node::Directory });
        for (name, item) in children {
            let path = path.join(&name).expect("names and depths were checked when they came in");
            match item {
                Item::Directory(directory) => directory.write(path, out),
                Item::Other(Inode { meta, mtime, node }) => out.push(TreeEntry { path, meta, mtime, node }),
            }
        }
    }
}

impl Root {
    fn apply(&mut self, layer: LayerTree) -> std::result::Result<(), Conflict> {
        let links = self.take_links(&layer)?;
        for directory in &layer.opaque {
            if let Some(directory) = self.find_directory(directory)? {
                directory.children.clear();
            }
        }
        for (path, _) in layer.changes.iter().filter(|(_, c)| matches!(c, Change::Whiteout)) {
            let parent = path.parent().unwrap_or_default();
            if let Some(directory) = self.find_directory(&parent)? {
                directory.children.remove(path.file_name());
            }
        }
        let mut links = links.into_iter();
        for (path, change) in layer.changes {
            match change {
                Change::Whiteout => {}
                Change::Set { meta, mtime, node } => self.set(&path, Inode { meta, mtime, node })?,
                Change::Hardlink { .. } => {
                    let inode = links.next().expect("one was taken for each hard link, in the same order");
                    self.set(&path, inode)?;
                }
            }
        }
        Ok(())
    }

    /// The inodes that the layer's hard links name, from the layers below.
    fn take_links(&mut self, layer: &LayerTree) -> std::result::Result<Vec<Inode>, Conflict> {
        let mut inodes = Vec::new();
        for (path, change) in &layer.changes {
            let Change::Hardlink { target } = change else { continue };
            let conflict =
                |reason: &str| (path.clone(), format!("it is a hard link to `{target}`, {reason}"));
            let parent = target.parent().unwrap_or_default();
            let directory = self.find_directory(&parent).map_err(|(_, reason)| (path.clone(), reason))?;
            match directory.and_then(|d| d.children.get(target.file_name())) {
                Some(Item::Other(inode)) => inodes.push(inode.clone()),
                Some(Item::Directory(_)) => return Err(conflict("which is a directory")),
                None => return Err(conflict("which does not exist")),
            }
        }
        Ok(inodes)
    }

    fn set(&mut self, path: &ImagePath, inode: Inode) -> std::result::Result<(), Conflict> {
        let Inode { meta, mtime, node } = inode;
        if path.is_root() {
            (self.directory.meta, self.directory.mtime) = (meta, mtime);
            return Ok(());
        }
        let parent = self.make_directory(path)?;
        let name = path.file_name();
        match (parent.children.get_mut(name), node) {
            (Some(Item::Directory(old)), Node::Directory) => (old.meta, old.mtime) = (meta, mtime),
            (_, Node::Directory) => {
                let new = Directory { meta, mtime, children: BTreeMap::new() };
                parent.children.insert(name.into(), Item::Directory(new));
            }
            (_, node) => {
                parent.children.insert(name.into(), Item::Other(Inode { meta, mtime, node }));
            }
        }
        Ok(())
    }

    /// The directory that holds `path`, made with its parents where it is missing.
    fn make_directory(&mut self, path: &ImagePath) -> std::result::Result<&mut Directory, Conflict> {
        let parent = path.parent().unwrap_or_default();
        let conflict = |reason: String| (path.clone(), reason);
        // Nearly always there is no link on the way.
        let real = self.real_path(&parent).map_err(conflict)?;
        let mut directory = &mut self.directory;
        for (depth, name) in real.iter().enumerate() {
            let item = directory
                .children
                .entry(name.clone())
                .or_insert_with(|| Item::Directory(Directory::missing()));
            match item {
                Item::Directory(next) => directory = next,
                Item::Other(_) => {
                    let above = crate::names::printable(&real[..=depth].join(&b'/'));
                    return Err(conflict(format!("`{above}` above it is not a directory")));
                }
            }
        }
        let length = real.iter().map(|c| c.len() + 1).sum::<usize>() + path.file_name().len();
        if length > crate::names::MAX_PATH_LEN {
            return Err(conflict("its path is too long behind symbolic links".into()));
        }
        Ok(directory)
    }

    /// A directory of the layers below, `None` when there is none.
    fn find_directory(&mut self, path: &ImagePath) -> std::result::Result<Option<&mut Directory>, Conflict> {
        let real = self.real_path(path).map_err(|reason| (path.clone(), reason))?;
        let mut directory = &mut self.directory;
        for name in real {
            match directory.children.get_mut(&name) {
                Some(Item::Directory(next)) => directory = next,
                _ => return Ok(None),
            }
        }
        Ok(Some(directory))
    }

    /// The components of a path with every symbolic link on it resolved inside the root, the last one included.
    /// What does not exist stays as it is.
    fn real_path(&self, path: &ImagePath) -> std::result::Result<Vec<Box<[u8]>>, String> {
        let mut real: Vec<Box<[u8]>> = Vec::new();
        let mut directories = vec![&self.directory];
        // Components that are still to come, the next one last.
        let mut rest: Vec<Box<[u8]>> = path.components().map(Box::from).collect();
        rest.reverse();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    if real.pop().is_none() {
                        return Err("a symbolic link above it leads out of the image".into());
                    }
                    directories.truncate(real.len() + 1);
                    continue;
                }
                _ => {}
            }
            // Below something missing there is nothing to look up.
            let here = (directories.len() == real.len() + 1).then(|| directories[real.len()]);
            match here.and_then(|d| d.children.get(&name)) {
                Some(Item::Directory(next)) => {
                    directories.push(next);
                    real.push(name);
                }
                Some(Item::Other(Inode { node: Node::Symlink { target }, .. })) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err("too many symbolic links above it".into());
                    }
                    if target.starts_with(b"/") {
                        real.clear();
                        directories.truncate(1);
                    }
                    rest.extend(target.split(|b| *b == b'/').rev().map(Box::from));
                }
                _ => real.push(name),
            }
        }
        Ok(real)
    }
}

#[cfg(test)]
mod tests;
