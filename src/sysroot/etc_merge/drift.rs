//! What was changed in a live tree, against its own defaults.

use serde::{Serialize, Serializer};

use super::inode::{Contents, Differences};
use super::scan::{Row, scan};
use super::{Live, Skipped, Trees, shown};
use crate::names::ImagePath;
use crate::sysroot::Result;

/// All that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// Sorted by path.
    pub changes: Vec<Change>,
    /// Sockets, pipes and devices, which no merge brings along.
    pub skipped: Vec<Skipped>,
}

/// A path that is not as the defaults have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: ImagePath,
    pub kind: ChangeKind,
    /// Of what was modified: in what.
    pub what: Differences,
}

impl Change {
    /// The path as people know it, printable.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

impl ChangeKind {
    /// `M`, `A`, `D`
    pub fn letter(self) -> char {
        match self {
            Self::Modified => 'M',
            Self::Added => 'A',
            Self::Deleted => 'D',
        }
    }
}

impl Serialize for Differences {
    /// A list of names.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// Compares a live tree with the defaults that it started from, byte by byte.
pub fn drift(live: Live<'_>) -> Result<Drift> {
    let scanned = scan(Trees { live: Some(live), new: None }, Contents::Compare)?;
    let changes = scanned.rows.into_iter().filter_map(change).collect();
    Ok(Drift { changes, skipped: scanned.skipped })
}

/// How many paths of a live tree were changed. Files of one size and one time count as equal: nothing is read of
/// what nobody touched.
pub fn count(live: Live<'_>) -> Result<u64> {
    let scanned = scan(Trees { live: Some(live), new: None }, Contents::TrustTimes)?;
    Ok(scanned.rows.into_iter().filter_map(change).count() as u64)
}

fn change(row: Row) -> Option<Change> {
    let kind = match (row.base, row.local) {
        (Some(_), None) => ChangeKind::Deleted,
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), Some(_)) if !row.local_change.is_empty() => ChangeKind::Modified,
        _ => return None,
    };
    Some(Change { path: row.path, kind, what: row.local_change })
}
