//! Stacking layers into one root file system, in memory.
//!
//! For each layer, lowest first: hard links to lower layers are looked up in the tree as it is, then everything
//! the layer deletes goes, then everything it sets comes. So a whiteout never hides what its own layer brings,
//! and a hard link may keep what its own layer deletes under the old name (image-spec, layer.md).
//!
//! A path whose parent is a symbolic link (`lib/x` with `lib -> usr/lib` from a layer below) is followed inside
//! the image's root; an entry that replaces a link never goes through it. Where the order of a layer's entries
//! would decide what comes of it (`lib/x` and `usr/lib/x` in one layer, or a link on the way that the layer
//! itself replaces) the layer is refused: tools that unpack entry by entry would disagree.

mod root;

use std::collections::{BTreeMap, BTreeSet};

use self::root::{Inode, Item, Root, replaced_on_the_way};
use super::{Error, Result};
use crate::names::ImagePath;
use crate::repo::{Change, LayerTree, Node, Tree};

/// Merges layers, lowest first; one is in memory at a time.
pub fn merge(layers: impl IntoIterator<Item = Result<LayerTree>>) -> Result<Tree> {
    let mut root = Root::default();
    for (index, layer) in layers.into_iter().enumerate() {
        apply(&mut root, &layer?).map_err(|(path, reason)| Error::Conflict {
            layer: index + 1,
            path,
            reason,
        })?;
    }
    Ok(Tree::new(root.into_entries())
        .expect("a nested tree lists its directories before what is in them, in order"))
}

/// What is wrong with an entry, and which.
type Conflict = (ImagePath, String);

fn apply(root: &mut Root, layer: &LayerTree) -> Result<(), Conflict> {
    let links = take_links(root, layer)?;
    delete(root, layer)?;
    let mut links = links.into_iter();
    let mut landings = Landings::new(root, layer);
    for (path, change) in &layer.changes {
        let inode = match change {
            Change::Whiteout => continue,
            Change::Set { meta, mtime, node } => {
                Inode { meta: meta.clone(), mtime: *mtime, node: node.clone() }
            }
            Change::Hardlink { .. } => {
                links.next().expect("one was taken for each hard link, in the same order")
            }
        };
        set(root, &mut landings, path, inode).map_err(|reason| (path.clone(), reason))?;
    }
    Ok(())
}

/// The change of a layer at exactly this path.
fn change_at<'l>(layer: &'l LayerTree, path: &ImagePath) -> Option<&'l Change> {
    let index = layer.changes.binary_search_by(|(p, _)| p.cmp(path)).ok()?;
    Some(&layer.changes[index].1)
}

/// The inodes that the layer's hard links name, from the layers below.
fn take_links(root: &Root, layer: &LayerTree) -> Result<Vec<Inode>, Conflict> {
    let mut inodes = Vec::new();
    for (path, change) in &layer.changes {
        let Change::Hardlink { target } = change else { continue };
        let conflict = |reason: &str| (path.clone(), format!("it is a hard link to `{target}`, {reason}"));
        let parent = target.parent().unwrap_or_default();
        let real = root.real_path(&parent).map_err(|reason| conflict(&format!("where {reason}")))?;
        if !real.links.is_empty() {
            let place = real.path.join(target.file_name()).map_err(|e| conflict(e.reason))?;
            if matches!(change_at(layer, &place), Some(Change::Set { .. } | Change::Hardlink { .. })) {
                return Err(conflict(
                    "which leads to another file of the same layer through a symbolic link",
                ));
            }
        }
        match root.directory(&real.path).and_then(|d| d.get(target.file_name())) {
            Some(Item::Other(inode)) => inodes.push(inode.clone()),
            Some(Item::Directory(_)) => return Err(conflict("which is a directory")),
            None => return Err(conflict("which does not exist")),
        }
    }
    Ok(inodes)
}

/// Removes what a layer deletes. All of it is looked up first, because it speaks of the layers below.
fn delete(root: &mut Root, layer: &LayerTree) -> Result<(), Conflict> {
    let mut emptied = Vec::new();
    for directory in &layer.opaque {
        emptied.extend(lower_directory(root, layer, directory)?);
    }
    let mut removed = Vec::new();
    for (path, change) in &layer.changes {
        if matches!(change, Change::Whiteout)
            && let Some(parent) = path.parent()
            && let Some(parent) = lower_directory(root, layer, &parent)?
        {
            removed.push((parent, path.file_name()));
        }
    }
    emptied.iter().for_each(|directory| root.clear(directory));
    removed.iter().for_each(|(parent, name)| root.remove(parent, name));
    Ok(())
}

/// Where the directory is in which a layer deletes something; `None` when the layer itself replaces a link that
/// led there, so that what the link led to is not meant.
fn lower_directory(root: &Root, layer: &LayerTree, path: &ImagePath) -> Result<Option<ImagePath>, Conflict> {
    let conflict = |reason| (path.clone(), reason);
    let Some(first) = root.first_link(path) else { return Ok(Some(path.clone())) };
    let mut prefix = first;
    let mut rest = prefix.strip_from(path).split(|b| *b == b'/').filter(|name| !name.is_empty());
    loop {
        // Before following it: a directory may stand in for a link that leads nowhere.
        if change_at(layer, &prefix).is_some() {
            let parent = prefix.parent().unwrap_or_default();
            let parent = root.real_path(&parent).map_err(conflict)?.path;
            let place = parent.join(prefix.file_name()).map_err(|e| conflict(e.reason.into()))?;
            if matches!(root.node(&place), Some(Node::Symlink { .. })) {
                return Ok(None);
            }
        }
        let Some(name) = rest.next() else { break };
        prefix = prefix.join(name).expect("the front of a path is a path");
    }
    Ok(Some(root.real_path(path).map_err(conflict)?.path))
}

/// Where the entries of one layer came to that are reached through symbolic links.
struct Landings<'l> {
    layer: &'l LayerTree,
    /// Links that the layer sets as they were.
    kept_links: BTreeSet<&'l ImagePath>,
    /// Where there was a link before this layer set something else.
    replaced_links: BTreeSet<ImagePath>,
    /// Links on the way to the places.
    followed: BTreeSet<ImagePath>,
    /// The places, each with the path that led to it.
    places: BTreeMap<ImagePath, ImagePath>,
}

impl<'l> Landings<'l> {
    /// `root` must be as the layers below left it, or with only deletions done.
    fn new(root: &Root, layer: &'l LayerTree) -> Self {
        let kept = |(path, change): &'l (ImagePath, Change)| match change {
            Change::Set { node: node @ Node::Symlink { .. }, .. } if root.node(path) == Some(node) => {
                Some(path)
            }
            _ => None,
        };
        let kept_links = layer.changes.iter().filter_map(kept).collect();
        Self {
            layer,
            kept_links,
            replaced_links: BTreeSet::new(),
            followed: BTreeSet::new(),
            places: BTreeMap::new(),
        }
    }

    /// Takes note of an entry that comes to `place` under another path, and of the links it came through.
    fn land(&mut self, path: &ImagePath, place: &ImagePath, links: &[ImagePath]) -> Result<(), String> {
        let sets = |path: &ImagePath| change_at(self.layer, path).filter(|c| !matches!(c, Change::Whiteout));
        for link in links {
            // A link that this layer sets above the path came before it, or the path would be gone.
            let own = self.places.get(link).unwrap_or(link);
            if !path.is_below(own) && sets(own).is_some() && !self.kept_links.contains(link) {
                return Err(replaced_on_the_way(link));
            }
        }
        let this = sets(path);
        let directory =
            |change: Option<&Change>| matches!(change, Some(Change::Set { node: Node::Directory, .. }));
        let previous = self.places.get(place).unwrap_or(place);
        if let Some(other) = sets(previous)
            && this != Some(other)
            && !(directory(this) && directory(Some(other)))
        {
            return Err(format!("it leads to `{place}`, where `{previous}` of the same layer is too"));
        }
        if !directory(this) {
            self.check_below(place)?;
        }
        self.places.insert(place.clone(), path.clone());
        self.followed.extend(links.iter().cloned());
        Ok(())
    }

    /// Refuses what comes to `place` under another name and takes the place of something that the layer has
    /// entries below.
    fn check_below(&self, place: &ImagePath) -> Result<(), String> {
        let after = self.layer.changes.partition_point(|(p, _)| p <= place);
        match self.layer.changes.get(after) {
            Some((below, _)) if below.is_below(place) => {
                Err(format!("it leads to `{place}`, the directory of `{below}` of the same layer"))
            }
            _ => Ok(()),
        }
    }

    /// Takes note that a link was replaced.
    fn replace_link(&mut self, path: &ImagePath, place: &ImagePath) -> Result<(), String> {
        if self.followed.contains(place) {
            return Err("it replaces a symbolic link that led other entries of the same layer".into());
        }
        if path != place {
            self.check_below(place)?;
        }
        self.replaced_links.insert(place.clone());
        Ok(())
    }

    /// Refuses to replace a directory into which this layer put something under another name.
    fn check_replaced(&self, place: &ImagePath) -> Result<(), String> {
        match self.places.range(place..).find(|(p, _)| *p != place) {
            Some((below, path)) if below.is_below(place) => {
                Err(format!("it replaces the directory of `{path}` of the same layer"))
            }
            _ => Ok(()),
        }
    }
}

fn set(root: &mut Root, landings: &mut Landings<'_>, path: &ImagePath, inode: Inode) -> Result<(), String> {
    let Some(parent) = path.parent() else {
        root.describe(inode);
        return Ok(());
    };
    let real = root.real_path_avoiding(&parent, &landings.replaced_links)?;
    let joined;
    let place = if real.links.is_empty() {
        path
    } else {
        joined = real
            .path
            .join(path.file_name())
            .map_err(|e| format!("where symbolic links lead it, its path is {}", e.reason))?;
        landings.land(path, &joined, &real.links)?;
        &joined
    };
    if !inode.node.is_directory() {
        landings.check_replaced(place)?;
    }
    let node = inode.node.clone();
    if let Some(Item::Other(Inode { node: old @ Node::Symlink { .. }, .. })) = root.set(place, inode)?
        && old != node
    {
        landings.replace_link(path, place)?;
    }
    Ok(())
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
