//! Diff: what changes in the files and packages from one deployment or image to another.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::files::View;
use super::packages::{self, PackageDiff};
use super::{Error, Result, image, select};
use crate::digest::{Sha256, TreeId};
use crate::names::{ImagePath, StaterootName};
use crate::repo::{Contents, Meta, Node, Tree, TreeEntry, Xattrs};
use crate::sysroot::{DeploymentId, Sysroot};

/// The version of the JSON.
const VERSION: u32 = 1;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    Deployment(DeploymentId),
    /// A stored image by reference or digest.
    Image(String),
}

impl FromStr for Side {
    type Err = std::convert::Infallible;
    /// A number is a deployment, everything else an image.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Side::Image(text.into()), Side::Deployment))
    }
}

/// Whether files that differ in nothing but their time are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    #[default]
    Ignore,
    Compare,
}

#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// Where deployment numbers count; `None`: the current one.
    pub stateroot: Option<StaterootName>,
    pub times: Times,
}

/// What changes from one tree to another. `/etc` and `/var` are those of the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    pub version: u32,
    pub from: DiffSide,
    pub to: DiffSide,
    /// Sorted; everything below a new directory is listed.
    pub added: Vec<DiffPath>,
    pub removed: Vec<DiffPath>,
    pub changed: Vec<PathChange>,
    pub packages: PackageDiff,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffSide {
    /// `deployment 3` or the image's reference.
    pub name: String,
    pub digest: Sha256,
    pub tree: TreeId,
}

/// An image's path as text: with a leading slash, bytes that are not printable escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiffPath(pub ImagePath);

impl fmt::Display for DiffPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_root() { f.write_str("/") } else { write!(f, "/{}", self.0) }
    }
}

impl Serialize for DiffPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathChange {
    pub path: DiffPath,
    pub changes: Vec<Change>,
}

/// What changed about a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Change {
    /// A file became a directory, a link a file …
    Type {
        from: &'static str,
        to: &'static str,
    },
    /// Permission bits, octal.
    Mode {
        from: String,
        to: String,
    },
    /// `uid:gid`.
    Owner {
        from: String,
        to: String,
    },
    /// Names of extended attributes that are new, gone or different.
    Xattrs {
        names: Vec<String>,
    },
    /// Where a symbolic link points.
    Target {
        from: String,
        to: String,
    },
    /// `major:minor`.
    Device {
        from: String,
        to: String,
    },
    Content,
    Size {
        from: u64,
        to: u64,
    },
    /// Seconds since the epoch.
    Mtime {
        from: String,
        to: String,
    },
}

/// Compares two deployments or stored images.
pub fn diff(sysroot: &Sysroot, from: &Side, to: &Side, options: &DiffOptions) -> Result<Diff> {
    let repo = sysroot.repo();
    let (from, to) = (find(sysroot, from, options)?, find(sysroot, to, options)?);
    let (old, new) = (repo.read_tree(&from.tree)?, repo.read_tree(&to.tree)?);
    let (old, new) = (View { tree: &old, contents: repo }, View { tree: &new, contents: repo });
    let Compared { paths, packages } = compare(old, new, Objects::OfOneStore, options.times)?;
    Ok(Diff {
        version: VERSION,
        from,
        to,
        added: paths.added,
        removed: paths.removed,
        changed: paths.changed,
        packages,
    })
}

/// What two different objects mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objects {
    /// With the same metadata, other content.
    OfOneStore,
    /// Nothing: they have to be read.
    OfTwoPlaces,
}

/// Compares two trees and their packages.
pub(crate) fn compare(old: View<'_>, new: View<'_>, objects: Objects, times: Times) -> Result<Compared> {
    Ok(Compared { paths: compare_paths(old, new, objects, times)?, packages: packages::compare(old, new)? })
}

/// Compares two trees.
pub(crate) fn compare_paths(old: View<'_>, new: View<'_>, objects: Objects, times: Times) -> Result<Paths> {
    let same = |a: &TreeEntry, b: &TreeEntry| match objects {
        Objects::OfOneStore if a.meta == b.meta => Ok(false),
        _ => same_content((old.contents, a), (new.contents, b)),
    };
    compare_trees(old.tree, new.tree, times, &same)
}

fn find(sysroot: &Sysroot, side: &Side, options: &DiffOptions) -> Result<DiffSide> {
    match side {
        Side::Deployment(id) => {
            let observed = sysroot.observe()?;
            let deployment = select::deployment(&observed, *id, options.stateroot.as_ref())?;
            let name = deployment.key().to_string();
            let record = &deployment.record;
            Ok(DiffSide { name, digest: record.image.digest, tree: record.tree })
        }
        Side::Image(text) => {
            let record = image::find(sysroot, text)?.record;
            Ok(DiffSide { name: text.clone(), digest: record.manifest_digest, tree: record.tree })
        }
    }
}

/// What differs between two trees.
pub(crate) struct Compared {
    pub paths: Paths,
    pub packages: PackageDiff,
}

pub(crate) struct Paths {
    pub added: Vec<DiffPath>,
    pub removed: Vec<DiffPath>,
    pub changed: Vec<PathChange>,
}

/// Two files of one size with different objects: is their content the same?
type SameContent<'a> = dyn Fn(&TreeEntry, &TreeEntry) -> Result<bool> + 'a;

/// Walks two sorted lists side by side.
fn compare_trees(old: &Tree, new: &Tree, times: Times, same: &SameContent) -> Result<Paths> {
    let mut paths = Paths { added: Vec::new(), removed: Vec::new(), changed: Vec::new() };
    let (mut old, mut new) = (old.entries().iter().peekable(), new.entries().iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(paths),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.path.cmp(&b.path),
        };
        if order.is_lt() {
            paths.removed.extend(old.next().map(|e| DiffPath(e.path.clone())));
        } else if order.is_gt() {
            paths.added.extend(new.next().map(|e| DiffPath(e.path.clone())));
        } else if let (Some(a), Some(b)) = (old.next(), new.next()) {
            let changes = compare_entries(a, b, times, same)?;
            if !changes.is_empty() {
                paths.changed.push(PathChange { path: DiffPath(a.path.clone()), changes });
            }
        }
    }
}

fn compare_entries(a: &TreeEntry, b: &TreeEntry, times: Times, same: &SameContent) -> Result<Vec<Change>> {
    let mut changes = compare_nodes(a, b, same)?;
    compare_meta(&a.meta, &b.meta, &mut changes);
    if times == Times::Compare && a.mtime != b.mtime {
        let shown = |e: &TreeEntry| format!("{}.{:09}", e.mtime.seconds, e.mtime.nanoseconds);
        changes.push(Change::Mtime { from: shown(a), to: shown(b) });
    }
    Ok(changes)
}

fn compare_nodes(a: &TreeEntry, b: &TreeEntry, same: &SameContent) -> Result<Vec<Change>> {
    let device = |major: &u32, minor: &u32| format!("{major}:{minor}");
    let sizes = |from, to| vec![Change::Content, Change::Size { from, to }];
    Ok(match (&a.node, &b.node) {
        (Node::Empty, Node::File { size, .. }) => sizes(0, *size),
        (Node::File { size, .. }, Node::Empty) => sizes(*size, 0),
        (Node::File { size: from, .. }, Node::File { size: to, .. }) if from != to => sizes(*from, *to),
        (Node::File { object: x, .. }, Node::File { object: y, .. }) => {
            let differs = x != y && !same(a, b)?;
            if differs { vec![Change::Content] } else { Vec::new() }
        }
        (Node::Symlink { target: from }, Node::Symlink { target: to }) if from != to => {
            let shown = crate::names::printable;
            vec![Change::Target { from: shown(from), to: shown(to) }]
        }
        (Node::CharDevice { major: a, minor: b }, Node::CharDevice { major: c, minor: d })
        | (Node::BlockDevice { major: a, minor: b }, Node::BlockDevice { major: c, minor: d })
            if (a, b) != (c, d) =>
        {
            vec![Change::Device { from: device(a, b), to: device(c, d) }]
        }
        (from, to) if kind(from) != kind(to) => vec![Change::Type { from: kind(from), to: kind(to) }],
        _ => Vec::new(),
    })
}

fn compare_meta(a: &Meta, b: &Meta, changes: &mut Vec<Change>) {
    if a.mode != b.mode {
        let shown = |mode: u16| format!("{mode:04o}");
        changes.push(Change::Mode { from: shown(a.mode), to: shown(b.mode) });
    }
    if (a.uid, a.gid) != (b.uid, b.gid) {
        let shown = |m: &Meta| format!("{}:{}", m.uid, m.gid);
        changes.push(Change::Owner { from: shown(a), to: shown(b) });
    }
    if a.xattrs != b.xattrs {
        changes.push(Change::Xattrs { names: differing_xattrs(&a.xattrs, &b.xattrs) });
    }
}

fn differing_xattrs(a: &Xattrs, b: &Xattrs) -> Vec<String> {
    let mut names: Vec<&[u8]> = a
        .iter()
        .filter(|pair| !b.iter().any(|other| other == *pair))
        .chain(b.iter().filter(|pair| !a.iter().any(|other| other == *pair)))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names.dedup();
    names.into_iter().map(crate::names::printable).collect()
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Directory => "directory",
        Node::Empty | Node::File { .. } => "file",
        Node::Symlink { .. } => "symlink",
        Node::CharDevice { .. } => "char-device",
        Node::BlockDevice { .. } => "block-device",
        Node::Fifo => "fifo",
    }
}

type Place<'p> = (&'p dyn Contents, &'p TreeEntry);

fn same_content((of_a, a): Place<'_>, (of_b, b): Place<'_>) -> Result<bool> {
    let (mut left, mut right) = (of_a.open(a)?, of_b.open(b)?);
    let (mut left_buffer, mut right_buffer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = |file: &mut std::fs::File, buffer: &mut Vec<u8>, entry: &TreeEntry| {
            fill(file, buffer).map_err(Error::io(format!("reading /{}", entry.path)))
        };
        let n = read(&mut left, &mut left_buffer, a)?;
        let m = read(&mut right, &mut right_buffer, b)?;
        if left_buffer[..n] != right_buffer[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::ObjectId;
    use crate::repo::Mtime;

    fn entry(path: &str, mode: u16, node: Node) -> TreeEntry {
        TreeEntry {
            path: ImagePath::new(path.as_bytes()).unwrap(),
            meta: Meta { mode, ..Meta::default() },
            mtime: Mtime::default(),
            node,
        }
    }

    fn tree(mut entries: Vec<TreeEntry>) -> Tree {
        entries.insert(0, entry("", 0o755, Node::Directory));
        Tree::new(entries).unwrap()
    }

    fn file(object: u8, size: u64) -> Node {
        Node::File { object: ObjectId([object; 32]), size }
    }

    fn link(target: &str) -> Node {
        Node::Symlink { target: target.as_bytes().into() }
    }

    /// Objects whose first byte has the same tens have the same content.
    fn tens(a: &TreeEntry, b: &TreeEntry) -> Result<bool> {
        let tens = |entry: &TreeEntry| match entry.node {
            Node::File { object, .. } => object.0[0] / 10,
            _ => panic!("no file"),
        };
        Ok(tens(a) == tens(b))
    }

    #[test]
    fn every_kind_of_change_is_told() {
        let old = tree(vec![
            entry("a", 0o644, file(10, 5)),
            entry("b", 0o644, file(20, 5)),
            entry("c", 0o644, file(30, 5)),
            entry("d", 0o644, file(40, 5)),
            entry("e", 0o777, link("x")),
            entry("f", 0o644, Node::Empty),
            entry("g", 0o755, Node::Directory),
            entry("g/h", 0o644, Node::Empty),
            entry("n", 0o644, Node::CharDevice { major: 1, minor: 3 }),
        ]);
        let new = tree(vec![
            entry("a", 0o644, file(10, 5)),
            entry("b", 0o600, file(21, 5)),
            entry("c", 0o600, file(50, 5)),
            entry("d", 0o644, file(60, 7)),
            entry("e", 0o777, link("y")),
            entry("f", 0o755, Node::Directory),
            entry("f/g", 0o644, Node::Empty),
            entry("g", 0o644, Node::Empty),
            entry("n", 0o644, Node::CharDevice { major: 1, minor: 5 }),
        ]);
        let paths = compare_trees(&old, &new, Times::Ignore, &tens).unwrap();
        let shown = |paths: &[DiffPath]| paths.iter().map(DiffPath::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&paths.added), ["/f/g"]);
        assert_eq!(shown(&paths.removed), ["/g/h"]);
        let changed: Vec<_> = paths
            .changed
            .iter()
            .map(|c| format!("{} {}", c.path, serde_json::to_string(&c.changes).unwrap()))
            .collect();
        assert_eq!(
            changed,
            [
                r#"/b [{"what":"mode","from":"0644","to":"0600"}]"#,
                r#"/c [{"what":"content"},{"what":"mode","from":"0644","to":"0600"}]"#,
                r#"/d [{"what":"content"},{"what":"size","from":5,"to":7}]"#,
                r#"/e [{"what":"target","from":"x","to":"y"}]"#,
                r#"/f [{"what":"type","from":"file","to":"directory"},{"what":"mode","from":"0644","to":"0755"}]"#,
                r#"/g [{"what":"type","from":"directory","to":"file"},{"what":"mode","from":"0755","to":"0644"}]"#,
                r#"/n [{"what":"device","from":"1:3","to":"1:5"}]"#,
            ]
        );
    }

    #[test]
    fn times_count_only_when_asked_for() {
        let mut later = entry("a", 0o644, Node::Empty);
        later.mtime = Mtime { seconds: 7, nanoseconds: 1 };
        let (old, new) = (tree(vec![entry("a", 0o644, Node::Empty)]), tree(vec![later]));
        assert!(compare_trees(&old, &new, Times::Ignore, &tens).unwrap().changed.is_empty());
        let changed = compare_trees(&old, &new, Times::Compare, &tens).unwrap().changed;
        let expected = Change::Mtime { from: "0.000000000".into(), to: "7.000000001".into() };
        assert_eq!(changed[0].changes, [expected]);
    }

    #[test]
    fn differing_xattrs_are_named() {
        let xattrs = |pairs: &[(&str, &str)]| {
            Xattrs::new(pairs.iter().map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into())).collect())
        };
        let names = differing_xattrs(
            &xattrs(&[("user.same", "1"), ("user.gone", "1"), ("user.other", "1")]),
            &xattrs(&[("user.same", "1"), ("user.new", "1"), ("user.other", "2")]),
        );
        assert_eq!(names, ["user.gone", "user.new", "user.other"]);
    }

    #[test]
    fn a_number_is_a_deployment() {
        assert_eq!("7".parse(), Ok(Side::Deployment("7".parse().unwrap())));
        assert_eq!("os:7".parse(), Ok(Side::Image("os:7".into())));
    }
}
