//! Tests that cannot run on a machine are skipped by name, with the reason.
//!
//! The harness hides what a passing test prints, so the line goes to stderr directly, and to `target/skips.txt`,
//! from which `tests/run.sh` makes the list at the end.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Says that `test` does not run here, and why.
pub fn skip(test: &str, reason: impl Display) {
    let line = format!("SKIP {test}: {reason}\n");
    say(&line);
    let file = OpenOptions::new().append(true).create(true).open(target().join("skips.txt"));
    // One write: lines of tests that run at the same time do not mix.
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("writing skips.txt");
}

/// Tells the reader of a passing test what it found.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{}\n", line.trim_end()).as_bytes());
}

/// Cargo's target directory, where what is expensive to make is kept.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is target/tmp").to_owned()
}

/// A new directory on the disk that the target directory is on: `/tmp` may be in memory.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("test-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A new directory in memory if there is such a place that keeps `user.*` attributes (Linux 6.6), else on disk.
pub fn scratch_in_memory() -> tempfile::TempDir {
    let Ok(directory) = tempfile::Builder::new().prefix("reroot-test-").tempdir_in("/dev/shm") else {
        return scratch();
    };
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(directory.path(), "user.test", b"1", flags) {
        Ok(()) => directory,
        Err(_) => scratch(),
    }
}
