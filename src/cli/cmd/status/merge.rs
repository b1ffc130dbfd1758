//! What became of `/etc`, in words.

use super::lines::{Lines, PLAIN, WATCH};
use crate::cli::format;
use crate::sysroot::etc_merge::{Capped, EtcMergeReport, Resolution};

/// Counts alone.
pub fn counts(report: &EtcMergeReport) -> String {
    let kept = report.modified.total + report.added.total + report.deleted.total;
    let taken = report.updated.total + report.new_defaults.total + report.removed_defaults.total;
    let mut parts =
        vec![format!("{} kept", format::count(kept, "change")), format!("{taken} taken from the image")];
    if !report.both_changed.is_empty() {
        parts.push(format!("{} changed on both sides", report.both_changed.total));
    }
    if !report.conflicts.is_empty() {
        parts.push(format::count(report.conflicts.total, "conflict") + " settled");
    }
    parts.join(", ")
}

/// Everything that is known, below the counts.
pub fn lists(report: &EtcMergeReport, lines: &mut Lines) {
    let mut list = |label: &str, list: &Capped<String>| {
        if !list.is_empty() {
            lines.more(PLAIN, &listed(label, list, &list.list));
        }
    };
    list("modified here:", &report.modified);
    list("added here:", &report.added);
    list("deleted here:", &report.deleted);
    list("updated:", &report.updated);
    list("new:", &report.new_defaults);
    list("gone:", &report.removed_defaults);
    let both = &report.both_changed;
    if !both.is_empty() {
        let paths = both.list.iter().map(|b| format!("{} ({})", b.path, words(b.resolution)));
        lines.more(WATCH, &listed("changed on both sides:", both, &paths.collect::<Vec<_>>()));
    }
    let conflicts = &report.conflicts;
    if !conflicts.is_empty() {
        let ended = |resolution: Option<Resolution>| resolution.map_or("it stops the merge", words);
        let paths =
            conflicts.list.iter().map(|c| format!("{} ({}; {})", c.path, c.reason, ended(c.resolution)));
        lines.more(WATCH, &listed("conflicts:", conflicts, &paths.collect::<Vec<_>>()));
    }
    let skipped = &report.skipped;
    if !skipped.is_empty() {
        let paths: Vec<String> = skipped.list.iter().map(|s| format!("{} ({})", s.path, s.kind)).collect();
        lines.more(PLAIN, &listed("left out:", skipped, &paths));
    }
}

fn listed<T>(label: &str, list: &Capped<T>, paths: &[String]) -> String {
    let more = match list.unlisted() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{label} {}{more}", paths.join(", "))
}

fn words(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::KeptLocal => "this machine's kept",
        Resolution::TookNew => "the image's taken",
    }
}
