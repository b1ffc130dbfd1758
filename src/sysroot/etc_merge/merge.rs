//! Reading and deciding: [`plan`] and what it gives.

use super::conflict::Conflicts;
use super::decide::{Decided, Take, decide};
use super::inode::Contents;
use super::scan::{Row, Scanned, scan};
use super::{EtcMergeReport, EtcStrategy, Rules, apply};
use crate::fsx::Dir;
use crate::sysroot::{Error, Result};

/// The live tree and the defaults that it started from: `etc` and `usr/etc` of one deployment.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    pub defaults: &'a Dir,
    pub etc: &'a Dir,
}

/// What is merged.
#[derive(Debug, Clone, Copy)]
pub struct Trees<'a> {
    /// `None`: there is nothing to bring along, and the merged tree is that of the new defaults.
    pub live: Option<Live<'a>>,
    /// `usr/etc` of the new deployment; only [`super::drift()`] has none.
    pub(super) new: Option<&'a Dir>,
}

impl<'a> Trees<'a> {
    pub fn new(live: Option<Live<'a>>, new: &'a Dir) -> Self {
        Self { live, new: Some(new) }
    }
}

/// How conflicts are settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    pub strategy: EtcStrategy,
    pub rules: Rules,
}

/// A merge that was decided and not yet made.
#[derive(Debug, Clone)]
pub struct Merge<'a> {
    pub(super) trees: Trees<'a>,
    pub(super) rows: Vec<Row>,
    pub(super) takes: Vec<Take>,
    report: EtcMergeReport,
    conflicts: Conflicts,
}

/// Reads the trees and decides for every path. Conflicts are part of the result. Changes nothing.
pub fn plan<'a>(trees: Trees<'a>, options: &Options) -> Result<Merge<'a>> {
    let Scanned { rows, skipped, vanished } = scan(trees, Contents::Compare)?;
    let Decided { takes, mut report, conflicts } = decide(&rows, &options.rules, options.strategy);
    skipped.into_iter().for_each(|one| report.skipped.push(one));
    report.vanished = vanished;
    Ok(Merge { trees, rows, takes, report, conflicts })
}

impl Merge<'_> {
    /// What [`Self::apply`] would do.
    pub fn report(&self) -> &EtcMergeReport {
        &self.report
    }

    /// An error that lists the conflicts that nothing settles, when there are any.
    pub fn conflicts(&self) -> Result<()> {
        if self.conflicts.is_empty() { Ok(()) } else { Err(Error::EtcConflicts(self.conflicts.clone())) }
    }

    /// Makes the merged tree in the empty directory `dest`, which becomes `/etc` itself with its mode and owner.
    /// Not synced. When it fails, `dest` holds a part of the tree.
    pub fn apply(&self, dest: &Dir) -> Result<EtcMergeReport> {
        self.conflicts()?;
        let mut report = self.report.clone();
        apply::apply(self, dest, &mut report)?;
        Ok(report)
    }
}
