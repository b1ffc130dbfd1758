//! Where the agent is, and what it remembers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::world::{Policy, Rules};
use crate::digest::Sha256;

/// An agent at rest, or waiting for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agent {
    pub state: State,
    pub memory: Memory,
}

/// An image that is to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Of the manifest; nothing else is installed under this name.
    pub digest: Sha256,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub source: Source,
}

/// Where in the repository that is followed an image is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Under the tag that is followed.
    Tag,
    /// Under another tag, which is followed from then on.
    NewTag(String),
    /// By its digest; the tag that is followed stays.
    Digest,
    /// By the digest of an index that names it; the tag that is followed stays.
    Index(Sha256),
}

/// What the agent does or waits for. A state without a time waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// Looks at the machine.
    #[default]
    Begin,
    /// Begins again later: the booted deployment has not proved itself yet, and nothing is given back or begun before that;
    /// or the machine could not be looked at.
    Waiting { until: Timestamp, reason: String },
    /// Gives back a lock that may be held, by an earlier boot or for an update that is none any more.
    Releasing { failures: u32 },
    /// The lock server did not take it back.
    ReleaseFailed { until: Timestamp, failures: u32 },
    /// Steady.
    Idle { until: Timestamp },
    /// Asks the machine's hooks whether this is a good time to use the network.
    Asking,
    /// Looks for an update. What is staged meanwhile stays so unless something else is to be installed.
    Checking,
    /// There is an update, and staging it failed.
    Available { target: Target, until: Timestamp },
    /// Fetches and stages it.
    Staging { target: Target },
    /// It waits for its turn; `checked_at` is when the last check for a newer one ended.
    Staged { target: Target, until: Timestamp, checked_at: Timestamp, blocker: Option<Blocker> },
    /// Drops what it has staged: it is not offered any more.
    Dropping,
    /// Looks at the machine once more.
    Looking { target: Target, checked_at: Timestamp },
    /// Asks the machine's hooks whether this is a good time for a reboot.
    AskingHook { target: Target, checked_at: Timestamp },
    /// Asks who would be disturbed.
    AskingUsers { target: Target, checked_at: Timestamp },
    /// Asks the fleet's lock server.
    Locking { target: Target, checked_at: Timestamp },
    /// Gives the lock back, because something came in the way.
    Unlocking { target: Target, checked_at: Timestamp, blocker: Blocker },
    /// Lets the shutdown finalize it, and asks for the reboot.
    Finalizing { target: Target, checked_at: Timestamp },
    /// The machine goes down.
    Rebooting { target: Target, until: Timestamp },
}

impl State {
    /// When there is something to do again; nothing while an answer is waited for.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { until, .. }
            | Self::ReleaseFailed { until, .. }
            | Self::Idle { until }
            | Self::Available { until, .. }
            | Self::Staged { until, .. }
            | Self::Rebooting { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// For status and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Waiting { .. } => "waiting",
            Self::Releasing { .. } | Self::ReleaseFailed { .. } => "releasing-lock",
            Self::Idle { .. } => "idle",
            Self::Asking | Self::Checking => "checking",
            Self::Available { .. } => "available",
            Self::Staging { .. } => "staging",
            Self::Staged { .. } | Self::Dropping | Self::Looking { .. } => "staged",
            Self::AskingHook { .. } | Self::AskingUsers { .. } => "staged",
            Self::Locking { .. } | Self::Unlocking { .. } => "locking",
            Self::Finalizing { .. } => "finalizing",
            Self::Rebooting { .. } => "rebooting",
        }
    }

    /// All names that [`Self::name`] gives.
    pub const NAMES: [&'static str; 11] = [
        "begin",
        "waiting",
        "releasing-lock",
        "idle",
        "checking",
        "available",
        "staging",
        "staged",
        "locking",
        "finalizing",
        "rebooting",
    ];

    /// The update that this is about.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Available { target, .. }
            | Self::Staging { target }
            | Self::Staged { target, .. }
            | Self::Looking { target, .. }
            | Self::AskingHook { target, .. }
            | Self::AskingUsers { target, .. }
            | Self::Locking { target, .. }
            | Self::Unlocking { target, .. }
            | Self::Finalizing { target, .. }
            | Self::Rebooting { target, .. } => Some(target),
            _ => None,
        }
    }
}

/// Why a staged update is not applied now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "reason")]
pub enum Blocker {
    /// By policy the next reboot applies it, and no reboot is asked for.
    Policy,
    /// Somebody holds updates back.
    Hold(String),
    /// No maintenance window is open.
    Window,
    /// There is nothing good to fall back to.
    Rollback(String),
    /// A hook of the machine says no.
    Hook(String),
    /// People or programs would be disturbed.
    Users(String),
    /// Others of the fleet have their turn, or the lock server does not answer.
    Lock(String),
    /// The reboot failed.
    Reboot(String),
}

impl Blocker {
    /// For metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Hold(_) => "hold",
            Self::Window => "window",
            Self::Rollback(_) => "rollback",
            Self::Hook(_) => "hook",
            Self::Users(_) => "users",
            Self::Lock(_) => "lock",
            Self::Reboot(_) => "reboot",
        }
    }
}

/// What must not be lost when the agent ends, kept in `/var/lib/reroot/agent.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// What the agent has staged, until it is booted or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staged: Option<Target>,
    /// What it began to stage: if that is staged when the agent comes back, it was this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staging: Option<Target>,
    /// What could not be staged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// How often people were given more time for the staged update.
    pub postponed: u32,
    /// A lock may be held: set before it is asked for, and taken off when it was given back.
    pub lock: bool,
    /// Somebody wants the update now, whatever the window says.
    pub urgent: bool,
}

impl Memory {
    /// How far the agent may go.
    pub fn policy(&self, rules: &Rules) -> Policy {
        if self.urgent { Policy::Apply } else { rules.policy }
    }
}

/// How often staging an image has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    pub digest: Sha256,
    pub failures: u32,
}
