//! A file for node_exporter's textfile collector.

use std::io;
use std::path::Path;

use super::Metrics;
use super::values::PREFIX;
use crate::fsx;

/// Writes the metrics into a file in one step. What has not our prefix is left away: node_exporter has a
/// `process_start_time_seconds` of its own, and answers nothing at all when there are two.
pub fn write_textfile(metrics: &Metrics, path: &Path) -> io::Result<()> {
    let bad = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| bad("it names no file"))?;
    let directory = path.parent().ok_or_else(|| bad("it names no directory"))?;
    let text = metrics.text();
    let ours: String = text
        .lines()
        .filter(|line| {
            let line = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
            line.starts_with(PREFIX)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    fsx::write_atomic(&fsx::open_dir(directory)?, name, ours.as_bytes(), 0o644)
}
