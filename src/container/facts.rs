//! What an image has for a machine, short of its files.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Opened, Root};
use crate::boot::kargs_d;
use crate::layer::check_bootable;
use crate::names::ImagePath;
use crate::ops::{Result, files};
use crate::repo::{Node, TreeEntry};

/// Where bootc and reroot look for kernel arguments; `/usr/etc` is what images of ostree have for `/etc`.
const ARGUMENTS: [&str; 4] =
    ["usr/lib/bootc/kargs.d", "usr/lib/reroot/kargs.d", "usr/etc/reroot/kargs.d", "etc/reroot/kargs.d"];
/// No `kargs.d` file may be larger.
pub(super) const LARGEST_ARGUMENTS: u64 = 64 << 10;
const UNITS: &str = "usr/lib/systemd/system";

/// The kernel of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    pub version: String,
    /// Bytes.
    pub vmlinuz_bytes: u64,
    pub initramfs_bytes: u64,
}

/// A kernel argument and the file that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Argument {
    pub value: String,
    pub file: String,
}

/// What a machine would get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Absent when there is none, or more than one.
    pub kernel: Option<Kernel>,
    pub kernel_arguments: Vec<Argument>,
    pub os_release: BTreeMap<String, String>,
    /// Units that another unit wants, by their names.
    pub units: BTreeSet<String>,
    pub files: u64,
    pub directories: u64,
    pub links: u64,
    /// Of the content of all files, for each of their names.
    pub bytes: u64,
    /// What is there and could not be read, and why.
    pub problems: Vec<String>,
}

impl Facts {
    pub fn of(opened: &Opened<'_>, architecture: &str) -> Result<Self> {
        let root = &opened.root;
        let mut problems: Vec<_> =
            root.unread.iter().map(|unread| format!("/{}: {}", unread.path, unread.reason)).collect();
        let texts = argument_files(root)?;
        let texts = texts.iter().map(|(path, bytes)| (path.as_str(), &**bytes));
        let kernel_arguments = kargs_d::collect(texts, architecture).unwrap_or_else(|error| {
            problems.push(error.to_string());
            Vec::new()
        });
        let kernel = check_bootable(&root.tree).map(|bootable| {
            let size = |path: &ImagePath| root.tree.get(path).map_or(0, bytes_of);
            Kernel {
                vmlinuz_bytes: size(&bootable.vmlinuz),
                initramfs_bytes: size(&bootable.initramfs),
                version: bootable.kernel_version,
            }
        });
        if let Err(error) = &kernel {
            problems.push(error.to_string());
        }
        let count = |is: fn(&Node) -> bool| root.tree.entries().iter().filter(|e| is(&e.node)).count() as u64;
        Ok(Self {
            kernel: kernel.ok(),
            kernel_arguments: kernel_arguments
                .into_iter()
                .map(|a| Argument { value: a.value, file: a.file })
                .collect(),
            os_release: files::os_release(root.contents(), &root.tree)?,
            units: wanted_units(root),
            files: count(|node| matches!(node, Node::File { .. } | Node::Empty)),
            directories: count(Node::is_directory),
            links: count(|node| matches!(node, Node::Symlink { .. })),
            bytes: root.tree.entries().iter().map(bytes_of).fold(0, u64::saturating_add),
            problems,
        })
    }
}

/// The files with kernel arguments, the weaker directory first.
fn argument_files(root: &Root<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut texts = Vec::new();
    for entry in argument_entries(root) {
        let file = root.follow(&entry.path.to_string()).unwrap_or(entry);
        if let Some(bytes) = root.read(file, LARGEST_ARGUMENTS)? {
            texts.push((format!("/{}", entry.path), bytes));
        }
    }
    Ok(texts)
}

/// What is in the directories with kernel arguments.
pub(super) fn argument_entries<'r>(root: &'r Root<'r>) -> impl Iterator<Item = &'r TreeEntry> {
    ARGUMENTS.iter().flat_map(|directory| root.children(directory))
}

/// What other units want (systemd.unit(5): `.wants/`, `.requires/`, `.upholds/`).
pub(super) fn wanted_units(root: &Root<'_>) -> BTreeSet<String> {
    let mut units = BTreeSet::new();
    for entry in root.below(UNITS).iter().chain(root.below(&root.etc("systemd/system"))) {
        let by = entry.path.parent().unwrap_or_default();
        let is_wanting = |suffix: &&[u8]| by.file_name().ends_with(suffix);
        if [&b".wants"[..], b".requires", b".upholds"].iter().any(is_wanting) {
            units.insert(crate::names::printable(entry.path.file_name()));
        }
    }
    units
}

/// Of the content of a file.
pub(super) fn bytes_of(entry: &TreeEntry) -> u64 {
    match entry.node {
        Node::File { size, .. } => size,
        _ => 0,
    }
}

/// The directory of at most `depth` components that a path is in: with 2 `/usr/lib` of `/usr/lib/x/y`.
pub(super) fn region(path: &ImagePath, depth: usize) -> String {
    let mut components: Vec<_> = path.components().map(crate::names::printable).collect();
    components.pop();
    components.truncate(depth);
    format!("/{}", components.join("/"))
}
