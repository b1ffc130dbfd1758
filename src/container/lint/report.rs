//! What a run has found, as plain data.

use serde::Serialize;

use super::Level;

/// The version of the JSON.
pub(super) const VERSION: u32 = 1;

/// Everything that was found, and what was not looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub version: u32,
    /// What was looked at.
    pub name: String,
    pub errors: usize,
    pub warnings: usize,
    /// Findings that the settings allow.
    pub allowed: usize,
    /// In the order of the catalog.
    pub lints: Vec<LintReport>,
}

/// What became of one lint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintReport {
    pub id: &'static str,
    pub level: Level,
    pub outcome: Outcome,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingReport>,
    #[serde(skip)]
    pub fix: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Passed,
    Found,
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingReport {
    /// With a slash in front, bytes that are not printable escaped. Absent when it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub message: String,
}

impl Report {
    /// Whether a build should stop.
    pub fn is_fatal(&self, fatal_warnings: bool) -> bool {
        self.errors > 0 || fatal_warnings && self.warnings > 0
    }

    pub fn with(&self, outcome: Outcome) -> usize {
        self.lints.iter().filter(|lint| lint.outcome == outcome).count()
    }
}
