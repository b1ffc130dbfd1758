//! A subject and settings become a report.

use std::collections::BTreeSet;

use super::report::{FindingReport, LintReport, Outcome, Report, VERSION};
use super::{Finding, Findings, LINTS, Level, Lint, Needs, Settings, Subject};

/// Looks for everything that the settings do not leave out.
pub fn run(subject: &Subject<'_>, settings: &Settings, name: &str) -> Report {
    let mut report =
        Report { version: VERSION, name: name.into(), errors: 0, warnings: 0, allowed: 0, lints: Vec::new() };
    for lint in LINTS {
        let level = settings.level(lint);
        let skipped = skipped(lint, subject, settings);
        let (findings, allowed) = match skipped {
            Some(_) => (Vec::new(), 0),
            None => found(lint, subject, settings),
        };
        report.allowed += allowed;
        match level {
            Level::Error => report.errors += findings.len(),
            Level::Warning => report.warnings += findings.len(),
        }
        let outcome = match (skipped, findings.is_empty()) {
            (Some(_), _) => Outcome::Skipped,
            (None, true) => Outcome::Passed,
            (None, false) => Outcome::Found,
        };
        report.lints.push(LintReport { id: lint.id, level, outcome, skipped, findings, fix: lint.fix });
    }
    report
}

fn skipped(lint: &Lint, subject: &Subject<'_>, settings: &Settings) -> Option<&'static str> {
    if settings.skips(lint) {
        return Some("it is not wanted");
    }
    match lint.needs {
        Needs::Image if subject.image.is_none() => Some("a directory has no layers"),
        Needs::Base if subject.base.is_none() => Some("there is nothing to compare with (--base)"),
        Needs::Epoch if subject.epoch.is_none() => {
            Some("a directory does not have its last times yet, or the image says none")
        }
        _ => None,
    }
}

fn found(lint: &Lint, subject: &Subject<'_>, settings: &Settings) -> (Vec<FindingReport>, usize) {
    let mut findings = Findings::default();
    // What cannot be read, or is larger than anything of its kind, is a fault of the image.
    if let Err(error) = (lint.check)(subject, &mut findings) {
        findings.whole(format!("it could not be looked for: {error}"));
    }
    // Two ways to one path are one finding.
    let mut seen = BTreeSet::new();
    findings.0.retain(|finding| seen.insert((finding.path.clone(), finding.message.clone())));
    let all = findings.0.len();
    let left: Vec<_> = findings
        .0
        .into_iter()
        .filter(|finding| !settings.allows(lint, finding.path.as_ref()))
        .map(|Finding { path, message }| FindingReport {
            path: path.map(|path| crate::ops::DiffPath(path).to_string()),
            message,
        })
        .collect();
    let allowed = all - left.len();
    (left, allowed)
}
