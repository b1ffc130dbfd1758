//! A tree in parts that change by themselves.

use std::collections::BTreeMap;

use crate::container::facts::{bytes_of, region};
use crate::container::{Owners, Root};

/// A file of no package that is so large is a part of its own: a kernel, an initramfs, a model.
const LARGE: u64 = 4 << 20;
/// Components of a directory that stands for what is below it: `/usr/lib/python3.13`.
const REGION: usize = 3;

/// Entries that come and go together: those of a package, or of a directory that no package owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub bytes: u64,
    /// Of the newest file, in seconds since the epoch: when a package was built.
    pub newest: i64,
    /// Indexes into the tree's entries, in order. Directories are in no part.
    pub entries: Vec<usize>,
}

/// The parts by their names: `NAME` or `NAME:ARCHITECTURE` of a package, a path with a slash in front of anything else.
pub(super) fn parts(root: &Root<'_>, owners: &Owners) -> BTreeMap<String, Part> {
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for (index, entry) in
        root.tree.entries().iter().enumerate().filter(|(_, entry)| !entry.node.is_directory())
    {
        let bytes = bytes_of(entry);
        let name = match owners.index_of(&entry.path).map(|package| &owners.packages[package]) {
            Some(package) => match package.architecture.as_deref() {
                None | Some("all" | "noarch") => package.name.clone(),
                Some(architecture) => format!("{}:{architecture}", package.name),
            },
            None if bytes >= LARGE => format!("/{}", entry.path),
            None => region(&entry.path, REGION),
        };
        let part = parts.entry(name).or_default();
        part.bytes = part.bytes.saturating_add(bytes);
        part.newest = part.newest.max(entry.mtime.seconds);
        part.entries.push(index);
    }
    parts
}
