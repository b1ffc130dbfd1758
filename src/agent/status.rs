//! What the agent says of itself: `/run/reroot/agent/status.json`, for `reroot agent status`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::machine::{Agent, Attempts, Blocker, Hold, State, Target};
use super::runtime;
use crate::env::Env;
use crate::fsx::{self, Dir};
use crate::ops::{Error, Result};
use crate::sysroot::{parse_state, print_state};

const FILE: &str = "status.json";
const LIMIT: u64 = 1 << 20;
const VERSION: u32 = 1;

/// What the agent does and waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub version: u32,
    /// One of [`State::NAMES`].
    pub state: String,
    /// When it came to this state.
    pub since: Timestamp,
    /// When it does something next; absent while it is busy.
    pub until: Option<Timestamp>,
    /// The update that it is about, or that was found and is not to be installed.
    pub target: Option<Target>,
    /// What keeps it from a reboot.
    pub blocker: Option<BlockerReport>,
    /// What it does by itself.
    pub policy: String,
    /// Where updates come from, and when the machine may reboot: in words.
    pub follows: String,
    pub reboots: String,
    pub last_check: Option<LastCheck>,
    /// The last error, until the same thing has worked.
    pub problem: Option<String>,
    /// Why the configuration is not in use.
    pub configuration_problem: Option<String>,
    /// What runs has no future, and why.
    pub dead_end: Option<String>,
    pub lock_held: bool,
    pub urgent: bool,
    /// How often people were given more time.
    pub postponed: u32,
    pub attempts: Option<Attempts>,
}

/// Why a staged update is not applied now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockerReport {
    /// `policy`, `hold`, `window`, `rollback`, `hook`, `users`, `lock` or `reboot`.
    pub by: String,
    pub reason: Option<String>,
}

/// The last time that it looked for updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastCheck {
    pub time: Timestamp,
    /// What came of it, in words.
    pub result: String,
}

/// What `reroot agent status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    pub version: u32,
    pub running: bool,
    /// Of the agent that runs, or that ran last in this boot.
    pub agent: Option<Report>,
    pub hold: Option<HoldReport>,
}

/// Who holds updates back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldReport {
    pub until: Option<Timestamp>,
    pub reason: String,
}

impl From<&Hold> for HoldReport {
    fn from(hold: &Hold) -> Self {
        Self { until: hold.until, reason: hold.reason.clone() }
    }
}

impl From<&Blocker> for BlockerReport {
    fn from(blocker: &Blocker) -> Self {
        let reason = match blocker {
            Blocker::Policy | Blocker::Window => None,
            Blocker::Hold(reason)
            | Blocker::Rollback(reason)
            | Blocker::Hook(reason)
            | Blocker::Users(reason)
            | Blocker::Lock(reason)
            | Blocker::Reboot(reason) => Some(reason.clone()),
        };
        Self { by: blocker.name().into(), reason }
    }
}

impl Report {
    /// Of an agent; everything else about it is filled in by who runs it.
    pub fn new(agent: &Agent, since: Timestamp) -> Self {
        let blocker = match &agent.state {
            State::Staged { blocker, .. } => blocker.as_ref(),
            State::Unlocking { blocker, .. } => Some(blocker),
            _ => None,
        };
        Self {
            version: VERSION,
            state: agent.state.name().into(),
            since,
            until: agent.state.until(),
            target: agent.state.target().or(agent.memory.staged.as_ref()).cloned(),
            blocker: blocker.map(Into::into),
            policy: String::new(),
            follows: String::new(),
            reboots: String::new(),
            last_check: None,
            problem: None,
            configuration_problem: None,
            dead_end: None,
            lock_held: agent.memory.lock,
            urgent: agent.memory.urgent,
            postponed: agent.memory.postponed,
            attempts: agent.memory.attempts.clone(),
        }
    }

    /// In a line.
    pub fn summary(&self) -> String {
        let target = self.target.as_ref().map(super::run::shown);
        let what = match (&target, self.state.as_str()) {
            (Some(target), "idle") => format!("idle; {target} is offered"),
            (Some(target), state) => format!("{state}: {target}"),
            (None, state) => state.to_owned(),
        };
        match &self.blocker {
            Some(blocker) => format!("{what}, waiting: {}", blocker.by),
            None => what,
        }
    }

    /// Replaces what was said before. For readers, not to last: nothing is synced to a disk from `/run`.
    pub fn write(&self, directory: &Dir) -> Result<()> {
        fsx::write_atomic(directory, FILE, &print_state(self), 0o644)
            .map_err(Error::io(format!("writing {FILE} of the agent")))
    }
}

/// Takes the report away: nobody runs any more.
pub fn remove(directory: &Dir) -> Result<()> {
    fsx::remove_file(directory, FILE).map(drop).map_err(Error::io(format!("removing {FILE} of the agent")))
}

/// Looks whether an agent runs and what it says.
pub fn status(env: &Env) -> Result<AgentStatus> {
    let bytes = match runtime::open(env)? {
        Some(directory) => {
            fsx::read_limited(&directory, FILE, LIMIT).map_err(Error::io("reading the agent's status"))?
        }
        None => None,
    };
    let agent = bytes.map(|bytes| parse_state(&bytes, "/run/reroot/agent/status.json")).transpose()?;
    let now = Timestamp::try_from(env.now()).unwrap_or(Timestamp::UNIX_EPOCH);
    let hold = super::store::hold(env)?.filter(|hold| hold.holds(now));
    Ok(AgentStatus {
        version: VERSION,
        running: runtime::is_running(env)?,
        agent,
        hold: hold.as_ref().map(Into::into),
    })
}
