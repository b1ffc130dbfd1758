//! Results on stdout: JSON for programs, lines for people.

use std::io::{self, Write};

use serde::Serialize;

use crate::ops::{Error, Result};

/// Where a command's result goes, in which form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// For commands whose report depends on who reads it.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Shows a report: as one JSON object, or as `text` makes it.
    pub(super) fn show<T: Serialize>(self, report: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let text = if self.json {
            let mut json = serde_json::to_string_pretty(report).map_err(|e| Error::bug(e.to_string()))?;
            json.push('\n');
            json
        } else {
            text(report)
        };
        print(&text)
    }
}

/// Writes to stdout. A reader who has seen enough is no error.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("writing to stdout")(error)),
        _ => Ok(()),
    }
}
