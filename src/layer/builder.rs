//! Putting the entries of one layer together, in the order they come.
//!
//! Later entries win. A directory keeps what is below it when it comes again; anything else that comes to a path
//! takes away what this layer had below it, and after it nothing can come below, except below a symbolic link:
//! where that leads is known only when the layers are merged. Whiteouts speak of lower layers only, whatever
//! their place in the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Error, Result};
use crate::names::ImagePath;
use crate::repo::{Change, LayerTree, Node};

/// At every moment nothing is below a change that is neither a directory, a symbolic link nor a whiteout.
#[derive(Debug, Default)]
pub(super) struct Builder {
    changes: BTreeMap<ImagePath, Change>,
    opaque: BTreeSet<ImagePath>,
}

fn is_directory(change: &Change) -> bool {
    matches!(change, Change::Set { node: Node::Directory, .. })
}

fn is_symlink(change: &Change) -> bool {
    matches!(change, Change::Set { node: Node::Symlink { .. }, .. })
}

impl Builder {
    pub(super) fn set(&mut self, path: ImagePath, change: Change) -> Result<()> {
        self.check_place(&path)?;
        if path.is_root() && !is_directory(&change) {
            return Err(Error::refused(b".", "the root of the image is not a directory"));
        }
        // Most layers are sorted: then there is nothing to replace.
        if !self.is_last(&path) {
            self.replace(&path, &change)?;
        }
        self.changes.insert(path, change);
        Ok(())
    }

    /// Makes room for a change.
    fn replace(&mut self, path: &ImagePath, change: &Change) -> Result<()> {
        let old = self.changes.get(path);
        if old.is_some_and(is_symlink) && self.first_below(path).is_some() {
            // They went where the link led, and what is there now would have them too.
            return Err(Error::refused(
                path.as_bytes(),
                "it replaces a symbolic link below which the same layer has entries",
            ));
        }
        if !is_directory(change) {
            self.remove_below(path);
        } else if old.is_some_and(|change| !is_directory(change)) {
            // Deleted from below or replaced, and made anew: nothing of the lower directory shows.
            self.opaque.insert(path.clone());
        }
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
            Some(Change::Set { .. } | Change::Hardlink { .. }) if target == path => return Ok(()),
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

    pub(super) fn finish(self) -> Result<LayerTree> {
        let whiteouts = self.changes.iter().filter(|(_, c)| matches!(c, Change::Whiteout)).map(|(p, _)| p);
        self.refuse_below_links(whiteouts)?;
        self.refuse_below_links(self.opaque.iter())?;
        Ok(LayerTree {
            changes: self.changes.into_iter().collect(),
            opaque: self.opaque.into_iter().collect(),
        })
    }

    /// Refuses an entry below something of this layer that cannot hold entries.
    fn check_place(&self, path: &ImagePath) -> Result<()> {
        let before = if self.is_last(path) {
            self.changes.last_key_value()
        } else {
            self.changes.range::<ImagePath, _>(..path).next_back()
        };
        // Nothing is below such a change, so that it would be directly before what came below it.
        match before {
            Some((above, change))
                if path.is_below(above)
                    && !is_directory(change)
                    && !is_symlink(change)
                    && !matches!(change, Change::Whiteout) =>
            {
                Err(Error::refused(path.as_bytes(), format!("`{above}` above it is not a directory")))
            }
            _ => Ok(()),
        }
    }

    /// Whether everything in the layer so far sorts before this path, opaque directories too.
    fn is_last(&self, path: &ImagePath) -> bool {
        self.changes.last_key_value().is_none_or(|(last, _)| last < path)
            && self.opaque.last().is_none_or(|last| last < path)
    }

    fn first_below(&self, path: &ImagePath) -> Option<&ImagePath> {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let (next, _) = self.changes.range::<ImagePath, _>(after).next()?;
        Some(next).filter(|next| next.is_below(path))
    }

    fn remove_below(&mut self, path: &ImagePath) {
        while let Some(below) = self.first_below(path).cloned() {
            self.changes.remove(&below);
        }
        while let Some(below) = self.opaque.range::<ImagePath, _>(path..).next()
            && (below == path || below.is_below(path))
        {
            let below = below.clone();
            self.opaque.remove(&below);
        }
    }

    /// Refuses deletions below a symbolic link of the same layer: some tools follow the link, for others the
    /// name is gone already. `marks` must be sorted.
    fn refuse_below_links<'a>(&'a self, marks: impl Iterator<Item = &'a ImagePath>) -> Result<()> {
        let mut links = self.changes.iter().filter(|(_, c)| is_symlink(c)).map(|(p, _)| p).peekable();
        let mut above: Vec<&ImagePath> = Vec::new();
        for mark in marks {
            while let Some(link) = links.next_if(|link| *link < mark) {
                above.push(link);
            }
            // In this order what is not above this mark is above no later one.
            while above.pop_if(|link| !mark.is_below(link)).is_some() {}
            if let Some(link) = above.last() {
                return Err(Error::refused(
                    mark.as_bytes(),
                    format!("it is deleted, but below the symbolic link `{link}` of the same layer"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
