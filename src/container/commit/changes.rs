//! What differs between an image and what became of it, as the entries of a layer.

use std::collections::BTreeMap;

use crate::container::Root;
use crate::layer::WHITEOUT;
use crate::names::ImagePath;
use crate::ops::diff::{Objects, compare_paths};
use crate::ops::{DiffPath, Error, Result, Times};
use crate::pattern::Pattern;
use crate::repo::{Meta, Mtime, Node, TreeEntry};

/// What makes a machine that one (machine-id(5), hostname(5), sshd(8), hwclock(8)), says what was done there (systemd-update-done(8)), or
/// lets it in somewhere: keys, and passwords for registries and networks.
const OF_THE_MACHINE: [&str; 12] = [
    "etc/machine-id",
    "etc/hostname",
    "etc/ssh/ssh_host_*",
    "etc/reroot/auth.json",
    "etc/ostree/auth.json",
    "etc/containers/auth.json",
    "etc/NetworkManager/system-connections/**",
    "etc/wpa_supplicant/*",
    "etc/wireguard/*",
    "etc/adjtime",
    "etc/.updated",
    "etc/.pwd.lock",
];
/// A layer to be.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// With the directories above, and whiteouts. In order.
    pub entries: Vec<TreeEntry>,
    pub written: Vec<DiffPath>,
    pub deleted: Vec<DiffPath>,
    pub left_out: Vec<DiffPath>,
}

/// Compares. Without privileges nobody can make files of others, setuid programs or most extended attributes: there these are as the
/// image has them, and root's where it has nothing. A file whose time alone is another has not changed.
pub(super) fn between(old: &Root<'_>, new: &Root<'_>, privileged: bool) -> Result<Changes> {
    let believed: Vec<_> = new
        .tree
        .entries()
        .iter()
        .map(|entry| match privileged {
            true => entry.clone(),
            false => TreeEntry { meta: believed(entry, old.tree.get(&entry.path)), ..entry.clone() },
        })
        .collect();
    let tree = crate::repo::Tree::new(believed).map_err(|error| Error::bug(error.to_string()))?;
    let view = crate::ops::files::View { tree: &tree, contents: new.contents() };
    let paths = compare_paths(old.view(), view, Objects::OfTwoPlaces, Times::Ignore)?;

    // What is mounted there hides what the image has.
    let is_hidden = |path: &ImagePath| new.mounted.iter().any(|mount| path == mount || path.is_below(mount));
    let is_left_out = |path: &ImagePath| is_hidden(path) || is_of_the_machine(path);
    let (mut changes, mut entries) = (Changes::default(), BTreeMap::new());
    let written = paths.added.into_iter().chain(paths.changed.into_iter().map(|change| change.path));
    for path in written {
        let Some(entry) = tree.get(&path.0).filter(|_| !path.0.is_root()) else { continue };
        if is_left_out(&path.0) {
            changes.left_out.push(path);
            continue;
        }
        entries.insert(path.0.clone(), entry.clone());
        changes.written.push(path);
    }
    for path in paths.removed {
        let parent = path.0.parent().unwrap_or_default();
        // What is in a directory that is gone, or is no directory any more, goes with it.
        if tree.get(&parent).is_none_or(|parent| !parent.node.is_directory()) {
            continue;
        }
        if is_left_out(&path.0) {
            changes.left_out.push(path);
            continue;
        }
        let name = [WHITEOUT, path.0.file_name()].concat();
        let whiteout =
            parent.join(&name).map_err(|error| Error::invalid(format!("deleting {path}: {error}")))?;
        let entry = TreeEntry {
            path: whiteout.clone(),
            meta: Meta::default(),
            mtime: Mtime::default(),
            node: Node::Empty,
        };
        entries.insert(whiteout, entry);
        changes.deleted.push(path);
    }
    // The directories above, so that nobody has to invent them.
    let mut above: Vec<ImagePath> = Vec::new();
    for path in entries.keys() {
        let mut parent = path.parent();
        while let Some(path) = parent.filter(|path| !path.is_root()) {
            parent = path.parent();
            above.push(path);
        }
    }
    for path in above {
        let Some(entry) = tree.get(&path) else { continue };
        // Its time is another since something in it is; that is no change.
        let mtime = old.tree.get(&path).map_or(entry.mtime, |before| before.mtime);
        entries.entry(path).or_insert_with(|| TreeEntry { mtime, ..entry.clone() });
    }
    for list in [&mut changes.written, &mut changes.deleted, &mut changes.left_out] {
        list.sort();
    }
    changes.entries = entries.into_values().collect();
    Ok(changes)
}

fn believed(entry: &TreeEntry, before: Option<&TreeEntry>) -> Meta {
    const PERMISSIONS: u16 = 0o777;
    match before {
        Some(before) if before.meta.mode & PERMISSIONS == entry.meta.mode & PERMISSIONS => {
            before.meta.clone()
        }
        Some(before) => Meta { mode: entry.meta.mode, ..before.meta.clone() },
        None => Meta { uid: 0, gid: 0, ..entry.meta.clone() },
    }
}

/// Also where an image has its defaults in `/usr/etc`.
fn is_of_the_machine(path: &ImagePath) -> bool {
    let path = path.as_bytes();
    let Ok(path) = ImagePath::new(path.strip_prefix(b"usr/").unwrap_or(path)) else { return false };
    let mut patterns = OF_THE_MACHINE.iter().filter_map(|pattern| Pattern::parse(pattern).ok());
    patterns.any(|pattern| pattern.matches(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::Files;

    fn image() -> Files {
        Files::default()
            .file("usr/bin/su", "su")
            .mode("usr/bin/su", 0o4755)
            .xattr("usr/bin/su", "security.capability")
            .file("usr/bin/tool", "tool")
            .file("usr/dir/a/deep", "deep")
            .file("usr/dir/b", "b")
            .file("usr/file", "file")
            .mtime("usr/dir", 7)
    }

    fn shown(changes: &Changes) -> Vec<String> {
        changes.entries.iter().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn what_an_unprivileged_user_cannot_make_is_as_the_image_has_it() {
        let mut unpacked =
            image().mode("usr/bin/su", 0o755).mode("usr/bin/tool", 0o700).file("usr/bin/new", "new");
        for path in ["usr/bin/su", "usr/bin/tool", "usr/bin/new", "usr/dir/b"] {
            unpacked = unpacked.change(path, |entry| (entry.meta.uid, entry.meta.gid) = (1000, 1000));
        }
        let unpacked = unpacked.change("usr/bin/su", |entry| entry.meta.xattrs = Default::default());
        let changes = between(&image().root(), &unpacked.root(), false).unwrap();
        assert_eq!(shown(&changes), ["usr", "usr/bin", "usr/bin/new", "usr/bin/tool"]);
        assert!(changes.entries.iter().all(|entry| (entry.meta.uid, entry.meta.gid) == (0, 0)));
        assert_eq!(changes.entries[3].meta.mode, 0o700);
        // Root means what it says.
        let changes = between(&image().root(), &unpacked.root(), true).unwrap();
        assert_eq!(changes.written.len(), 4);
    }

    #[test]
    fn a_directory_may_become_a_file_and_a_file_a_directory() {
        let new = image()
            .without("usr/dir")
            .file("usr/dir", "now a file")
            .without("usr/file")
            .file("usr/file/x", "x");
        let changes = between(&image().root(), &new.root(), true).unwrap();
        assert_eq!(shown(&changes), ["usr", "usr/dir", "usr/file", "usr/file/x"]);
        assert_eq!(changes.deleted, []);
    }

    #[test]
    fn what_is_gone_is_one_whiteout_and_its_directory_keeps_its_time() {
        let new = image().without("usr/dir/a").mtime("usr/dir", 9);
        let changes = between(&image().root(), &new.root(), true).unwrap();
        assert_eq!(shown(&changes), ["usr", "usr/dir", "usr/dir/.wh.a"]);
        assert_eq!(changes.entries[1].mtime.seconds, 7);
        let deleted: Vec<_> = changes.deleted.iter().map(ToString::to_string).collect();
        assert_eq!(deleted, ["/usr/dir/a"]);
        assert!(
            between(&image().root(), &image().mtime("usr/file", 5).root(), true).unwrap().entries.is_empty()
        );
    }
}
