//! The merge of `/etc`: the defaults of a new deployment, and over them what was changed on this machine.
//!
//! ```text
//! base   usr/etc of the deployment that runs   the defaults that the live tree started from
//! local  its etc                               live: what people and programs made of them
//! new    usr/etc of the new deployment         the defaults that the merged tree starts from
//! ```
//!
//! File by file: what was not touched follows the defaults, what was touched stays. A file counts as touched when
//! its type, content, target, mode, owner or extended attributes differ from the base; its time does not count.
//! Directories follow the same rule with their own attributes. Text is never merged.
//!
//! | local | new | merged |
//! |---|---|---|
//! | as base | anything | new |
//! | changed or added | as base, absent, or changed as well | local; `both changed` when the default changed |
//! | changed or added | the same as local | new: no change any more |
//! | deleted | as base, or changed | deleted; `both changed` when the default changed |
//! | deleted directory | has files that base had not | the directory with these files |
//! | changed or added, no directory | a directory, and base was none | conflict |
//! | a directory with changes | no directory, and base was one or absent | conflict |
//!
//! A local change that turns a directory into something else, or the other way round, is no conflict as long as the
//! default keeps its type: it was decided here, and it stays. Conflicts are settled by an [`EtcStrategy`] and by
//! [`Rules`] for single paths, or they stop the merge.
//!
//! [`plan`] reads ([`scan`]) and decides ([`decide`], pure); [`Merge::apply`] makes the merged tree in an empty
//! directory and leaves the trees alone. It has no choices left but one: a file that is gone by then is left out.
//! Nothing is synced. Directories are opened one below the other, and no link is followed. Memory holds one small
//! record for each path, and no content.
//!
//! Not carried over: hard links between files of `/etc` (they become files of their own), inode flags such as
//! immutable, sockets, pipes and devices. Mounts inside the live tree are looked into; whoever wants what is below
//! them gives the directory of the physical root and not `/etc`.

mod apply;
mod conflict;
mod decide;
mod descent;
mod drift;
mod inode;
mod merge;
mod report;
mod rules;
mod scan;
#[cfg(test)]
mod tests;

pub use conflict::{Conflict, Conflicts};
pub use drift::{Change, ChangeKind, Drift, count, drift};
pub use inode::Differences;
pub use merge::{Live, Merge, Options, Trees, plan};
pub use report::{BothChanged, Capped, EtcMergeReport, Resolution, SettledConflict, Skipped};
pub use rules::{EtcStrategy, RULES_FILE, Rule, Rules};

use crate::names::ImagePath;

/// A path as people know it, printable.
fn shown(path: &ImagePath) -> String {
    if path.is_root() { "/etc".into() } else { format!("/etc/{path}") }
}
