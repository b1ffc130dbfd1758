//! Progress: bars on a terminal, lines elsewhere, JSON lines for programs, nothing when asked to be quiet.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::FromRawFd;
use std::sync::Mutex;

use serde::Serialize;

use super::args::Global;
use super::format;
use crate::ops::{Error, Result};
use crate::progress::{Event, Reporter};

mod bars;

/// The reporter that the arguments ask for.
pub(super) fn reporter(global: &Global) -> Result<Box<dyn Reporter>> {
    let mut all: Vec<Box<dyn Reporter>> = Vec::new();
    if let Some(fd) = global.progress_fd {
        all.push(Box::new(JsonLines::open(fd)?));
    }
    if global.quiet {
        all.push(Box::new(WarningsOnly));
    } else if std::io::stderr().is_terminal() {
        all.push(Box::new(bars::Bars::default()));
    } else {
        all.push(Box::new(Lines));
    }
    Ok(Box::new(All(all)))
}

struct All(Vec<Box<dyn Reporter>>);

impl Reporter for All {
    fn report(&self, event: Event<'_>) {
        self.0.iter().for_each(|reporter| reporter.report(event));
    }
}

/// A line on stderr. When stderr is gone nobody wants progress any more.
fn line(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn warning(text: &str) -> String {
    let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
    format!("{style}warning:{style:#} {text}")
}

fn output(of: &str, text: &str) -> String {
    format!("{of}: {text}")
}

/// One line for each step, as a journal wants them.
struct Lines;

impl Reporter for Lines {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::Phase(text) => line(text),
            Event::PullPlanned { layers_to_fetch, layers_present, bytes_to_fetch } => {
                line(&planned(layers_to_fetch, layers_present, bytes_to_fetch));
            }
            Event::LayerDone { index, new_bytes, shared_bytes } => line(&format!(
                "layer {}: {} new, {} shared",
                index + 1,
                format::bytes(new_bytes),
                format::bytes(shared_bytes)
            )),
            Event::Output { of, line: text } => line(&output(of, text)),
            Event::Warning(text) => line(&warning(text)),
            Event::LayerStarted { .. } | Event::LayerProgress { .. } => {}
        }
    }
}

fn planned(fetch: usize, present: usize, bytes: u64) -> String {
    match (fetch, present) {
        (0, present) => format!("all {} are in the store", format::count(present as u64, "layer")),
        (fetch, present) => format!(
            "fetching {} ({}), {present} in the store",
            format::count(fetch as u64, "layer"),
            format::bytes(bytes)
        ),
    }
}

struct WarningsOnly;

impl Reporter for WarningsOnly {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            line(&warning(text));
        }
    }
}

/// One JSON object a line on a descriptor that the caller opened.
struct JsonLines(Mutex<File>);

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Line<'a> {
    Phase { text: &'a str },
    PullPlanned { layers_to_fetch: usize, layers_present: usize, bytes_to_fetch: u64 },
    LayerStarted { index: usize, digest: &'a str, size: u64 },
    LayerProgress { index: usize, position: u64 },
    LayerDone { index: usize, new_bytes: u64, shared_bytes: u64 },
    Output { of: &'a str, text: &'a str },
    Warning { text: &'a str },
}

impl JsonLines {
    fn open(fd: i32) -> Result<Self> {
        let error = |e| Error::invalid(format!("--progress-fd {fd}: {e}"));
        if fd < 3 {
            return Err(error("0, 1 and 2 are stdin, stdout and stderr".to_owned()));
        }
        // Helpers for credentials have no business with it.
        if rustix::io::fcntl_setfd(borrow(fd), rustix::io::FdFlags::CLOEXEC).is_err() {
            return Err(error("no such descriptor is open".to_owned()));
        }
        #[expect(unsafe_code, reason = "a descriptor that the caller hands over by number has no owner yet")]
        // SAFETY: it is open (just checked), and nothing else in the process uses that number.
        let file = unsafe { File::from_raw_fd(fd) };
        Ok(Self(Mutex::new(file)))
    }
}

#[expect(unsafe_code, reason = "to mark a number that is perhaps no descriptor")]
fn borrow(fd: i32) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: not -1 (checked by the caller), and only used for a call that fails on a closed descriptor.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

impl Reporter for JsonLines {
    fn report(&self, event: Event<'_>) {
        let line = match event {
            Event::Phase(text) => Line::Phase { text },
            Event::PullPlanned { layers_to_fetch, layers_present, bytes_to_fetch } => {
                Line::PullPlanned { layers_to_fetch, layers_present, bytes_to_fetch }
            }
            Event::LayerStarted { index, digest, size } => Line::LayerStarted { index, digest, size },
            Event::LayerProgress { index, position } => Line::LayerProgress { index, position },
            Event::LayerDone { index, new_bytes, shared_bytes } => {
                Line::LayerDone { index, new_bytes, shared_bytes }
            }
            Event::Output { of, line: text } => Line::Output { of, text },
            Event::Warning(text) => Line::Warning { text },
        };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        // A reader that went away does not stop the work.
        let _ = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write_all(&text);
    }
}
