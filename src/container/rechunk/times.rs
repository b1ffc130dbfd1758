//! The times of the image before, for what has not changed since.
//!
//! A build makes much anew that is the same as before (byte code, caches, links of units, databases of packages): its time is the one
//! thing that is new about it, and enough to change a layer.

use std::collections::HashSet;

use crate::container::{Image, Opened, Root};
use crate::names::ImagePath;
use crate::ops::diff::{Objects, compare_paths};
use crate::ops::files::View;
use crate::ops::{Change, Error, Result, Times};
use crate::repo::{Tree, TreeEntry};

/// The same root with the times of `previous` where nothing else is different, and how many these are.
pub(super) fn kept<'o>(opened: &'o Opened<'_>, previous: &Image<'_>) -> Result<(Opened<'o>, usize)> {
    let repo = previous.store.repo();
    let before = repo.read_tree(&previous.record.tree)?;
    let objects = match &opened.image {
        Some(image) if std::ptr::eq(image.store, previous.store) => Objects::OfOneStore,
        _ => Objects::OfTwoPlaces,
    };
    let old = View { tree: &before, contents: repo };
    let changed = compare_paths(old, opened.root.view(), objects, Times::Compare)?.changed;
    let is_new = |change: &Change| matches!(change, Change::Mtime { .. });
    let only_new: HashSet<ImagePath> =
        changed.into_iter().filter(|path| path.changes.iter().all(is_new)).map(|path| path.path.0).collect();
    let entry = |entry: &TreeEntry| match before.get(&entry.path) {
        Some(old) if only_new.contains(&entry.path) => TreeEntry { mtime: old.mtime, ..entry.clone() },
        _ => entry.clone(),
    };
    let tree = Tree::new(opened.root.tree.entries().iter().map(entry).collect());
    let tree = tree.map_err(|error| Error::bug(error.to_string()))?;
    let root = Root::new(tree, opened.root.contents(), opened.root.unread.clone());
    Ok((Opened { root, image: opened.image.clone(), name: opened.name.clone() }, only_new.len()))
}
