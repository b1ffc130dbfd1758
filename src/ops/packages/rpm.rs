//! rpm: a directory with one database in one of three formats, which has the packages and their paths.

use super::read::{LIMIT, broken, child, places};
use crate::ops::Result;
use crate::ops::files::{self, View};
use crate::packages::{Error, Files, Package, RpmDatabase, parse_rpm, parse_rpm_files};
use crate::repo::Node;

/// Fedora and SUSE, rpm-ostree, and where it was before.
const DIRECTORIES: [&str; 3] = ["usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"];
const SQLITE: &str = "rpmdb.sqlite";
const SQLITE_LOG: &str = "rpmdb.sqlite-wal";
const SQLITE_JOURNAL: &str = "rpmdb.sqlite-journal";
const NDB: &str = "Packages.db";
const BERKELEY: &str = "Packages";

pub(super) fn packages(view: View<'_>, not_read: &mut Vec<String>) -> Result<Vec<Package>> {
    read(view, not_read, parse_rpm)
}

pub(super) fn packages_with_files(
    view: View<'_>,
    not_read: &mut Vec<String>,
) -> Result<Vec<(Package, Files)>> {
    read(view, not_read, parse_rpm_files)
}

fn read<T>(
    view: View<'_>,
    not_read: &mut Vec<String>,
    parse: fn(RpmDatabase<'_>) -> Result<Vec<T>, Error>,
) -> Result<Vec<T>> {
    let content = |entry| files::read(view.contents, entry, LIMIT);
    let mut found = Vec::new();
    for directory in places(view.tree, &DIRECTORIES) {
        let at = |name| child(view.tree, &directory.path, name);
        let unfinished = at(SQLITE_JOURNAL).is_some_and(|journal| matches!(journal.node, Node::File { .. }));
        match at(SQLITE) {
            Some(entry) if unfinished => not_read.push(format!(
                "the rpm database /{} was left in the middle of a change ({SQLITE_JOURNAL}), and is not read",
                entry.path
            )),
            Some(entry) => {
                let log = at(SQLITE_LOG).map(content).transpose()?.flatten().unwrap_or_default();
                if let Some(file) = content(entry)? {
                    let database = RpmDatabase::Sqlite { file: &file, log: &log };
                    found.extend(parse(database).map_err(|error| broken(entry, error))?);
                }
            }
            None => {}
        }
        if let Some(entry) = at(NDB)
            && let Some(file) = content(entry)?
        {
            found.extend(parse(RpmDatabase::Ndb(&file)).map_err(|error| broken(entry, error))?);
        }
        if let Some(entry) = at(BERKELEY) {
            not_read.push(format!("the rpm database /{} is a Berkeley DB, which is not read", entry.path));
        }
    }
    Ok(found)
}
