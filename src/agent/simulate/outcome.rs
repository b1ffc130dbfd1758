//! What came of a simulated fleet.

use jiff::Timestamp;
use serde::Serialize;

/// A whole month, and its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub hosts: u32,
    /// One for each release, that of the start first.
    pub releases: Vec<ReleaseOutcome>,
    /// One for each hour.
    pub curve: Vec<Sample>,
    /// The most hosts that were down at the same time.
    pub most_down: u32,
    /// The most that held the lock at the same time, in one group; absent when no lock is asked for.
    pub most_locked: Option<u32>,
    /// Locks that were held at the end by hosts that were up.
    pub locks_left: u32,
    pub reboots: u64,
    pub checks: u64,
}

/// A release and the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseOutcome {
    pub version: String,
    /// Hosts that run it at the end.
    pub running: u32,
    /// Hosts on which it did not boot.
    pub failed: u32,
    /// When it came out, when the first and the last host that it arrived at ran it, and when it was stopped.
    pub published: Timestamp,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub stopped: Option<Timestamp>,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    pub time: Timestamp,
    /// Hosts that run each release.
    pub running: Vec<u32>,
    /// Hosts on which a release has failed so far.
    pub failed: u32,
    pub down: u32,
}
