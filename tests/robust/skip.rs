//! Saying what could not be tested here, by name and with the reason.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Notes that the test `name` did not run: on stderr at once, and as a line of the file that the caller of the
/// tests named in `REROOT_SKIPS`, by default `skips.txt` in the target directory.
pub fn skip(name: &str, reason: &str) {
    note(&format!("SKIP {name}: {reason}"));
    let file = std::env::var_os("REROOT_SKIPS").map_or_else(|| target().join("skips.txt"), PathBuf::from);
    let written = OpenOptions::new().append(true).create(true).open(&file);
    let written = written.and_then(|mut file| writeln!(file, "{name}: {reason}"));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// Writes a line past the test harness, which would keep it to itself.
pub fn note(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn target() -> &'static Path {
    // Cargo's own place for files of tests is `tmp` in the target directory.
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}
