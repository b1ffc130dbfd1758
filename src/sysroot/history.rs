//! `/reroot/history.jsonl`: what happened to the deployments, one JSON object a line, the newest last. Version 1:
//!
//! ```json
//! {"version":1,"time":1767322800,"bootId":"3b0a5e0e-…","event":"deployed","stateroot":"default","id":7,
//!  "reference":"docker://quay.io/acme/os:stable","digest":"sha256:…","imageVersion":"13.1","reason":"…","by":"anna"}
//! ```
//!
//! It is for people and for what watches the machine: nothing is decided on it. Lines are only ever appended, by whoever
//! holds the exclusive lock, each with one write and on disk before the next step. Beyond [`LIMIT`] the file is renamed to
//! `history.1.jsonl`, in place of the one before, and begun anew. A line that a power cut tore is ended by the next one,
//! and counted by readers like every other line that does not read back; one of a newer version of the program likewise.
//!
//! Events have the order of their lines; the time is only shown.

use std::fmt;
use std::io;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::record::{VERSION, parse_state};
use super::{DeployedImage, DeploymentId, DeploymentKey, Error, LockedSysroot, Result, Sysroot, layout};
use crate::crashpoint;
use crate::digest::Sha256;
use crate::env::Env;
use crate::fsx::{self, Dir};
use crate::names::StaterootName;

pub const FILE: &str = "history.jsonl";
/// What was [`FILE`] before.
pub const OLD_FILE: &str = "history.1.jsonl";
/// Some 15 000 events: years of a machine that is upgraded every day. Read as a whole.
const LIMIT: u64 = 4 << 20;
/// The file and one line more than it may have, with room for what else somebody wrote into it.
const READ_LIMIT: u64 = 4 * LIMIT;
/// An error with all its causes fits; an output that somebody put into it does not.
const REASON_LIMIT: usize = 2000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    Deployed,
    Staged,
    Unstaged,
    Finalized,
    FinalizeFailed,
    Booted,
    RolledBack,
    FellBack,
    MarkedGood,
    MarkedBad,
    CheckFailed,
    Pinned,
    Unpinned,
    Undeployed,
    Pruned,
    SoftRebooted,
    UsrOverlay,
    BootOnce,
    /// Written by a program that knows more of them.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for EventKind {
    /// As it is stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => f.pad(&name),
            _ => Err(fmt::Error),
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEvent {
    pub version: u32,
    /// Seconds since the epoch. Shown to people; nothing is ordered by it.
    pub time: u64,
    /// Of the kernel that ran then; absent where there is none to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    pub event: EventKind,
    /// What it happened to.
    pub stateroot: StaterootName,
    pub id: DeploymentId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_version: Option<String>,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who: the user behind sudo(8), or the part of reroot that did it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl HistoryEvent {
    /// What happens now to a deployment.
    pub fn new(env: &Env, event: EventKind, key: &DeploymentKey) -> Self {
        Self {
            version: VERSION,
            time: env.unix_time(),
            boot_id: env.boot_id(),
            event,
            stateroot: key.stateroot.clone(),
            id: key.id,
            reference: None,
            digest: None,
            image_version: None,
            reason: None,
            by: env.var("SUDO_USER").map(String::from),
        }
    }

    /// Which image the deployment is made of.
    pub fn with_image(mut self, image: &DeployedImage) -> Self {
        self.reference = Some(image.reference.clone());
        self.digest = Some(image.digest);
        self.image_version = image.version.clone();
        self
    }

    /// Why; what is too long is cut.
    pub fn with_reason(mut self, reason: impl fmt::Display) -> Self {
        let mut reason = reason.to_string();
        if reason.len() > REASON_LIMIT {
            reason.truncate(reason.floor_char_boundary(REASON_LIMIT));
            reason.push('…');
        }
        self.reason = Some(reason);
        self
    }

    /// Who did it, when it was nobody who typed a command.
    pub fn with_author(mut self, by: impl Into<String>) -> Self {
        self.by = Some(by.into());
        self
    }

    pub fn key(&self) -> DeploymentKey {
        DeploymentKey { stateroot: self.stateroot.clone(), id: self.id }
    }

    fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("plain data with text keys");
        line.push(b'\n');
        line
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The newest last.
    pub events: Vec<HistoryEvent>,
    /// Lines that are no events: torn by a power cut, or damaged.
    pub damaged: usize,
    /// Lines of newer versions of the program.
    pub newer: usize,
}

impl History {
    /// Adds the lines of a file.
    fn read_lines(&mut self, bytes: &[u8], file: &str) {
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match parse_state(line, file) {
                Ok(event) => self.events.push(event),
                Err(Error::Newer { .. }) => self.newer += 1,
                Err(_) => self.damaged += 1,
            }
        }
    }
}

impl Sysroot {
    /// Reads the newest `limit` events, or all. Lines that cannot be read are counted, wherever they are.
    pub fn history(&self, limit: Option<usize>) -> Result<History> {
        let mut history = History::default();
        for file in [OLD_FILE, FILE] {
            let path = format!("/{}/{file}", layout::REROOT);
            let bytes = fsx::read_limited(self.reroot(), file, READ_LIMIT)
                .map_err(Error::io(format!("reading {path}")))?;
            history.read_lines(&bytes.unwrap_or_default(), &path);
        }
        let surplus = limit.map_or(0, |limit| history.events.len().saturating_sub(limit));
        history.events.drain(..surplus);
        Ok(history)
    }
}

impl LockedSysroot<'_> {
    /// Appends an event. Durable when it returns; an error leaves the history readable.
    pub fn log(&self, event: &HistoryEvent) -> Result<()> {
        append(self.sysroot().reroot(), &event.line(), LIMIT)
            .map_err(Error::io(format!("appending to /{}/{FILE}", layout::REROOT)))
    }
}

fn append(dir: &Dir, line: &[u8], limit: u64) -> io::Result<()> {
    let open = || rustix::fs::openat(dir, FILE, flags(), Mode::RUSR | Mode::WUSR);
    let size_of = |fd: &_| rustix::fs::fstat(fd).map(|stat| stat.st_size as u64);
    let mut file = open()?;
    let mut size = size_of(&file)?;
    if size > 0 && size + line.len() as u64 > limit {
        // Stopped after this, the next event finds no file and makes one.
        fsx::rename(dir, FILE, dir, OLD_FILE)?;
        fsx::sync_dir(dir)?;
        crashpoint!("history.rotated")?;
        file = open()?;
        size = 0;
    }
    let mut bytes = Vec::with_capacity(line.len() + 1);
    if size > 0 && !ends_with_newline(&file, size)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line);
    // In one write, so that a reader sees all of it or nothing; what a full disk cuts off is a torn line like any other.
    let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, &bytes))?;
    if written != bytes.len() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    rustix::fs::fdatasync(&file)?;
    if size == 0 {
        fsx::sync_dir(dir)?;
    }
    crashpoint!("history.appended")
}

fn flags() -> OFlags {
    OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC
}

fn ends_with_newline(file: &impl std::os::fd::AsFd, size: u64) -> io::Result<bool> {
    let mut last = [0];
    Ok(rustix::io::pread(file, &mut last, size - 1)? == 1 && last == *b"\n")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at the files themselves")]
mod tests {
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::super::testing::key;
    use super::*;
    use crate::fsx::lock::Wait;
    use crate::repo::Mode;

    const HISTORY_V1: &str = include_str!("../../fixtures/state/v1/history.jsonl");

    fn env(root: &Path) -> Env {
        Env::fixed(root, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_322_800))
    }

    fn sysroot(root: &Path) -> Sysroot {
        Sysroot::init(root, Mode::BareUser, &env(root)).unwrap()
    }

    fn event(root: &Path, id: u64) -> HistoryEvent {
        HistoryEvent::new(&env(root), EventKind::Pinned, &key("default", id))
    }

    fn ids(history: &History) -> Vec<u64> {
        history.events.iter().map(|e| e.id.get()).collect()
    }

    #[test]
    fn version_1_reads_for_ever() {
        let mut history = History::default();
        history.read_lines(HISTORY_V1.as_bytes(), "history.jsonl");
        assert_eq!((history.damaged, history.newer), (0, 0));
        let [deployed, staged, fell_back] = history.events.as_slice() else { panic!("{history:?}") };
        assert_eq!(
            (&deployed.event, deployed.image_version.as_deref()),
            (&EventKind::Deployed, Some("13.1"))
        );
        assert_eq!(staged.by.as_deref(), Some("anna"));
        assert_eq!(fell_back.boot_id, None);
        assert_eq!(fell_back.event.to_string(), "fell-back");
        let printed: Vec<u8> = history.events.iter().flat_map(HistoryEvent::line).collect();
        assert_eq!(String::from_utf8(printed).unwrap(), HISTORY_V1);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_the_rest_is_read() {
        let mut history = History::default();
        let line = HISTORY_V1.lines().next().unwrap();
        let newer = line.replace("\"version\":1", "\"version\":2");
        let unknown = line.replace("deployed", "sent-to-the-moon");
        let text = format!("{{\"versi\n\n{newer}\n{unknown}\n\u{0}\u{0}\n{line}");
        history.read_lines(text.as_bytes(), "history.jsonl");
        assert_eq!((history.damaged, history.newer, history.events.len()), (2, 1, 2));
        assert_eq!(history.events[0].event, EventKind::Other("sent-to-the-moon".into()));
        assert_eq!(history.events[0].event.to_string(), "sent-to-the-moon");
    }

    #[test]
    fn the_newest_come_last_and_a_torn_line_is_ended() {
        let temp = tempfile::tempdir().unwrap();
        let sysroot = sysroot(temp.path());
        assert_eq!(sysroot.history(None).unwrap(), History::default());
        let locked = sysroot.lock(Wait::No).unwrap();
        for id in 1..=3 {
            locked.log(&event(temp.path(), id)).unwrap();
        }
        assert_eq!(ids(&sysroot.history(Some(2)).unwrap()), [2, 3]);
        let file = temp.path().join("reroot").join(FILE);
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, &text[..text.len() - 10]).unwrap();
        locked.log(&event(temp.path(), 4)).unwrap();
        let history = sysroot.history(None).unwrap();
        assert_eq!((ids(&history), history.damaged), (vec![1, 2, 4], 1));
        // Whole but for its end, a line counts.
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, &text[..text.len() - 1]).unwrap();
        locked.log(&event(temp.path(), 5)).unwrap();
        assert_eq!(ids(&sysroot.history(None).unwrap()), [1, 2, 4, 5]);
    }

    #[test]
    fn one_old_file_is_kept_and_stopped_half_way_nothing_is_lost() {
        let temp = tempfile::tempdir().unwrap();
        let sysroot = sysroot(temp.path());
        let lines: Vec<Vec<u8>> = (1..=6).map(|id| event(temp.path(), id).line()).collect();
        let limit = lines[0].len() as u64 * 2;
        for line in &lines[..5] {
            append(sysroot.reroot(), line, limit).unwrap();
        }
        assert_eq!(ids(&sysroot.history(None).unwrap()), [3, 4, 5]);
        fsx::rename(sysroot.reroot(), FILE, sysroot.reroot(), OLD_FILE).unwrap();
        assert_eq!(ids(&sysroot.history(None).unwrap()), [5]);
        append(sysroot.reroot(), &lines[5], limit).unwrap();
        assert_eq!(ids(&sysroot.history(None).unwrap()), [5, 6]);
    }

    #[test]
    fn a_line_says_who_when_and_in_which_boot() {
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("boot_id"), "3b0a5e0e-7c1c-4d54-9a0e-6f2b9c1d2e3f\n").unwrap();
        let mut env = env(temp.path());
        env.vars.insert("SUDO_USER".into(), "anna".into());
        let event =
            HistoryEvent::new(&env, EventKind::RolledBack, &key("os", 3)).with_reason("ü".repeat(1001));
        assert_eq!(event.boot_id.as_deref(), Some("3b0a5e0e-7c1c-4d54-9a0e-6f2b9c1d2e3f"));
        assert_eq!((event.time, event.by.as_deref()), (1_767_322_800, Some("anna")));
        assert_eq!(event.reason.unwrap(), "ü".repeat(1000) + "…");
    }
}
