//! Deciding for every path whose version the merged tree has. Pure; the rules are those of the module's table.

use super::conflict::{Conflict, Conflicts};
use super::inode::Shape;
use super::report::{BothChanged, EtcMergeReport, Resolution, SettledConflict};
use super::scan::Row;
use super::{EtcStrategy, Rules, shown};

/// Whose version of a path the merged tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    Nothing,
    New,
    Local,
}

/// A decision for each row, and what there is to tell about them.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub takes: Vec<Take>,
    pub report: EtcMergeReport,
    pub conflicts: Conflicts,
}

/// Decides about sorted rows that have all their parents.
pub(super) fn decide(rows: &[Row], rules: &Rules, strategy: EtcStrategy) -> Decided {
    let below = look_below(rows, rules);
    let report = EtcMergeReport { strategy, ..EtcMergeReport::default() };
    let mut decider = Decider { rules, strategy, report, conflicts: Conflicts::default() };
    let mut takes: Vec<Take> = Vec::with_capacity(rows.len());
    // What holds below the directories from the root to the row.
    let mut open: Vec<(usize, Regime)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        while open.last().is_some_and(|(above, _)| !row.path.is_below(&rows[*above].path)) {
            open.pop();
        }
        let regime = open.last().map_or(Regime::Merge, |(_, regime)| *regime);
        let (take, regime) = match regime {
            Regime::Merge => decider.merge(row, &below[index]),
            Regime::Replaced => (decider.replaced(row), regime),
            Regime::Settled => (Take::Nothing, regime),
            Regime::AllNew => (if row.new.is_some() { Take::New } else { Take::Nothing }, regime),
        };
        takes.push(take);
        open.push((index, regime));
    }
    Decided { takes, report: decider.report, conflicts: decider.conflicts }
}

/// How the rows below a row are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Regime {
    /// Each for itself.
    Merge,
    /// The live tree has no directory any more where the defaults have one, and that stays so.
    Replaced,
    /// What was decided above was about them as well, and they are gone.
    Settled,
    /// They come with what was decided above.
    AllNew,
}

/// What the rows below a row have.
#[derive(Debug, Clone, Copy, Default)]
struct Below {
    /// Paths of the live tree that are kept.
    kept: u64,
    /// Paths that come in from the new defaults although the live tree has no directory for them.
    comes: bool,
    default_changed: bool,
}

fn look_below(rows: &[Row], rules: &Rules) -> Vec<Below> {
    let mut below = vec![Below::default(); rows.len()];
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(rows.len());
    let mut open: Vec<usize> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        while open.last().is_some_and(|above| !row.path.is_below(&rows[*above].path)) {
            open.pop();
        }
        parents.push(open.last().copied());
        open.push(index);
    }
    for (index, row) in rows.iter().enumerate().rev() {
        let Some(parent) = parents[index] else { continue };
        let takes_new = row.default_changed()
            && rules.of(&row.path).is_some_and(|rule| rule.strategy == EtcStrategy::TakeNew);
        let own = below[index];
        let sum = &mut below[parent];
        sum.kept += own.kept + u64::from(row.changed_here() && !row.local_is_new && !takes_new);
        sum.comes |=
            own.comes || row.new.is_some() && row.local.is_none() && (row.base.is_none() || takes_new);
        sum.default_changed |= own.default_changed || row.default_changed();
    }
    below
}

impl Row {
    /// True when the live tree has something at this path that is not the default.
    fn changed_here(&self) -> bool {
        self.local.is_some() && (self.base.is_none() || !self.local_change.is_empty())
    }

    /// True when the new default is not the old one.
    fn default_changed(&self) -> bool {
        self.base.is_some() != self.new.is_some() || !self.default_change.is_empty()
    }
}

struct Decider<'a> {
    rules: &'a Rules,
    strategy: EtcStrategy,
    report: EtcMergeReport,
    conflicts: Conflicts,
}

fn is_directory(shape: Option<Shape>) -> bool {
    shape.is_some_and(Shape::is_directory)
}

impl Decider<'_> {
    fn merge(&mut self, row: &Row, below: &Below) -> (Take, Regime) {
        if row.changed_here() {
            self.changed(row, below)
        } else if row.base.is_some() && row.local.is_none() {
            (self.deleted(row, below), Regime::Merge)
        } else {
            self.untouched(row, below)
        }
    }

    fn untouched(&mut self, row: &Row, below: &Below) -> (Take, Regime) {
        let holds_local = is_directory(row.local) && below.kept > 0;
        match row.new {
            // The default is gone, but not what was put into it here.
            None if holds_local => (Take::Local, Regime::Merge),
            None => {
                self.report.removed_defaults.push(shown(&row.path));
                (Take::Nothing, Regime::Merge)
            }
            Some(new) if holds_local && !new.is_directory() => self.conflict(row, below),
            Some(_) => {
                if row.base.is_none() {
                    self.report.new_defaults.push(shown(&row.path));
                } else if !row.default_change.is_empty() {
                    self.report.updated.push(shown(&row.path));
                }
                (Take::New, Regime::Merge)
            }
        }
    }

    fn changed(&mut self, row: &Row, below: &Below) -> (Take, Regime) {
        if row.local_is_new {
            return (Take::New, Regime::Merge);
        }
        let Some(new) = row.new else {
            let kept = !row.default_changed() || self.contest(row) == Resolution::KeptLocal;
            if kept {
                self.keep(row);
            }
            // A directory is needed for what is below it, whatever was decided about its attributes.
            let needed = kept || is_directory(row.local) && below.kept > 0;
            return (if needed { Take::Local } else { Take::Nothing }, Regime::Merge);
        };
        let default_type_changed = row.base.is_none_or(|base| base.is_directory() != new.is_directory());
        let same_type = is_directory(row.local) == new.is_directory();
        if !same_type && default_type_changed {
            return self.conflict(row, below);
        }
        let default_changed = row.default_changed() || !same_type && below.default_changed;
        let winner = if default_changed { self.contest(row) } else { Resolution::KeptLocal };
        let regime = match (same_type, winner) {
            (true, _) => Regime::Merge,
            (false, Resolution::KeptLocal) if new.is_directory() => Regime::Replaced,
            (false, Resolution::KeptLocal) => Regime::Merge,
            (false, Resolution::TookNew) if new.is_directory() => Regime::AllNew,
            (false, Resolution::TookNew) => Regime::Settled,
        };
        match winner {
            Resolution::TookNew => (Take::New, regime),
            Resolution::KeptLocal => {
                self.keep(row);
                (Take::Local, regime)
            }
        }
    }

    fn deleted(&mut self, row: &Row, below: &Below) -> Take {
        let Some(new) = row.new else { return Take::Nothing };
        if new.is_directory() && below.comes {
            self.both_changed(row, Resolution::TookNew);
            return Take::New;
        }
        if row.default_changed() && self.contest(row) == Resolution::TookNew {
            return Take::New;
        }
        self.report.deleted.push(shown(&row.path));
        Take::Nothing
    }

    /// Below a directory of the defaults that is something else here: there is no place for the row.
    fn replaced(&mut self, row: &Row) -> Take {
        if row.new.is_some() {
            if row.base.is_some() {
                self.report.deleted.push(shown(&row.path));
            }
            if row.default_changed() {
                self.contest_without_place(row);
            }
        }
        Take::Nothing
    }

    fn keep(&mut self, row: &Row) {
        let list = if row.base.is_some() { &mut self.report.modified } else { &mut self.report.added };
        list.push(shown(&row.path));
    }

    /// Local wins over a changed default, unless a rule says otherwise.
    fn contest(&mut self, row: &Row) -> Resolution {
        let rule = self.rules.of(&row.path);
        match rule.map(|r| r.strategy) {
            Some(EtcStrategy::TakeNew) => {
                self.both_changed(row, Resolution::TookNew);
                Resolution::TookNew
            }
            Some(EtcStrategy::Fail) => {
                let place = rule.map(|r| r.place.clone()).unwrap_or_default();
                let reason =
                    format!("changed here and in the new defaults, and the rule at {place} says `fail`");
                self.unsettled(row, reason);
                Resolution::KeptLocal
            }
            Some(EtcStrategy::KeepLocal) | None => {
                self.both_changed(row, Resolution::KeptLocal);
                Resolution::KeptLocal
            }
        }
    }

    fn contest_without_place(&mut self, row: &Row) {
        match self.rules.of(&row.path).map(|r| r.strategy) {
            Some(EtcStrategy::Fail) => {
                self.contest(row);
            }
            _ => self.both_changed(row, Resolution::KeptLocal),
        }
    }

    fn both_changed(&mut self, row: &Row, resolution: Resolution) {
        self.report.both_changed.push(BothChanged { path: shown(&row.path), resolution });
    }

    /// A directory on one side, something else on the other.
    fn conflict(&mut self, row: &Row, below: &Below) -> (Take, Regime) {
        let strategy = self.rules.of(&row.path).map_or(self.strategy, |rule| rule.strategy);
        let reason = reason(row, below);
        let resolution = match strategy {
            EtcStrategy::Fail => {
                self.unsettled(row, reason);
                return (Take::Local, Regime::Settled);
            }
            EtcStrategy::KeepLocal => Resolution::KeptLocal,
            EtcStrategy::TakeNew => Resolution::TookNew,
        };
        let path = shown(&row.path);
        self.report.conflicts.push(SettledConflict { path, reason, resolution: Some(resolution) });
        match resolution {
            Resolution::KeptLocal => {
                if row.changed_here() {
                    self.keep(row);
                }
                let regime = if is_directory(row.local) { Regime::Merge } else { Regime::Settled };
                (Take::Local, regime)
            }
            Resolution::TookNew => {
                let regime = if is_directory(row.new) { Regime::AllNew } else { Regime::Settled };
                (Take::New, regime)
            }
        }
    }

    fn unsettled(&mut self, row: &Row, reason: String) {
        let path = shown(&row.path);
        self.report.conflicts.push(SettledConflict { path, reason: reason.clone(), resolution: None });
        self.conflicts.0.push(Conflict { path: row.path.clone(), reason });
    }
}

fn reason(row: &Row, below: &Below) -> String {
    let word = |shape: Option<Shape>| match shape {
        Some(Shape::Directory) => "a directory",
        Some(Shape::File) => "a file",
        Some(Shape::Symlink) => "a symbolic link",
        Some(Shape::Special) | None => "a device or pipe",
    };
    let local = match (row.local, below.kept) {
        (Some(Shape::Directory), 0) => "a directory here".to_string(),
        (Some(Shape::Directory), 1) => "a directory with 1 change here".to_string(),
        (Some(Shape::Directory), n) => format!("a directory with {n} changes here"),
        (shape, _) if row.base.is_some() => format!("{} that was changed here", word(shape)),
        (shape, _) => format!("{} that was added here", word(shape)),
    };
    format!("{local}, {} in the new defaults", word(row.new))
}
