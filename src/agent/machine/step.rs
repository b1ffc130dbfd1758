//! The transitions.

use std::time::Duration;

use jiff::Timestamp;

use super::event::{Ask, Event, Failure, Found, Observation, Step, Tell};
use super::state::{Agent, Attempts, Blocker, Memory, State, Target};
use super::world::{Policy, World, later};

/// After so many an image is not tried again until somebody asks for it, or another one is offered.
pub const MOST_ATTEMPTS: u32 = 12;
/// For everything that will be different before long: a boot on trial, a hook's no, somebody else's lock.
const SOON: Duration = Duration::from_secs(60);
const LATER: Duration = Duration::from_secs(300);
/// The longest wait between attempts that fail; and for a machine that was told to go down.
const LONGEST: Duration = Duration::from_secs(3600);

/// What follows from an event. An answer that the state does not wait for changes nothing.
pub fn step(agent: Agent, event: Event, world: &World<'_>) -> Step {
    let mut at = At { memory: agent.memory, tell: Vec::new(), world };
    let (state, ask) = match event {
        Event::Tick if is_due(&agent.state, world) => at.due(agent.state),
        Event::Tick => (agent.state, None),
        Event::Changed => at.changed(agent.state),
        Event::UpdateNow => at.update_now(agent.state),
        answer => at.answered(agent.state, answer),
    };
    Step { agent: Agent { state, memory: at.memory }, ask, tell: at.tell }
}

/// No state waits longer than this; one that seems to was entered before the clock was set back.
fn longest_wait(world: &World<'_>) -> Timestamp {
    world.after(world.rules.interval.saturating_add(world.rules.jitter).saturating_add(LONGEST))
}

fn is_due(state: &State, world: &World<'_>) -> bool {
    state.until().is_some_and(|until| until <= world.now || until > longest_wait(world))
}

type Next = (State, Option<Ask>);

/// A step in the making.
struct At<'a> {
    memory: Memory,
    tell: Vec<Tell>,
    world: &'a World<'a>,
}

impl At<'_> {
    /// The time of a state that rests has come.
    fn due(&mut self, state: State) -> Next {
        match state {
            State::Waiting { .. } => (State::Begin, Some(Ask::Observe)),
            State::ReleaseFailed { failures, .. } => release(failures),
            State::Idle { .. } if self.policy() == Policy::None => self.idle(),
            State::Idle { .. } | State::Available { .. } => (State::Asking, Some(Ask::MayUpdate)),
            State::Staged { target, checked_at, .. } => self.consider(target, checked_at),
            State::Rebooting { target, .. } => {
                let reason = "the machine was told to reboot, and an hour later it still runs".into();
                self.blocked(target, self.world.now, Blocker::Reboot(reason))
            }
            asking => (asking, None),
        }
    }

    fn changed(&mut self, state: State) -> Next {
        match state {
            // Soon, and not all machines that were changed together at once.
            State::Idle { until } => {
                let soon = self.world.after_about(Duration::ZERO, self.world.rules.jitter);
                (State::Idle { until: until.min(soon) }, None)
            }
            state @ (State::Staged { .. } | State::ReleaseFailed { .. }) => self.due(state),
            state => (state, None),
        }
    }

    fn update_now(&mut self, state: State) -> Next {
        self.memory.urgent = true;
        self.memory.attempts = None;
        match state {
            State::Idle { .. } | State::Available { .. } | State::Staged { .. } => {
                (State::Asking, Some(Ask::MayUpdate))
            }
            state => (state, None),
        }
    }

    fn answered(&mut self, state: State, answer: Event) -> Next {
        let now = self.world.now;
        match (state, answer) {
            (State::Begin, Event::Observed(seen)) => self.begun(&seen),
            (State::Begin, Event::Failed(Failure { reason, .. })) => {
                (State::Waiting { until: self.world.after(SOON), reason }, None)
            }
            (State::Releasing { .. }, Event::Done) => {
                self.memory.lock = false;
                self.settle()
            }
            (State::Releasing { failures }, Event::Failed(_)) => {
                let until = self.patient(self.world.after_about(backoff(failures), SOON));
                (State::ReleaseFailed { until, failures: failures.saturating_add(1) }, None)
            }
            (State::Asking, Event::Done) => (State::Checking, Some(Ask::Check)),
            (State::Asking, Event::No(_) | Event::Failed(_)) => self.resume(),
            (State::Checking, Event::Found(found)) => self.found(found),
            (State::Checking, Event::Failed(_)) => self.resume(),
            (State::Staging { target }, Event::Done) => {
                self.memory = Memory {
                    staged: Some(target.clone()),
                    staging: None,
                    attempts: None,
                    postponed: 0,
                    ..self.memory.clone()
                };
                self.consider(target, now)
            }
            (State::Staging { .. }, Event::No(_)) => {
                self.memory.staging = None;
                self.resume()
            }
            (State::Staging { target }, Event::Failed(_)) => self.staging_failed(target),
            (State::Dropping, Event::Done) => {
                self.memory.staged = None;
                self.idle()
            }
            (State::Dropping, Event::Failed(_)) => self.resume(),
            (State::Looking { target, checked_at }, Event::Observed(seen)) => {
                self.looked(target, checked_at, seen)
            }
            (State::Looking { target, checked_at }, Event::Failed(failure)) => {
                self.blocked(target, checked_at, Blocker::Rollback(failure.reason))
            }
            (State::AskingHook { target, checked_at }, Event::Done) => self.ask_users(target, checked_at),
            (State::AskingHook { target, checked_at }, Event::No(reason)) => {
                self.blocked(target, checked_at, Blocker::Hook(reason))
            }
            (State::AskingHook { target, checked_at }, Event::Failed(failure)) => {
                self.blocked(target, checked_at, Blocker::Hook(failure.reason))
            }
            (State::AskingUsers { target, checked_at }, Event::No(who)) => {
                self.postpone(target, checked_at, who)
            }
            // Who is there is not known: that must not keep the update away for ever.
            (State::AskingUsers { target, checked_at }, Event::Done | Event::Failed(_)) => {
                self.lock(target, checked_at)
            }
            (State::Locking { target, checked_at }, Event::Done) => self.finalize(target, checked_at),
            (State::Locking { target, checked_at }, Event::No(reason)) => {
                self.memory.lock = false;
                self.blocked(target, checked_at, Blocker::Lock(reason))
            }
            // It may be ours all the same.
            (State::Locking { target, checked_at }, Event::Failed(failure)) => {
                self.blocked(target, checked_at, Blocker::Lock(failure.reason))
            }
            (State::Unlocking { target, checked_at, blocker }, answer @ (Event::Done | Event::Failed(_))) => {
                self.memory.lock &= answer != Event::Done;
                self.rest(target, checked_at, blocker)
            }
            (State::Finalizing { target, .. }, Event::Done) => {
                (State::Rebooting { target, until: self.world.after(LONGEST) }, None)
            }
            (State::Finalizing { target, checked_at }, Event::Failed(failure)) => {
                self.blocked(target, checked_at, Blocker::Reboot(failure.reason))
            }
            (state, _) => (state, None),
        }
    }

    /// The agent has come up, and sees what became of what it was doing.
    fn begun(&mut self, seen: &Observation) -> Next {
        if seen.on_trial {
            let reason = "the booted deployment has not proved itself yet".into();
            return (State::Waiting { until: self.world.after(SOON), reason }, None);
        }
        let is_staged = |target: &Target| seen.staged == Some(target.digest);
        if let Some(target) = self.memory.staging.take_if(|target| is_staged(target)) {
            self.memory.staged = Some(target);
        }
        match self.memory.staged.take() {
            Some(target) if seen.booted == target.digest => {
                self.memory = Memory { lock: self.memory.lock, ..Memory::default() };
                self.tell.push(Tell::Updated(target));
            }
            Some(target) if is_staged(&target) => self.memory.staged = Some(target),
            Some(target) => {
                self.memory.postponed = 0;
                self.tell.push(Tell::Lost(target));
            }
            None => {}
        }
        if self.world.rules.lock || self.memory.lock { release(0) } else { self.settle() }
    }

    /// Goes on with what is staged, or to the first check.
    fn settle(&mut self) -> Next {
        let now = self.world.now;
        match self.memory.staged.clone() {
            Some(target) => self.consider(target, now),
            None if self.memory.urgent => (State::Idle { until: now }, None),
            // Machines that came up together do not ask together.
            None => {
                let until = self.world.after_about(Duration::ZERO, self.world.rules.jitter);
                (State::Idle { until }, None)
            }
        }
    }

    /// Goes on after a check that brought nothing new.
    fn resume(&mut self) -> Next {
        match self.memory.staged.clone() {
            Some(target) => self.consider(target, self.world.now),
            None => self.idle(),
        }
    }

    /// Nothing is to be done before the next check. A lock is not kept for nothing.
    fn idle(&mut self) -> Next {
        if self.memory.lock {
            return release(0);
        }
        (State::Idle { until: self.patient(self.world.next_check()) }, None)
    }

    fn found(&mut self, found: Found) -> Next {
        match (found, &self.memory.staged) {
            // Staging what is staged lets the next reboot take it, which another policy may have prevented.
            (Found::Update(target), Some(staged))
                if staged.digest == target.digest && self.policy() != Policy::Stage =>
            {
                self.resume()
            }
            (Found::Update(target), _) if self.has_given_up(&target) => self.resume(),
            (Found::Update(target), _) if self.policy() > Policy::Check && self.world.held().is_none() => {
                self.memory.staging = Some(target.clone());
                (State::Staging { target: target.clone() }, Some(Ask::Stage(target)))
            }
            (Found::Update(_) | Found::TooYoung(_), _) => self.resume(),
            // It was taken back.
            (Found::Nothing | Found::Refused(_), Some(_)) => (State::Dropping, Some(Ask::Unstage)),
            (Found::Foreign(_), Some(target)) => {
                self.tell.push(Tell::Lost(target.clone()));
                self.memory.staged = None;
                self.idle()
            }
            (Found::Nothing | Found::Refused(_) | Found::Foreign(_), None) => {
                self.memory.urgent = false;
                self.idle()
            }
        }
    }

    fn has_given_up(&self, target: &Target) -> bool {
        let attempts = self.memory.attempts.as_ref();
        attempts.is_some_and(|known| known.digest == target.digest && known.failures >= MOST_ATTEMPTS)
    }

    fn staging_failed(&mut self, target: Target) -> Next {
        self.memory.staging = None;
        let known = self.memory.attempts.take().filter(|known| known.digest == target.digest);
        let failures = known.map_or(0, |known| known.failures) + 1;
        self.memory.attempts = Some(Attempts { digest: target.digest, failures });
        if failures >= MOST_ATTEMPTS {
            self.memory.urgent = false;
            self.tell.push(Tell::GivenUp(target));
            return self.resume();
        }
        let until = self.world.after_about(backoff(failures), SOON);
        (State::Available { target, until }, None)
    }

    /// What is staged: whether its turn has come.
    fn consider(&mut self, target: Target, checked_at: Timestamp) -> Next {
        if self.policy() == Policy::None {
            let until = self.world.next_check();
            let blocker = Some(Blocker::Policy);
            return (State::Staged { target, until, checked_at: self.world.now, blocker }, None);
        }
        if self.next_check_after(checked_at) <= self.world.now {
            return (State::Asking, Some(Ask::MayUpdate));
        }
        match self.obstacle() {
            Some(blocker) => self.blocked(target, checked_at, blocker),
            None => (State::Looking { target, checked_at }, Some(Ask::Observe)),
        }
    }

    /// What speaks against a reboot and is known without asking anybody.
    fn obstacle(&mut self) -> Option<Blocker> {
        if self.policy() < Policy::Apply {
            return Some(Blocker::Policy);
        }
        if let Some(hold) = self.world.held() {
            return Some(Blocker::Hold(hold.reason.clone()));
        }
        let is_closed = self.world.closed.is_some() && !self.memory.urgent;
        is_closed.then(|| {
            // Next time people get their time anew.
            self.memory.postponed = 0;
            Blocker::Window
        })
    }

    fn looked(&mut self, target: Target, checked_at: Timestamp, seen: Observation) -> Next {
        if seen.staged != Some(target.digest) {
            self.memory.staged = None;
            self.memory.postponed = 0;
            self.tell.push(Tell::Lost(target));
            return self.idle();
        }
        match seen.no_rollback {
            Some(reason) => self.blocked(target, checked_at, Blocker::Rollback(reason)),
            None => {
                let ask = Ask::MayReboot(target.clone());
                (State::AskingHook { target, checked_at }, Some(ask))
            }
        }
    }

    fn ask_users(&mut self, target: Target, checked_at: Timestamp) -> Next {
        if self.memory.urgent || self.memory.postponed >= self.world.rules.postpone_times {
            return self.lock(target, checked_at);
        }
        (State::AskingUsers { target, checked_at }, Some(Ask::Users))
    }

    /// People are told when it begins, and before it ends.
    fn postpone(&mut self, target: Target, checked_at: Timestamp, who: String) -> Next {
        self.memory.postponed += 1;
        let left = self.world.rules.postpone_times.saturating_sub(self.memory.postponed);
        if self.memory.postponed == 1 || left == 0 {
            self.tell.push(Tell::Announce { target: target.clone(), left });
        }
        self.blocked(target, checked_at, Blocker::Users(who))
    }

    fn lock(&mut self, target: Target, checked_at: Timestamp) -> Next {
        if !self.world.rules.lock {
            return self.finalize(target, checked_at);
        }
        self.memory.lock = true;
        (State::Locking { target, checked_at }, Some(Ask::AcquireLock))
    }

    /// The window may have closed while others were asked, and somebody may hold updates back by now.
    fn finalize(&mut self, target: Target, checked_at: Timestamp) -> Next {
        if let Some(blocker) = self.obstacle() {
            return self.blocked(target, checked_at, blocker);
        }
        let ask = Ask::Finalize(target.clone());
        (State::Finalizing { target, checked_at }, Some(ask))
    }

    /// Not now; and nobody else waits for us.
    fn blocked(&mut self, target: Target, checked_at: Timestamp, blocker: Blocker) -> Next {
        match self.memory.lock {
            true => (State::Unlocking { target, checked_at, blocker }, Some(Ask::ReleaseLock)),
            false => self.rest(target, checked_at, blocker),
        }
    }

    fn rest(&mut self, target: Target, checked_at: Timestamp, blocker: Blocker) -> Next {
        let world = self.world;
        let ends = match &blocker {
            Blocker::Policy => None,
            Blocker::Hold(_) => world.held().and_then(|hold| hold.until),
            Blocker::Window => world.closed.and_then(|closed| closed.until),
            Blocker::Users(_) => Some(world.after(world.rules.postpone)),
            Blocker::Rollback(_) | Blocker::Hook(_) | Blocker::Reboot(_) => Some(world.after(LATER)),
            Blocker::Lock(_) => Some(self.patient(world.after_about(SOON, LATER))),
        };
        let check = self.next_check_after(checked_at);
        let until = ends.map_or(check, |ends| ends.min(check));
        (State::Staged { target, until, checked_at, blocker: Some(blocker) }, None)
    }

    /// A time before which nothing newer is looked for; now when the clock was set back.
    fn next_check_after(&self, checked_at: Timestamp) -> Timestamp {
        match checked_at > self.world.now {
            true => self.world.now,
            false => later(checked_at, self.world.rules.interval),
        }
    }

    /// Not before the server wants to be asked again, within reason.
    fn patient(&self, until: Timestamp) -> Timestamp {
        let wanted = self.world.retry_after.map(|wait| self.world.after(wait.min(LONGEST)));
        wanted.map_or(until, |wanted| until.max(wanted))
    }

    fn policy(&self) -> Policy {
        self.memory.policy(self.world.rules)
    }
}

fn release(failures: u32) -> Next {
    (State::Releasing { failures }, Some(Ask::ReleaseLock))
}

/// Twice as long each time, up to an hour.
fn backoff(failures: u32) -> Duration {
    SOON.saturating_mul(1 << failures.min(10)).min(LONGEST)
}
