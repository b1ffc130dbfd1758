//! All databases of a tree.

use std::io::{BufRead, BufReader};

use super::{apk, dpkg, rpm};
use crate::layer;
use crate::names::ImagePath;
use crate::ops::files::{self, View};
use crate::ops::{Error, Result};
use crate::packages::{self, Files, Package};
use crate::repo::{Tree, TreeEntry};

/// The largest file of a database that is read; Debian's with every package it has stays below.
pub(super) const LIMIT: u64 = 256 << 20;

/// The packages of a tree. Databases that are not read are told in `not_read`; one that is broken is an error.
pub(crate) fn read(view: View<'_>, not_read: &mut Vec<String>) -> Result<Vec<Package>> {
    let mut found = dpkg::packages(view)?;
    found.extend(apk::packages(view)?);
    found.extend(rpm::packages(view, not_read)?);
    Ok(found)
}

/// The same with the paths that belong to each package.
pub(crate) fn read_with_files(view: View<'_>, not_read: &mut Vec<String>) -> Result<Vec<(Package, Files)>> {
    let mut found = dpkg::packages_with_files(view)?;
    found.extend(apk::packages_with_files(view)?);
    found.extend(rpm::packages_with_files(view, not_read)?);
    Ok(found)
}

/// What paths lead to. One database may have several, all but one a link.
pub(super) fn places<'t>(tree: &'t Tree, paths: &[&str]) -> Vec<&'t TreeEntry> {
    let mut found: Vec<&TreeEntry> = Vec::new();
    for entry in paths.iter().filter_map(|path| files::follow(tree, path)) {
        if !found.iter().any(|other| other.path == entry.path) {
            found.push(entry);
        }
    }
    found
}

/// What is in a directory under a name.
pub(super) fn child<'t>(tree: &'t Tree, directory: &ImagePath, name: &str) -> Option<&'t TreeEntry> {
    layer::resolve(tree, &directory.join(name.as_bytes()).ok()?)
}

/// Parses a regular file; nothing for everything else.
pub(super) fn parse<T>(
    view: View<'_>,
    entry: &TreeEntry,
    parse: impl FnOnce(&mut dyn BufRead) -> Result<Vec<T>, packages::Error>,
) -> Result<Vec<T>> {
    let Some(content) = files::open(view.contents, entry, LIMIT)? else { return Ok(Vec::new()) };
    parse(&mut BufReader::new(content)).map_err(|error| broken(entry, error))
}

/// A database that cannot be read.
pub(super) fn broken(entry: &TreeEntry, error: packages::Error) -> Error {
    let reading = format!("reading /{}", entry.path);
    match error {
        packages::Error::Io(source) => Error::io(reading)(source),
        packages::Error::Malformed { .. } => Error::incompatible(format!("{reading}: {error}")),
    }
}
