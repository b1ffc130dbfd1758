//! What the machine says on its first serial line, where firmware, boot loader, kernel and services write; and what
//! is typed there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub struct Console {
    said: Arc<Mutex<Vec<u8>>>,
    keyboard: ChildStdin,
}

impl Console {
    /// Reads all that comes, in a thread of its own, and keeps a copy in the file.
    pub fn new(keyboard: ChildStdin, mut screen: ChildStdout, copy: &Path) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&said);
        let mut file = File::create(copy).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                shared.lock().unwrap().extend_from_slice(&buffer[..length]);
                // The copy is for people; a full disk is told elsewhere.
                let _ = file.write_all(&buffer[..length]);
            }
        });
        Self { said, keyboard }
    }

    /// All that was said so far, as a person would see it: without the control sequences of terminals.
    pub fn text(&self) -> String {
        plain(&String::from_utf8_lossy(&self.said.lock().unwrap()))
    }

    /// How much was said so far, for [`Console::text_since`].
    pub fn position(&self) -> usize {
        self.said.lock().unwrap().len()
    }

    /// What was said since a position.
    pub fn text_since(&self, position: usize) -> String {
        plain(&String::from_utf8_lossy(&self.said.lock().unwrap()[position..]))
    }

    /// The last lines, for the message of a failure.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(50)..].join("\n")
    }

    pub fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }
}

/// Takes out escape sequences (CSI, OSC and the short ones) and carriage returns.
fn plain(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => match characters.next() {
                Some('[') => while characters.next().is_some_and(|c| !('\x40'..='\x7e').contains(&c)) {},
                Some(']') => {
                    // Ends with BEL or with ESC \.
                    while let Some(c) = characters.next() {
                        if c == '\x07' || c == '\x1b' && characters.next_if_eq(&'\\').is_some() {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' | '\0' => {}
            c => result.push(c),
        }
    }
    result
}

#[test]
fn control_sequences_are_taken_out() {
    assert_eq!(
        plain("\x1b[0;32m[  OK  ]\x1b[0m a\r\n\x1b]0;title\x07b\x1b]3008;x\x1b\\c\x1bcd"),
        "[  OK  ] a\nbcd"
    );
}
