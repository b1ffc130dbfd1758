//! Running a program with a time limit: in a process group of its own, which ends with it.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use cap_std_ext::cmdext::CapStdExtCommandExt;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::names::printable;

/// What is told of a program's output; the rest is read and dropped.
const OUTPUT_LIMIT: usize = 64 << 10;
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long the output may still come when the program has ended: a program that left its group may keep the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs a program to its end and whatever it started in its process group, without input and in `/`; an error says in a few
/// words why it did not end well. `take` gets what it prints, errors included, in pieces.
pub fn run(command: Command, limit: Duration, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    let cannot = |error: io::Error| format!("it cannot be started: {error}");
    let (mut child, pipe) = start(command).map_err(cannot)?;
    let (sender, chunks) = sync_channel(4);
    std::thread::spawn(move || read(pipe, |chunk| sender.send(chunk).is_ok()));
    let deadline = Instant::now() + limit;
    let is_late = loop {
        take(&next(&chunks, POLL).unwrap_or_default());
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
        take(&chunk);
    }
    match status {
        _ if is_late => Err(format!("it had not ended after {}", seconds(limit))),
        Some(status) => describe(status),
        None => Err("it is not known how it ended".into()),
    }
}

/// Cuts a program's output into lines that may be shown; past a limit the rest is left out.
pub struct Lines<F: FnMut(&str)> {
    tell: F,
    line: Vec<u8>,
    told: usize,
}

impl<F: FnMut(&str)> Lines<F> {
    pub fn new(tell: F) -> Self {
        Self { tell, line: Vec::new(), told: 0 }
    }

    pub fn take(&mut self, chunk: &[u8]) {
        for byte in chunk {
            if self.told >= OUTPUT_LIMIT {
                return;
            }
            self.told += 1;
            match byte {
                b'\n' => self.tell(),
                byte => self.line.push(*byte),
            }
            if self.told == OUTPUT_LIMIT {
                self.tell();
                self.line = b"(the rest of its output is left out)".into();
                self.tell();
            }
        }
    }

    /// Nothing follows: the last line may have no end.
    pub fn end(mut self) {
        if !self.line.is_empty() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let line = printable(&std::mem::take(&mut self.line));
        (self.tell)(&line);
    }
}

fn start(mut command: Command) -> io::Result<(Child, io::PipeReader)> {
    use std::os::unix::process::CommandExt;
    let (reader, writer) = io::pipe()?;
    command
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str, limit: Duration) -> (Result<(), String>, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut told = Vec::new();
        let mut lines = Lines::new(|line: &str| told.push(line.into()));
        let result = run(command, limit, |chunk| lines.take(chunk));
        lines.end();
        (result, told)
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_program_is_judged_by_how_it_ends() {
        for (script, expected) in [
            ("exit 0", Ok(())),
            ("exit 3", Err("exit status 3")),
            ("kill -9 $$", Err("killed by signal 9")),
            ("exec >&- 2>&-; sleep 0.2; exit 5", Err("exit status 5")),
            ("read line && exit 6; exit 7", Err("exit status 7")),
            ("[ \"$PWD\" = / ] || exit 8", Ok(())),
        ] {
            assert_eq!(ran(script, LONG).0, expected.map_err(String::from), "{script}");
        }
        let missing = run(Command::new("/nonexistent/program"), LONG, |_| {});
        assert!(missing.unwrap_err().starts_with("it cannot be started: "));
    }

    #[test]
    fn its_output_comes_line_by_line() {
        let (result, lines) = ran("echo one; echo two >&2; printf 'th\\033ree'", LONG);
        assert_eq!(result, Ok(()));
        assert_eq!(lines, ["one", "two", "th\\u{1b}ree"]);
        let (result, lines) = ran("head -c 5000000 /dev/zero | tr '\\0' x; exit 1", LONG);
        assert_eq!((result, lines.len()), (Err("exit status 1".into()), 2));
        assert_eq!(lines[0].len(), OUTPUT_LIMIT);
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let (result, lines) = ran("sleep 1000 & echo $!; wait", SHORT);
        assert_eq!(result, Err("it had not ended after 0 seconds".into()));
        assert!(is_gone(&lines[0]), "{lines:?}");
        // One that ignores what it is told, and one that leaves something behind.
        assert!(ran("trap '' TERM; sleep 1000", SHORT).0.is_err());
        let start = Instant::now();
        let (result, lines) = ran("sleep 1000 & echo $!", LONG);
        assert_eq!(result, Ok(()));
        assert!(start.elapsed() < LONG && is_gone(&lines[0]), "{lines:?}");
    }

    /// Dead, or about to be.
    #[expect(clippy::disallowed_methods, reason = "the test looks at processes")]
    fn is_gone(pid: &str) -> bool {
        (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            state.map_or(true, |stat| stat.contains(") Z "))
        })
    }
}
