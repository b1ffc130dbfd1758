//! Times that change with every build.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;

pub const TIMES: Lint = Lint {
    id: "timestamps",
    level: Level::Warning,
    needs: Needs::Epoch,
    about: "no file is newer than the image says it is",
    why: "Two builds from the same sources differ in such times alone: their layers have other digests, and are fetched again.",
    fix: "Build with SOURCE_DATE_EPOCH and `--rewrite-timestamp` (buildah) or `rewrite-timestamp=true` (BuildKit)",
    check: times,
};

fn times(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let Some(epoch) = subject.epoch else { return Ok(()) };
    let is_newer = |seconds: i64, nanoseconds: u32| (seconds, nanoseconds) > (epoch, 0);
    let newer = subject.root.tree.entries().iter().filter(|e| is_newer(e.mtime.seconds, e.mtime.nanoseconds));
    for entry in newer {
        findings.at(
            &entry.path,
            format!("it is newer by {} seconds", entry.mtime.seconds.saturating_sub(epoch).max(1)),
        );
    }
    Ok(())
}
