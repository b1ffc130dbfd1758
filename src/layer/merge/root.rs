//! A root file system in memory, as nested directories: what merging works on.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::layer::limits::TREE_ENTRIES;
use crate::names::ImagePath;
use crate::repo::{Meta, Mtime, Node, TreeEntry};

/// Symbolic links followed on the way to one path (the kernel's limit).
const MAX_LINKS: usize = 40;
/// Components of link targets followed in one merge, far beyond need. Bounds the time: 40 links of 4 KiB each on
/// the way to every entry would take hours.
const MAX_FOLLOWED: u64 = 20_000_000;

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub meta: Meta,
    pub mtime: Mtime,
    pub node: Node,
}

#[derive(Debug)]
pub(super) enum Item {
    Directory(Directory),
    /// Never a directory.
    Other(Inode),
}

impl Item {
    /// How many entries it is, with all that is below.
    fn entries(&self) -> u64 {
        match self {
            Self::Directory(directory) => 1 + directory.below(),
            Self::Other(_) => 1,
        }
    }
}

/// Images nest directories as deep as a path may be long, and threads have small stacks: nothing here recurses.
#[derive(Debug)]
pub(super) struct Directory {
    meta: Meta,
    mtime: Mtime,
    children: BTreeMap<Box<[u8]>, Item>,
}

impl Directory {
    /// A directory that is needed but that no layer describes.
    fn missing() -> Self {
        Self {
            meta: Meta { mode: 0o755, ..Meta::default() },
            mtime: Mtime::default(),
            children: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Item> {
        self.children.get(name)
    }

    /// How many entries are below it.
    fn below(&self) -> u64 {
        let mut count = 0;
        let mut open = vec![self];
        while let Some(directory) = open.pop() {
            count += directory.children.len() as u64;
            open.extend(directory.children.values().filter_map(|item| match item {
                Item::Directory(next) => Some(next),
                Item::Other(_) => None,
            }));
        }
        count
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let mut open = vec![mem::take(&mut self.children)];
        while let Some(children) = open.pop() {
            for item in children.into_values() {
                if let Item::Directory(mut directory) = item
                    && !directory.children.is_empty()
                {
                    open.push(mem::take(&mut directory.children));
                }
            }
        }
    }
}

/// A path with every symbolic link on it resolved, the last component included.
#[derive(Debug)]
pub(super) struct RealPath {
    pub path: ImagePath,
    /// Where the links are that were followed.
    pub links: Vec<ImagePath>,
}

#[derive(Debug)]
pub(super) struct Root {
    top: Directory,
    /// Counted as they come and go.
    entries: u64,
    followed: Cell<u64>,
}

impl Default for Root {
    fn default() -> Self {
        Self { top: Directory::missing(), entries: 1, followed: Cell::new(0) }
    }
}

impl Root {
    /// Sorted, the root first.
    pub(super) fn into_entries(mut self) -> Vec<TreeEntry> {
        let mut entries = Vec::with_capacity(self.entries as usize);
        let mut open = Vec::new();
        let enter = |entries: &mut Vec<_>, open: &mut Vec<_>, path: ImagePath, directory: &mut Directory| {
            let meta = mem::take(&mut directory.meta);
            let entry = TreeEntry { path: path.clone(), meta, mtime: directory.mtime, node: Node::Directory };
            entries.push(entry);
            open.push((path, mem::take(&mut directory.children).into_iter()));
        };
        enter(&mut entries, &mut open, ImagePath::root(), &mut self.top);
        while let Some((parent, children)) = open.last_mut() {
            let Some((name, item)) = children.next() else {
                open.pop();
                continue;
            };
            let path = parent.join(&name).expect("names and lengths were checked when they came in");
            match item {
                Item::Directory(mut directory) => enter(&mut entries, &mut open, path, &mut directory),
                Item::Other(Inode { meta, mtime, node }) => {
                    entries.push(TreeEntry { path, meta, mtime, node });
                }
            }
        }
        entries
    }

    /// The directory at a path, without following links.
    pub(super) fn directory(&self, path: &ImagePath) -> Option<&Directory> {
        path.components().try_fold(&self.top, |directory, name| match directory.get(name)? {
            Item::Directory(next) => Some(next),
            Item::Other(_) => None,
        })
    }

    /// What is at a path that is not a directory, without following links.
    pub(super) fn node(&self, path: &ImagePath) -> Option<&Node> {
        match self.directory(&path.parent()?)?.get(path.file_name())? {
            Item::Directory(_) => None,
            Item::Other(inode) => Some(&inode.node),
        }
    }

    fn directory_mut(&mut self, path: &ImagePath) -> Option<&mut Directory> {
        path.components().try_fold(&mut self.top, |directory, name| {
            match directory.children.get_mut(name)? {
                Item::Directory(next) => Some(next),
                Item::Other(_) => None,
            }
        })
    }

    /// Gives the root directory its metadata.
    pub(super) fn describe(&mut self, inode: Inode) {
        (self.top.meta, self.top.mtime) = (inode.meta, inode.mtime);
    }

    /// Empties a directory, if there is one.
    pub(super) fn clear(&mut self, path: &ImagePath) {
        if let Some(directory) = self.directory_mut(path) {
            let gone = directory.below();
            directory.children.clear();
            self.entries -= gone;
        }
    }

    /// Removes what is at `name` in a directory, if it is there.
    pub(super) fn remove(&mut self, parent: &ImagePath, name: &[u8]) {
        if let Some(directory) = self.directory_mut(parent)
            && let Some(gone) = directory.children.remove(name)
        {
            self.entries -= gone.entries();
        }
    }

    /// Puts an inode at a path that is not the root, with the parents that are missing. A directory keeps what
    /// is in it; everything else is replaced, and what was there is given back. No link is followed.
    pub(super) fn set(&mut self, path: &ImagePath, inode: Inode) -> Result<Option<Item>, String> {
        let name = path.file_name();
        let (parent, mut added) = self.make_parent(path)?;
        let Inode { meta, mtime, node } = inode;
        let mut replaced = None;
        match parent.children.get_mut(name) {
            Some(Item::Directory(old)) if node.is_directory() => (old.meta, old.mtime) = (meta, mtime),
            old => {
                let new = if node.is_directory() {
                    Item::Directory(Directory { meta, mtime, children: BTreeMap::new() })
                } else {
                    Item::Other(Inode { meta, mtime, node })
                };
                added += 1;
                match old {
                    Some(old) => replaced = Some(mem::replace(old, new)),
                    None => drop(parent.children.insert(name.into(), new)),
                }
            }
        }
        self.entries = self.entries + added - replaced.as_ref().map_or(0, Item::entries);
        if self.entries > TREE_ENTRIES {
            return Err(format!("the root file system has more than {TREE_ENTRIES} entries with it"));
        }
        Ok(replaced)
    }

    /// The directory that holds a path, and how many had to be made for it.
    fn make_parent(&mut self, path: &ImagePath) -> Result<(&mut Directory, u64), String> {
        let mut made = 0;
        let mut directory = &mut self.top;
        let mut length = 0;
        let above = path.as_bytes().len() - path.file_name().len();
        for name in path.as_bytes()[..above].split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            length += name.len() + 1;
            if !directory.children.contains_key(name) {
                directory.children.insert(name.into(), Item::Directory(Directory::missing()));
                made += 1;
            }
            directory = match directory.children.get_mut(name) {
                Some(Item::Directory(next)) => next,
                _ => {
                    let above = crate::names::printable(&path.as_bytes()[..length - 1]);
                    return Err(format!("`{above}` above it is not a directory"));
                }
            };
        }
        Ok((directory, made))
    }

    /// Resolves a path inside the root; what does not exist stays as it is. Fails where a link leads out, where
    /// there are too many, and where the result is too long.
    pub(super) fn real_path(&self, path: &ImagePath) -> Result<RealPath, String> {
        self.real_path_avoiding(path, &BTreeSet::new())
    }

    /// Resolves a path, and fails when links lead through one of the directories to avoid.
    pub(super) fn real_path_avoiding(
        &self,
        path: &ImagePath,
        avoid: &BTreeSet<ImagePath>,
    ) -> Result<RealPath, String> {
        if self.first_link(path).is_none() {
            // Nearly always.
            return Ok(RealPath { path: path.clone(), links: Vec::new() });
        }
        let mut links = Vec::new();
        let mut real: Vec<Box<[u8]>> = Vec::new();
        let mut directories = vec![&self.top];
        // Components that are still to come, the next one last.
        let mut rest: Vec<Box<[u8]>> = path.components().map(Box::from).collect();
        rest.reverse();
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
            match here.and_then(|d| d.get(&name)) {
                Some(Item::Directory(next)) => {
                    directories.push(next);
                    real.push(name);
                    if !links.is_empty() && !avoid.is_empty() {
                        let here = joined(&real)?;
                        if avoid.contains(&here) {
                            return Err(replaced_on_the_way(&here));
                        }
                    }
                }
                Some(Item::Other(Inode { node: Node::Symlink { target }, .. })) => {
                    if links.len() == MAX_LINKS {
                        return Err("too many symbolic links above it".into());
                    }
                    real.push(name);
                    links.push(joined(&real)?);
                    real.pop();
                    if target.starts_with(b"/") {
                        real.clear();
                        directories.truncate(1);
                    }
                    rest.extend(target.split(|b| *b == b'/').rev().map(Box::from));
                    self.followed.set(self.followed.get() + rest.len() as u64);
                    if self.followed.get() > MAX_FOLLOWED {
                        return Err("the image has too many paths through symbolic links".into());
                    }
                }
                _ => real.push(name),
            }
        }
        Ok(RealPath { path: joined(&real)?, links })
    }

    /// The first symbolic link on a path or at its end.
    pub(super) fn first_link(&self, path: &ImagePath) -> Option<ImagePath> {
        let mut directory = &self.top;
        let mut length = 0;
        for name in path.components() {
            length += name.len() + usize::from(length > 0);
            match directory.get(name)? {
                Item::Directory(next) => directory = next,
                Item::Other(Inode { node: Node::Symlink { .. }, .. }) => {
                    let link = ImagePath::new(&path.as_bytes()[..length]);
                    return Some(link.expect("the front of a path is a path"));
                }
                Item::Other(_) => return None,
            }
        }
        None
    }
}

/// Why an entry is refused that another entry of its layer may or may not have led elsewhere.
pub(super) fn replaced_on_the_way(link: &ImagePath) -> String {
    format!("the symbolic link `{link}` on the way is replaced by the same layer")
}

fn joined(components: &[Box<[u8]>]) -> Result<ImagePath, String> {
    ImagePath::new(&components.join(&b'/'))
        .map_err(|e| format!("the path that symbolic links make above it is refused: {}", e.reason))
}
