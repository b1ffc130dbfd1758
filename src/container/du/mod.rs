//! Where the bytes of an image are, as a tree of directories or by package.

mod treemap;

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::facts::bytes_of;
use super::{Opened, Owners};
use crate::digest::ObjectId;
use crate::names::{ImagePath, printable};
use crate::ops::Result;
use crate::repo::{Node, TreeEntry};

pub use treemap::{Rectangle, squarify};

/// The version of the JSON.
const VERSION: u32 = 1;
/// What is in no package.
const NO_PACKAGE: &str = "no package";

/// How files are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Directory,
    Package,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub version: u32,
    pub name: String,
    pub by: By,
    /// Package databases that were not read, and why.
    pub not_read: Vec<String>,
    pub root: Branch,
}

/// A directory, a package, or a file, with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    pub name: String,
    /// Of contents. One that has several names counts at the first of them, as on a disk.
    pub bytes: u64,
    /// Names of files and links, all of them.
    pub files: u64,
    /// The largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Branch>,
}

/// Adds up an opened image.
pub fn du(opened: &Opened<'_>, by: By) -> Result<Usage> {
    let mut not_read = Vec::new();
    let mut seen = HashSet::new();
    let entries = opened.root.tree.entries().iter().filter(|entry| !entry.node.is_directory());
    let mut counted = entries.map(|entry| (entry, bytes_once(entry, &mut seen)));
    let mut root = match by {
        By::Directory => {
            let mut root = Grown::default();
            counted.for_each(|(entry, bytes)| root.add(&path(entry), bytes));
            root.finish("/".into())
        }
        By::Package => {
            let owners = Owners::read(&opened.root)?;
            let mut packages: BTreeMap<usize, Grown> = BTreeMap::new();
            let mut unowned = Grown::default();
            for (entry, bytes) in counted.by_ref() {
                match owners.index_of(&entry.path) {
                    Some(index) => packages.entry(index).or_default().add(&path(entry), bytes),
                    None => unowned.add(&path(entry), bytes),
                }
            }
            let mut children: Vec<_> = packages
                .into_iter()
                .map(|(index, grown)| grown.finish(owners.packages[index].name.clone()))
                .collect();
            if unowned.files > 0 {
                children.push(unowned.finish(NO_PACKAGE.into()));
            }
            not_read = owners.not_read;
            let sum = |of: fn(&Branch) -> u64| children.iter().map(of).fold(0, u64::saturating_add);
            Branch { name: "all".into(), bytes: sum(|b| b.bytes), files: sum(|b| b.files), children }
        }
    };
    root.sort();
    Ok(Usage { version: VERSION, name: opened.name.clone(), by, not_read, root })
}

impl Usage {
    /// Takes away what is deeper than `depth` below the root, and what is less than a share of everything.
    pub fn cut(&mut self, depth: usize, share: f64) {
        let least = (self.root.bytes as f64 * share).ceil() as u64;
        self.root.cut(depth, least);
    }
}

impl Branch {
    fn sort(&mut self) {
        self.children.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        self.children.iter_mut().for_each(Self::sort);
    }

    fn cut(&mut self, depth: usize, least: u64) {
        self.children.retain(|child| depth > 0 && child.bytes >= least);
        self.children.iter_mut().for_each(|child| child.cut(depth - 1, least));
    }

    /// What is in it and in none of its children.
    pub fn own_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.children.iter().map(|child| child.bytes).fold(0, u64::saturating_add))
    }
}

/// A branch while it is added up.
#[derive(Default)]
struct Grown<'t> {
    bytes: u64,
    files: u64,
    children: BTreeMap<&'t [u8], Grown<'t>>,
}

impl<'t> Grown<'t> {
    fn add(&mut self, path: &[&'t [u8]], bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.files += 1;
        if let [first, rest @ ..] = path {
            self.children.entry(first).or_default().add(rest, bytes);
        }
    }

    fn finish(self, name: String) -> Branch {
        let children = self.children.into_iter().map(|(name, child)| child.finish(printable(name))).collect();
        Branch { name, bytes: self.bytes, files: self.files, children }
    }
}

fn path(entry: &TreeEntry) -> Vec<&[u8]> {
    ImagePath::components(&entry.path).collect()
}

/// The bytes of a content at the first of its names, and nothing at the others.
fn bytes_once(entry: &TreeEntry, seen: &mut HashSet<ObjectId>) -> u64 {
    match &entry.node {
        Node::File { object, .. } if !seen.insert(*object) => 0,
        _ => bytes_of(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::Files;

    fn opened() -> Opened<'static> {
        let root = Files::default()
            .file("usr/bin/a", "aaaa")
            .file("usr/bin/b", "bb")
            .file("usr/share/c", "c".repeat(10))
            .file("etc/own", "own")
            .link("bin", "usr/bin")
            .file("var/lib/dpkg/status", "Package: p\nVersion: 1\nStatus: install ok installed\n")
            .file("var/lib/dpkg/info/p.list", "/usr/bin/a\n/usr/share/c\n")
            .root();
        Opened { root, image: None, name: "x".into() }
    }

    fn shown(branch: &Branch) -> Vec<String> {
        branch
            .children
            .iter()
            .map(|child| format!("{} {} {}", child.name, child.bytes, child.files))
            .collect()
    }

    #[test]
    fn directories_hold_what_is_below_them() {
        let mut usage = du(&opened(), By::Directory).unwrap();
        let usr = usage.root.children.iter().find(|child| child.name == "usr").unwrap();
        assert_eq!((usr.bytes, usr.files), (16, 3));
        assert_eq!(shown(usr), ["share 10 1", "bin 6 2"]);
        assert_eq!(shown(&usr.children[1]), ["a 4 1", "b 2 1"]);
        let (bytes, files) = (usage.root.bytes, usage.root.files);
        usage.cut(2, 0.1);
        let usr = usage.root.children.iter().find(|child| child.name == "usr").unwrap();
        assert_eq!(shown(usr), ["share 10 1"]);
        assert_eq!(usr.own_bytes(), 6);
        assert!(usr.children[0].children.is_empty());
        assert_eq!((usage.root.bytes, usage.root.files), (bytes, files));
    }

    #[test]
    fn packages_hold_what_belongs_to_them() {
        let usage = du(&opened(), By::Package).unwrap();
        let p = usage.root.children.iter().find(|child| child.name == "p").unwrap();
        assert_eq!((p.bytes, p.files), (14, 2));
        let rest = usage.root.children.iter().find(|child| child.name == NO_PACKAGE).unwrap();
        assert_eq!(usage.root.bytes, p.bytes + rest.bytes);
        assert!(rest.children.iter().any(|child| child.name == "etc"));
    }
}
