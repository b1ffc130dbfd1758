//! What happened to the deployments of a sysroot.

use jiff::Timestamp;
use serde::Serialize;

use super::Result;
use super::status::timestamp;
use crate::digest::Sha256;
use crate::names::StaterootName;
use crate::progress::{Event, Reporter};
use crate::sysroot::{DeploymentId, EventKind, HistoryEvent, LockedSysroot, Sysroot};

/// The version of the JSON. Keys may be added within a version.
const VERSION: u32 = 1;

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct HistoryOptions {
    /// At most so many, the newest.
    pub limit: Option<usize>,
    /// Of this stateroot alone.
    pub stateroot: Option<StaterootName>,
}

/// What `history --json` prints. The keys are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryReport {
    pub version: u32,
    /// The newest last.
    pub events: Vec<HistoryEntry>,
    /// Lines of the file that cannot be read.
    pub damaged_lines: usize,
    /// Lines that a newer version of the program wrote.
    pub newer_lines: usize,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    pub time: Timestamp,
    pub boot_id: Option<String>,
    pub event: EventKind,
    pub stateroot: StaterootName,
    pub id: DeploymentId,
    pub reference: Option<String>,
    pub digest: Option<Sha256>,
    pub image_version: Option<String>,
    pub reason: Option<String>,
    pub by: Option<String>,
}

impl From<HistoryEvent> for HistoryEntry {
    fn from(event: HistoryEvent) -> Self {
        Self {
            time: timestamp(event.time),
            boot_id: event.boot_id,
            event: event.event,
            stateroot: event.stateroot,
            id: event.id,
            reference: event.reference,
            digest: event.digest,
            image_version: event.image_version,
            reason: event.reason,
            by: event.by,
        }
    }
}

/// Reads the history. Takes no lock and never waits.
pub fn history(sysroot: &Sysroot, options: &HistoryOptions) -> Result<HistoryReport> {
    let history = sysroot.history(None)?;
    let meant = |event: &HistoryEvent| options.stateroot.as_ref().is_none_or(|name| *name == event.stateroot);
    let mut events: Vec<HistoryEntry> =
        history.events.into_iter().filter(meant).map(HistoryEntry::from).collect();
    let surplus = options.limit.map_or(0, |limit| events.len().saturating_sub(limit));
    events.drain(..surplus);
    Ok(HistoryReport { version: VERSION, events, damaged_lines: history.damaged, newer_lines: history.newer })
}

/// Appends an event to the history. A disk that has no room for the line is warned of, and stops nothing: what the event
/// tells of is done.
pub fn note(locked: &LockedSysroot<'_>, event: &HistoryEvent, reporter: &dyn Reporter) {
    if let Err(error) = locked.log(event) {
        reporter.report(Event::Warning(&format!("the history lacks an event ({}): {error}", event.event)));
    }
}
