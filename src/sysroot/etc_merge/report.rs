//! What a merge did, as plain data: printed as JSON, and kept in the record of the deployment.

use serde::{Deserialize, Serialize};

use super::EtcStrategy;

/// What a merge does or did. Paths are printable and start with `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcMergeReport {
    /// For conflicts that no rule decides.
    pub strategy: EtcStrategy,
    /// Changed on this machine, and kept.
    pub modified: Capped<String>,
    /// Added on this machine, and kept.
    pub added: Capped<String>,
    /// Defaults that were deleted on this machine and stay so.
    pub deleted: Capped<String>,
    /// Defaults that changed and came in.
    pub updated: Capped<String>,
    /// Defaults that are new and came in.
    pub new_defaults: Capped<String>,
    /// Defaults that are gone.
    pub removed_defaults: Capped<String>,
    /// Changed on this machine and in the defaults.
    pub both_changed: Capped<BothChanged>,
    /// A directory on one side and something else on the other.
    pub conflicts: Capped<SettledConflict>,
    /// Sockets, pipes and devices of this machine.
    pub skipped: Capped<Skipped>,
    /// Files that were removed while they were read.
    pub vanished: u64,
}

impl EtcMergeReport {
    /// False when the merged tree is that of the new defaults.
    pub fn has_local_changes(&self) -> bool {
        let lists = [&self.modified, &self.added, &self.deleted];
        lists.into_iter().any(|list| !list.is_empty())
            || !self.both_changed.is_empty()
            || !self.conflicts.is_empty()
    }
}

/// A list of which only the beginning is kept; a record must stay small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capped<T> {
    /// How many there are.
    pub total: u64,
    pub list: Vec<T>,
    #[serde(skip)]
    text_bytes: usize,
}

/// More than anybody reads.
const MOST_LISTED: usize = 200;
/// Nine lists of this size, escaped, stay well below what a record may have (`layout::STATE_LIMIT`).
const MOST_TEXT: usize = 24 << 10;

/// What is listed.
pub trait Entry {
    /// Bytes of text in it.
    fn text_bytes(&self) -> usize;
}

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self { total: 0, list: Vec::new(), text_bytes: 0 }
    }
}

impl<T: Entry> Capped<T> {
    pub(super) fn push(&mut self, entry: T) {
        self.total += 1;
        self.text_bytes += entry.text_bytes();
        // With one left out all that follow are left out: the list is a beginning.
        if self.list.len() as u64 + 1 == self.total
            && self.list.len() < MOST_LISTED
            && self.text_bytes <= MOST_TEXT
        {
            self.list.push(entry);
        }
    }
}

impl<T> Capped<T> {
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many are not in the list.
    pub fn unlisted(&self) -> u64 {
        self.total.saturating_sub(self.list.len() as u64)
    }
}

/// Whose version won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    KeptLocal,
    TookNew,
}

/// Changed on this machine and in the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BothChanged {
    pub path: String,
    pub resolution: Resolution,
}

/// A conflict and how it ended; `None` when it stops the merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledConflict {
    pub path: String,
    /// In words.
    pub reason: String,
    pub resolution: Option<Resolution>,
}

/// Something of the live tree that is not configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    pub path: String,
    /// `socket`, `fifo`, `char-device`, `block-device`
    pub kind: String,
}

impl Entry for String {
    fn text_bytes(&self) -> usize {
        self.len()
    }
}

impl Entry for BothChanged {
    fn text_bytes(&self) -> usize {
        self.path.len()
    }
}

impl Entry for SettledConflict {
    fn text_bytes(&self) -> usize {
        self.path.len() + self.reason.len()
    }
}

impl Entry for Skipped {
    fn text_bytes(&self) -> usize {
        self.path.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_totals_are_not() {
        let mut many = Capped::default();
        (0..1000).for_each(|n| many.push(format!("/etc/{n}")));
        assert_eq!((many.total, many.list.len(), many.unlisted()), (1000, 200, 800));
        let mut long = Capped::default();
        (0..10).for_each(|_| long.push("x".repeat(10_000)));
        long.push("short".into());
        assert_eq!((long.total, long.list.len()), (11, 2));
    }

    #[test]
    fn a_report_is_read_back_also_when_it_says_less() {
        let mut report = EtcMergeReport { strategy: EtcStrategy::KeepLocal, ..EtcMergeReport::default() };
        report.modified.push("/etc/a".into());
        let resolution = Resolution::KeptLocal;
        report.both_changed.push(BothChanged { path: "/etc/a".into(), resolution });
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["strategy"], "keep-local");
        assert_eq!(json["modified"], serde_json::json!({"total": 1, "list": ["/etc/a"]}));
        assert_eq!(json["bothChanged"]["list"][0]["resolution"], "kept-local");
        let read: EtcMergeReport = serde_json::from_value(json).unwrap();
        assert_eq!(read.modified.list, report.modified.list);
        assert_eq!(serde_json::from_str::<EtcMergeReport>("{}").unwrap(), EtcMergeReport::default());
    }
}
