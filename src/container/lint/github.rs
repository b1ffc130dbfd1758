//! Workflow commands of GitHub Actions: annotations on a run
//! (docs.github.com, "Workflow commands for GitHub Actions").

use super::Report;

/// One annotation for each finding.
pub fn github(report: &Report) -> String {
    let mut out = String::new();
    for lint in &report.lints {
        for finding in &lint.findings {
            let place = finding.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
            let message = escape(&format!("{place}{}. {}", finding.message, lint.fix));
            out += &format!("::{} title=reroot lint {}::{message}\n", lint.level.name(), lint.id);
        }
    }
    out
}

/// A message is one line, and `%` is special in it.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
