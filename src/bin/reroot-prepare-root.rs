//! `reroot-prepare-root`: makes the deployment that the kernel argument `reroot=` names the root file system. For the
//! initramfs; sets up and hands over to [`reroot::initramfs`].

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use reroot::initramfs::{Outcome, run};

const PROGRAM: &str = "reroot-prepare-root";
const USAGE: &str = "\
Mount the deployment that the kernel argument reroot= names as the root file system (for the initramfs)

Usage: reroot-prepare-root [SYSROOT]

SYSROOT is where the initramfs has mounted the physical root; by default /sysroot
";

fn main() -> ExitCode {
    let started = Instant::now();
    let mut arguments = std::env::args_os().skip(1);
    let sysroot = arguments.next().unwrap_or_else(|| "/sysroot".into());
    // A closed stdout or stderr is no reason not to boot.
    match sysroot.to_str() {
        Some("-h" | "--help") => {
            let _ = stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Some("-V" | "--version") => {
            let _ = writeln!(stdout(), "{PROGRAM} {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        text if arguments.next().is_some() || text.is_some_and(|t| t.is_empty() || t.starts_with('-')) => {
            let _ = stderr().write_all(USAGE.as_bytes());
            return ExitCode::from(2);
        }
        _ => {}
    }
    match run(&PathBuf::from(&sysroot), started) {
        Ok(Outcome::NotAsked) => {}
        Ok(Outcome::AlreadyDone(target)) => {
            let _ = writeln!(stdout(), "{PROGRAM}: {} is already mounted", target.name());
        }
        Ok(Outcome::Mounted { target, millis }) => {
            let line = format!("{PROGRAM}: mounted {} ({target}) in {millis} ms", target.name());
            let _ = writeln!(stdout(), "{line}");
            to_kernel_log(&line);
        }
        Err(failure) => {
            // Not to the kernel's log as well: that is on the same console.
            let _ = writeln!(stderr(), "{PROGRAM}: {failure}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Leaves a line where the running system's journal finds it. A service of systemd has the journal already.
fn to_kernel_log(line: &str) {
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        return;
    }
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    if let Ok(kmsg) = open("/dev/kmsg", flags, Mode::empty()) {
        // What a log does not take must not stop a boot.
        let _ = rustix::io::write(kmsg, format!("<6>{line}\n").as_bytes());
    }
}
