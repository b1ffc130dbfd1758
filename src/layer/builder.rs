//! Putting the entries of one layer together, in the order they come.
//!
//! Later entries win. A directory keeps what is below it when it comes again; anything else that comes to a path
//! takes away what this layer had below it. Whiteouts speak of lower layers only, whatever their place in the
//! archive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Error, Result};
use crate::names::ImagePath;
use crate::repo::{Change, LayerTree, Node};

#[derive(Debug, Default)]
pub(super) struct Builder {
    changes: BTreeMap<ImagePath, Change>,
    opaque: BTreeSet<ImagePath>,
    /// A directory below which entries are known to be allowed: the one of the entry before.
    checked: Option<ImagePath>,
}

fn is_directory(change: &Change) -> bool {
    matches!(change, Change::Set { node: Node::Directory, .. })
}

impl Builder {
    pub(super) fn set(&mut self, path: ImagePath, change: Change) -> Result<()> {
        self.check_place(&path)?;
        if is_directory(&change) {
            if matches!(self.changes.get(&path), Some(Change::Whiteout)) {
                // Deleted from below and made anew: nothing of the lower directory shows.
                self.opaque.insert(path.clone());
            }
        } else {
            if path.is_root() {
                return Err(Error::refused(b".", "the root of the image is not a directory"));
            }
            self.remove_below(&path);
        }
        self.changes.insert(path, change);
        Ok(())
    }

    /// A hard link takes over what its target is at this point of the archive.
    pub(super) fn hardlink(&mut self, path: ImagePath, target: ImagePath) -> Result<()> {
        let change = match self.changes.get(&target) {
            Some(change) if is_directory(change) => {
                return Err(Error::refused(
                    path.as_bytes(),
                    format!("it is a hard link to the directory `{target}`"),
                ));
            }
            // To itself: nothing changes.
            Some(_) if target == path => return Ok(()),
            Some(change @ (Change::Set { .. } | Change::Hardlink { .. })) => change.clone(),
            Some(Change::Whiteout) | None => Change::Hardlink { target },
        };
        self.set(path, change)
    }

    pub(super) fn whiteout(&mut self, path: ImagePath) -> Result<()> {
        self.check_place(&path)?;
        match self.changes.get(&path) {
            None | Some(Change::Whiteout) => drop(self.changes.insert(path, Change::Whiteout)),
            Some(change) if is_directory(change) => drop(self.opaque.insert(path)),
            // What this layer has here replaces the lower one anyway.
            Some(_) => {}
        }
        Ok(())
    }

    pub(super) fn opaque(&mut self, directory: ImagePath) -> Result<()> {
        if let Some(change) = self.changes.get(&directory)
            && !is_directory(change)
            && !matches!(change, Change::Whiteout)
        {
            return Err(Error::refused(directory.as_bytes(), "it is marked opaque but is not a directory"));
        }
        self.check_place(&directory)?;
        self.opaque.insert(directory);
        Ok(())
    }

    pub(super) fn finish(self) -> LayerTree {
        LayerTree { changes: self.changes.into_iter().collect(), opaque: self.opaque.into_iter().collect() }
    }

    /// Refuses an entry below something of this layer that cannot hold entries. Below a symbolic link it may
    /// be: where that leads is known only when the layers are merged.
    fn check_place(&mut self, path: &ImagePath) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.checked.as_ref() == Some(&parent) {
            return Ok(());
        }
        let mut ancestor = Some(parent.clone());
        while let Some(directory) = ancestor {
            match self.changes.get(&directory) {
                None | Some(Change::Whiteout) => {}
                Some(Change::Set { node: Node::Directory | Node::Symlink { .. }, .. }) => {}
                Some(_) => {
                    return Err(Error::refused(
                        path.as_bytes(),
                        format!("`{directory}` above it is not a directory"),
                    ));
                }
            }
            ancestor = directory.parent();
        }
        self.checked = Some(parent);
        Ok(())
    }

    fn remove_below(&mut self, path: &ImagePath) {
        // What was allowed below another kind of entry may not be any more.
        self.checked = None;
        let below = |range: Option<&ImagePath>| range.filter(|p| p.is_below(path)).cloned();
        let after = (Bound::Excluded(path.clone()), Bound::Unbounded);
        while let Some(gone) = below(self.changes.range(after.clone()).next().map(|(p, _)| p)) {
            self.changes.remove(&gone);
        }
        while let Some(gone) = below(self.opaque.range(path.clone()..).find(|p| *p != path)) {
            self.opaque.remove(&gone);
        }
        self.opaque.remove(path);
    }
}
