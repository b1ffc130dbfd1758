//! Running programs of the machine: each in a process group of its own, with a time limit, its output told line by line.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use cap_std_ext::cmdext::CapStdExtCommandExt;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};

use super::checks::{self, CheckKind, Found, Program};
use super::greenboot::{self, Aftermath};
use crate::env::Env;
use crate::names::printable;
use crate::ops::Context;
use crate::progress::{Event, Reporter};

/// What is told of a program's output; the rest is read and dropped.
const OUTPUT_LIMIT: usize = 64 << 10;
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long the output may still come when the program has ended: a program that left its group may keep the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a check turned out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    pub name: String,
    /// From the root.
    pub file: String,
    pub kind: CheckKind,
    pub passed: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub duration_ms: u64,
}

/// Runs the required checks, all of them, and then the wanted ones unless a required one has failed.
pub fn checks(context: &Context<'_>) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for kind in [CheckKind::Required, CheckKind::Wanted] {
        if failure(&results).is_some() {
            break;
        }
        let found = checks::find(kind, context.env).unwrap_or_else(|error| {
            // What cannot be looked for has not passed.
            results.push(CheckResult {
                name: "looking for checks".into(),
                file: String::new(),
                kind,
                passed: false,
                reason: Some(error.to_string()),
                duration_ms: 0,
            });
            Found::default()
        });
        for warning in &found.warnings {
            warn(context.reporter, &format!("{warning}, and is not run as a health check"));
        }
        results.extend(found.programs.iter().map(|program| check(program, kind, context)));
    }
    results
}

/// The first required check that failed, and why; how many more there are.
pub fn failure(results: &[CheckResult]) -> Option<String> {
    let mut failed = results.iter().filter(|r| r.kind == CheckKind::Required && !r.passed);
    let first = failed.next()?;
    let more = match failed.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("{}: {}{more}", first.name, first.reason.as_deref().unwrap_or("failed")))
}

fn check(program: &Program, kind: CheckKind, context: &Context<'_>) -> CheckResult {
    let start = Instant::now();
    let ended = run(program, context.env, context.config.health_check_timeout, context.reporter);
    let reason = ended.err();
    if let Some(reason) = &reason {
        let kind = if kind == CheckKind::Required { "required" } else { "wanted" };
        warn(context.reporter, &format!("the {kind} health check {} failed: {reason}", program.file));
    }
    CheckResult {
        name: program.name.clone(),
        file: program.file.clone(),
        kind,
        passed: reason.is_none(),
        reason,
        duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Runs what greenboot runs after the checks. How it turns out is only said.
pub fn aftermath(which: Aftermath, context: &Context<'_>) {
    match greenboot::aftermath(which, context.env) {
        Err(error) => warn(context.reporter, &error.to_string()),
        Ok(programs) => {
            for program in programs {
                let limit = context.config.health_check_timeout;
                if let Err(reason) = run(&program, context.env, limit, context.reporter) {
                    warn(context.reporter, &format!("{} failed: {reason}", program.file));
                }
            }
        }
    }
}

fn warn(reporter: &dyn Reporter, text: &str) {
    reporter.report(Event::Warning(text));
}

/// Runs a program to its end and whatever it started in its process group; an error says in a few words why it did not end
/// well.
fn run(program: &Program, env: &Env, limit: Duration, reporter: &dyn Reporter) -> Result<(), String> {
    reporter.report(Event::Phase(&format!("running {}", program.file)));
    let cannot = |error: io::Error| format!("it cannot be started: {error}");
    let (mut child, pipe) = start(program, env).map_err(cannot)?;
    let (sender, chunks) = sync_channel(4);
    std::thread::spawn(move || read(pipe, |chunk| sender.send(chunk).is_ok()));
    let mut output = Output { of: &program.name, line: Vec::new(), told: 0, reporter };
    let deadline = Instant::now() + limit;
    let is_late = loop {
        output.take(next(&chunks, POLL).unwrap_or_default());
        match has_ended(&child) {
            Ok(true) => break false,
            Ok(false) if Instant::now() >= deadline => break true,
            Ok(false) => {}
            Err(error) => {
                end(&mut child);
                return Err(format!("waiting for it: {error}"));
            }
        }
    };
    let status = end(&mut child);
    let last_words = Instant::now() + LAST_WORDS;
    while let Some(chunk) = next(&chunks, last_words.saturating_duration_since(Instant::now())) {
        output.take(chunk);
    }
    output.end();
    match status {
        _ if is_late => Err(format!("it had not ended after {}", seconds(limit))),
        Some(status) => describe(status),
        None => Err("it is not known how it ended".into()),
    }
}

fn start(program: &Program, env: &Env) -> io::Result<(Child, io::PipeReader)> {
    use std::os::unix::process::CommandExt;
    let (reader, writer) = io::pipe()?;
    let mut command = match program.by_shell {
        true => Command::new("bash"),
        false => Command::new(&program.path),
    };
    if program.by_shell {
        // As greenboot: a redirection must not overwrite a file by accident.
        command.arg("-C").arg(&program.path);
    }
    command
        .env_clear()
        .envs(&env.vars)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        // This thread waits for it; when we are killed, it goes as well.
        .lifecycle_bind_to_parent_thread();
    Ok((command.spawn()?, reader))
}

/// Reads until nobody writes or wants any more.
fn read(mut pipe: io::PipeReader, mut send: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) if send(buffer[..length].to_vec()) => {}
            Ok(_) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// What comes within a time; `None` when nothing does.
fn next(chunks: &Receiver<Vec<u8>>, within: Duration) -> Option<Vec<u8>> {
    match chunks.recv_timeout(within) {
        Ok(chunk) => Some(chunk),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            // The program has closed its output and goes on.
            std::thread::sleep(within.min(POLL));
            None
        }
    }
}

/// Leaves it unreaped: as long as it is, its number is that of its process group and of nothing else.
fn has_ended(child: &Child) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(rustix::process::waitid(WaitId::Pid(pid(child)?), options)?.is_some())
}

fn pid(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Kills what is left of the group and reaps the program.
fn end(child: &mut Child) -> Option<ExitStatus> {
    if let Ok(group) = pid(child) {
        // It may have left nobody behind.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    child.wait().ok()
}

fn describe(status: ExitStatus) -> Result<(), String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, Some(signal)) => Err(format!("killed by signal {signal}")),
        (None, None) => Err(status.to_string()),
    }
}

fn seconds(limit: Duration) -> String {
    match limit.as_secs() {
        1 => "1 second".into(),
        seconds => format!("{seconds} seconds"),
    }
}

/// Tells the lines of a program's output.
struct Output<'a> {
    of: &'a str,
    line: Vec<u8>,
    told: usize,
    reporter: &'a dyn Reporter,
}

impl Output<'_> {
    fn take(&mut self, chunk: Vec<u8>) {
        for byte in chunk {
            if self.told >= OUTPUT_LIMIT {
                return;
            }
            self.told += 1;
            match byte {
                b'\n' => self.tell(),
                byte => self.line.push(byte),
            }
            if self.told == OUTPUT_LIMIT {
                self.tell();
                self.line = b"(the rest of its output is left out)".into();
                self.tell();
            }
        }
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let line = printable(&std::mem::take(&mut self.line));
        self.reporter.report(Event::Output { of: self.of, line: &line });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own checks")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;
    use std::time::SystemTime;

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Reporter for Lines {
        fn report(&self, event: Event<'_>) {
            if let Event::Output { of, line } = event {
                self.0.lock().unwrap().push(format!("{of}: {line}"));
            }
        }
    }

    fn ran(script: &str, limit: Duration) -> (Result<(), String>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let mut env = Env::fixed(dir.path(), SystemTime::UNIX_EPOCH);
        env.vars.insert("PATH".into(), "/usr/bin:/bin".into());
        env.vars.insert("WORD".into(), "of ours".into());
        let program =
            Program { name: "c".into(), file: "/c".into(), path, by_shell: !script.starts_with('#') };
        let lines = Lines::default();
        let result = run(&program, &env, limit, &lines);
        (result, lines.0.into_inner().unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_check_is_judged_by_how_it_ends() {
        for (script, expected) in [
            ("#!/bin/sh\nexit 0", Ok(())),
            ("#!/bin/sh\nexit 3", Err("exit status 3")),
            ("#!/bin/sh\nkill -9 $$", Err("killed by signal 9")),
            ("[[ x = x ]] && exit 4", Err("exit status 4")),
            ("#!/bin/sh\nexec >&- 2>&-; sleep 0.2; exit 5", Err("exit status 5")),
            ("#!/bin/sh\nread line && exit 6; exit 7", Err("exit status 7")),
        ] {
            assert_eq!(ran(script, LONG).0, expected.map_err(String::from), "{script}");
        }
        let (result, _) = ran("#!/nonexistent/shell\n", LONG);
        assert!(result.unwrap_err().starts_with("it cannot be started: "));
    }

    #[test]
    fn its_output_is_told_line_by_line() {
        let (result, lines) = ran("#!/bin/sh\necho one; echo \"two $WORD\" >&2; printf 'th\\033ree'", LONG);
        assert_eq!(result, Ok(()));
        assert_eq!(lines, ["c: one", "c: two of ours", "c: th\\u{1b}ree"]);
        let (result, lines) = ran("#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x; exit 1", LONG);
        assert_eq!((result, lines.len()), (Err("exit status 1".into()), 2));
        assert_eq!(lines[0].len(), OUTPUT_LIMIT + 3);
    }

    #[test]
    fn a_check_that_hangs_is_ended_with_all_that_it_started() {
        let (result, lines) = ran("#!/bin/sh\nsleep 1000 & echo $!; wait", SHORT);
        assert_eq!(result, Err("it had not ended after 0 seconds".into()));
        assert!(is_gone(&lines[0]), "{lines:?}");
        // One that ignores what it is told, and one that leaves something behind.
        assert!(ran("#!/bin/sh\ntrap '' TERM; sleep 1000", SHORT).0.is_err());
        let start = Instant::now();
        let (result, lines) = ran("#!/bin/sh\nsleep 1000 & echo $!", LONG);
        assert_eq!(result, Ok(()));
        assert!(start.elapsed() < LONG && is_gone(&lines[0]), "{lines:?}");
    }

    /// Dead, or about to be.
    fn is_gone(line: &str) -> bool {
        let pid = line.trim_start_matches("c: ");
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            state.map_or(true, |stat| stat.contains(") Z "))
        })
    }
}
