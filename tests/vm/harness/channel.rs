//! Scripts into the machine, their exit codes and output back: over a serial line that nobody else writes to.
//!
//! ```text
//! host                          machine (agent.sh)
//! P                             R BOOT-ID                 is somebody there; also said at the start
//! B ID SECONDS                                            a script that may take so long
//! D BASE64                      …
//! E ID SHA256                   A ID  or  N ID            it runs; or it came damaged and is wanted again
//!                               S ID CODE
//!                               D BASE64 …
//!                               E ID SHA256
//! ```
//!
//! A serial line promises nothing: what comes damaged or not at all is sent again under the same id, and a script
//! runs once for each id. Lines that are none of these are ignored.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A terminal's line may have 4096 bytes.
const LINE: usize = 800;
/// A machine that does not answer a short line for so long is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a script gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// 124 when it took too long.
    pub code: i32,
    /// Both outputs, in the order in which they came.
    pub output: String,
}

#[derive(Debug)]
pub struct Channel {
    to: UnixStream,
    from: Receiver<String>,
    last_id: u64,
}

impl Channel {
    pub fn new(stream: UnixStream) -> Self {
        let to = stream.try_clone().unwrap();
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        Self { to, from, last_id: 0 }
    }

    /// The boot id of the machine, when its agent answers within `patience`.
    pub fn hello(&mut self, patience: Duration) -> Option<String> {
        let end = Instant::now() + patience;
        self.send("P").ok()?;
        while let Some(line) = self.line(end).ok()? {
            if let Some(boot_id) = line.strip_prefix("R ") {
                return Some(boot_id.to_owned());
            }
        }
        None
    }

    /// Runs a script with `sh` and waits for its end; an error says why that cannot be had.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<Ran, String> {
        self.last_id += 1;
        let id = self.last_id;
        let end = Instant::now() + limit + PATIENCE;
        let mut accepted = false;
        while Instant::now() < end {
            self.request(id, script, limit).map_err(|error| format!("the line is broken: {error}"))?;
            let until = if accepted { end } else { end.min(Instant::now() + PATIENCE) };
            match self.answer(id, until, end, &mut accepted)? {
                Some(ran) => return Ok(ran),
                None => continue,
            }
        }
        Err(format!("no answer within {} s", (limit + PATIENCE).as_secs()))
    }

    fn request(&mut self, id: u64, script: &str, limit: Duration) -> std::io::Result<()> {
        self.send(&format!("B {id} {}", limit.as_secs()))?;
        let encoded = STANDARD.encode(script);
        for chunk in encoded.as_bytes().chunks(LINE) {
            self.send(&format!("D {}", str::from_utf8(chunk).expect("base64 is ASCII")))?;
        }
        self.send(&format!("E {id} {}", sha256(script.as_bytes())))
    }

    /// Waits for the output of script `id`; nothing when it has to be asked for again. Once it runs (`accepted`) the
    /// wait is until `end`.
    fn answer(
        &mut self,
        id: u64,
        mut until: Instant,
        end: Instant,
        accepted: &mut bool,
    ) -> Result<Option<Ran>, String> {
        let mut found: Option<(i32, String)> = None;
        while let Some(line) = self.line(until)? {
            let words: Vec<&str> = line.split(' ').collect();
            let ours = words.get(1).is_some_and(|word| *word == id.to_string());
            match (words[0], &mut found) {
                ("N", _) if ours => return Ok(None),
                ("A", _) if ours => {
                    *accepted = true;
                    until = end;
                }
                ("S", _) if ours => {
                    let Some(code) = words.get(2).and_then(|code| code.parse().ok()) else { return Ok(None) };
                    found = Some((code, String::new()));
                }
                ("D", Some((_, encoded))) if words.len() == 2 => encoded.push_str(words[1]),
                ("E", Some((code, encoded))) if ours => {
                    let output = STANDARD.decode(encoded).unwrap_or_default();
                    if words.get(2).is_none_or(|sum| *sum != sha256(&output)) {
                        return Ok(None);
                    }
                    return Ok(Some(Ran {
                        code: *code,
                        output: String::from_utf8_lossy(&output).into_owned(),
                    }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn send(&mut self, line: &str) -> std::io::Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes())
    }

    /// The next line; nothing at `until`, an error when there will be none any more.
    fn line(&mut self, until: Instant) -> Result<Option<String>, String> {
        match self.from.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the machine is gone".into()),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
