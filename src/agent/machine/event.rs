//! What happens to the agent, and what it wants.

use std::borrow::Cow;

use jiff::Timestamp;

use super::state::{Agent, Target};
use crate::digest::Sha256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Configuration or hold have changed: what waits looks again.
    Changed,
    /// Somebody wants an update now.
    UpdateNow,
    /// The answer to [`Ask::Observe`].
    Observed(Observation),
    /// The answer to [`Ask::Check`].
    Found(Found),
    /// What was asked for is done, or may be done.
    Done,
    /// The answer no, with why.
    No(String),
    /// What was asked for failed.
    Failed(Failure),
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A word, for metrics.
    pub kind: Cow<'static, str>,
    /// For people.
    pub reason: String,
}

/// What the machine is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The image that runs.
    pub booted: Sha256,
    /// Whether the booted deployment still has to prove itself.
    pub on_trial: bool,
    /// The image that is staged, whoever did it.
    pub staged: Option<Sha256>,
    /// Why a reboot to something new would have nothing to fall back to.
    pub no_rollback: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// What runs is what is to run.
    Nothing,
    /// Something is offered that is not taken: it failed here, or is older.
    Refused(String),
    /// Too young: not to be taken before this time.
    TooYoung(Timestamp),
    /// Something else is staged by somebody.
    Foreign(String),
    Update(Target),
}

/// What [`super::step()`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub agent: Agent,
    /// To be answered by exactly one event; until then the agent waits.
    pub ask: Option<Ask>,
    /// Nobody waits for these.
    pub tell: Vec<Tell>,
}

/// What is to be done, with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Look at the machine: [`Event::Observed`].
    Observe,
    /// Give the lock back: [`Event::Done`].
    ReleaseLock,
    /// May the network be used: [`Event::Done`] or [`Event::No`].
    MayUpdate,
    /// What is there to install: [`Event::Found`].
    Check,
    /// Fetch and stage it: [`Event::Done`], or [`Event::No`] when something else is staged.
    Stage(Target),
    /// Drop what the agent has staged: [`Event::Done`].
    Unstage,
    /// May the machine reboot: [`Event::Done`] or [`Event::No`].
    MayReboot(Target),
    /// Would somebody be disturbed: [`Event::Done`], or [`Event::No`] with who.
    Users,
    /// Ask for the lock: [`Event::Done`] or [`Event::No`].
    AcquireLock,
    /// Let the shutdown finalize it, and reboot: [`Event::Done`] when the machine goes down.
    Finalize(Target),
}

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// To the people at the terminals: a reboot is near. `left`: how often it will still be postponed.
    Announce { target: Target, left: u32 },
    /// An update was installed and runs.
    Updated(Target),
    /// What was staged is not there any more, and does not run.
    Lost(Target),
    /// No more attempts are made to stage it.
    GivenUp(Target),
}
