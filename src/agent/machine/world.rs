//! What the agent knows when it decides.

use std::time::Duration;

use jiff::Timestamp;

pub use crate::agent::config::Policy;

/// The settings that decisions follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub policy: Policy,
    /// Between two checks.
    pub interval: Duration,
    /// Up to so much is added to each interval.
    pub jitter: Duration,
    /// Whether a lock is asked for before a reboot.
    pub lock: bool,
    /// How long people get each time that they would be disturbed.
    pub postpone: Duration,
    /// How often; 0: nobody is asked.
    pub postpone_times: u32,
}

/// Everything that a step needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World<'a> {
    pub now: Timestamp,
    pub rules: &'a Rules,
    /// No maintenance window is open.
    pub closed: Option<Closed>,
    pub hold: Option<&'a Hold>,
    /// A random number, for jitter.
    pub dice: u64,
    /// When the server that has just answered wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// No maintenance window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// When the next one opens; never when there is none.
    pub until: Option<Timestamp>,
}

/// Somebody holds updates back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Until somebody releases it.
    pub until: Option<Timestamp>,
    pub reason: String,
}

impl Hold {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A time after another; the last one when there is none.
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = jiff::SignedDuration::try_from(by).unwrap_or(jiff::SignedDuration::MAX);
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

impl World<'_> {
    /// A time from now.
    pub fn after(&self, wait: Duration) -> Timestamp {
        later(self.now, wait)
    }

    /// A time from now, and a random part of `jitter` later.
    pub fn after_about(&self, wait: Duration, jitter: Duration) -> Timestamp {
        let most = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.after(wait.saturating_add(Duration::from_millis(self.dice % most)))
    }

    /// The next regular check.
    pub fn next_check(&self) -> Timestamp {
        self.after_about(self.rules.interval, self.rules.jitter)
    }

    /// Who holds updates back.
    pub fn held(&self) -> Option<&Hold> {
        self.hold.filter(|hold| hold.holds(self.now))
    }
}
