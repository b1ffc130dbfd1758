use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::digest::Sha256;

mod traps;

const HOUR: Duration = Duration::from_secs(3600);

fn digest(n: u8) -> Sha256 {
    Sha256([n; 32])
}

fn target(n: u8) -> Target {
    Target { digest: digest(n), version: Some(n.to_string()), source: Source::Tag }
}

fn rules() -> Rules {
    Rules {
        policy: Policy::Apply,
        interval: HOUR,
        jitter: Duration::from_secs(600),
        lock: true,
        postpone: Duration::from_secs(60),
        postpone_times: 2,
    }
}

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn calm() -> Observation {
    Observation { booted: digest(1), on_trial: false, staged: None, no_rollback: None }
}

fn staged(n: u8) -> Event {
    Event::Observed(Observation { staged: Some(digest(n)), ..calm() })
}

fn failed(reason: &str) -> Event {
    Event::Failed(Failure { kind: "test".into(), reason: reason.into() })
}

fn found(n: u8) -> Event {
    Event::Found(Found::Update(target(n)))
}

/// An agent in a world that a test changes.
struct Host {
    agent: Agent,
    ask: Option<Ask>,
    told: Vec<Tell>,
    now: Timestamp,
    rules: Rules,
    closed: Option<Closed>,
    hold: Option<Hold>,
    retry_after: Option<Duration>,
}

impl Host {
    fn new() -> Self {
        Self {
            agent: Agent::default(),
            ask: None,
            told: Vec::new(),
            now: start(),
            rules: rules(),
            closed: None,
            hold: None,
            retry_after: None,
        }
    }

    /// One that waits for its first check.
    fn idle() -> Self {
        let mut host = Self::new();
        host.wait();
        host.answers([Event::Observed(calm()), Event::Done]);
        host
    }

    /// One that has staged version 2, and was asked nothing about it yet but to look.
    fn staged() -> Self {
        let mut host = Self::idle();
        host.wait();
        host.answers([Event::Done, found(2), Event::Done]);
        assert_eq!(host.ask, Some(Ask::Observe));
        host
    }

    fn step(&mut self, event: Event) {
        let world = World {
            now: self.now,
            rules: &self.rules,
            closed: self.closed,
            hold: self.hold.as_ref(),
            dice: 0,
            retry_after: self.retry_after,
        };
        let next = step(self.agent.clone(), event, &world);
        self.agent = next.agent;
        if next.ask.is_some() {
            self.ask = next.ask;
        } else if self.agent.state.until().is_some() {
            self.ask = None;
        }
        self.told.extend(next.tell);
    }

    fn answers(&mut self, answers: impl IntoIterator<Item = Event>) {
        for answer in answers {
            assert!(self.ask.is_some() || self.agent.state == State::Begin, "{answer:?}: nobody asked");
            self.step(answer);
        }
    }

    /// Lets time pass until there is something to do.
    fn wait(&mut self) {
        if self.agent.state == State::Begin {
            // The loop asks for the first look.
            self.agent.state = State::Waiting { until: self.now, reason: String::new() };
        }
        self.now = self.now.max(self.agent.state.until().expect("it rests"));
        self.step(Event::Tick);
    }

    fn pass(&mut self, time: Duration) {
        self.now += SignedDuration::try_from(time).unwrap();
    }

    fn blocker(&self) -> Option<&Blocker> {
        match &self.agent.state {
            State::Staged { blocker, .. } => blocker.as_ref(),
            state => panic!("not staged: {state:?}"),
        }
    }

    fn rests_for(&self) -> Duration {
        let until = self.agent.state.until().expect("it rests");
        until.duration_since(self.now).try_into().unwrap()
    }
}

#[test]
fn an_update_goes_from_the_check_to_the_reboot() {
    let mut host = Host::new();
    host.wait();
    let mut asked = Vec::new();
    let answers = [
        Event::Observed(calm()),
        Event::Done, // the lock is given back
    ];
    for answer in answers {
        asked.push(host.ask.clone().unwrap());
        host.step(answer);
    }
    host.wait();
    let answers =
        [Event::Done, found(2), Event::Done, staged(2), Event::Done, Event::Done, Event::Done, Event::Done];
    for answer in answers {
        asked.push(host.ask.clone().unwrap());
        host.step(answer);
    }
    assert_eq!(
        asked,
        [
            Ask::Observe,
            Ask::ReleaseLock,
            Ask::MayUpdate,
            Ask::Check,
            Ask::Stage(target(2)),
            Ask::Observe,
            Ask::MayReboot(target(2)),
            Ask::Users,
            Ask::AcquireLock,
            Ask::Finalize(target(2)),
        ]
    );
    assert_eq!(host.agent.state.name(), "rebooting");
    assert!(host.agent.memory.lock && host.agent.memory.staged == Some(target(2)));

    // The same memory in the next boot.
    host.agent.state = State::Begin;
    host.wait();
    host.answers([Event::Observed(Observation { booted: digest(2), ..calm() })]);
    assert_eq!(
        (host.ask.as_ref(), &host.told[..]),
        (Some(&Ask::ReleaseLock), &[Tell::Updated(target(2))][..])
    );
    host.answers([Event::Done]);
    assert_eq!((host.agent.state.name(), host.agent.memory), ("idle", Memory::default()));
}

#[test]
fn nothing_begins_before_the_boot_has_proved_itself_and_the_lock_is_back() {
    let mut host = Host::new();
    host.wait();
    host.answers([Event::Observed(Observation { on_trial: true, ..calm() })]);
    assert_eq!((host.agent.state.name(), host.rests_for()), ("waiting", Duration::from_secs(60)));
    host.wait();
    host.answers([Event::Observed(calm())]);
    let mut waits = Vec::new();
    for _ in 0..9 {
        host.answers([failed("no route")]);
        waits.push(host.rests_for().as_secs() / 60);
        host.wait();
        assert_eq!(host.ask, Some(Ask::ReleaseLock));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    host.answers([Event::Done]);
    assert_eq!(host.agent.state.name(), "idle");
}

#[test]
fn what_speaks_against_a_reboot_is_waited_for() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    for (answers, blocker, wait) in [
        (vec![staged(2), Event::No("backup".into())], Blocker::Hook("backup".into()), minutes(5)),
        (vec![staged(2), Event::Done, Event::No("ada".into())], Blocker::Users("ada".into()), minutes(1)),
        (
            vec![staged(2), Event::Done, Event::Done, Event::No("full".into())],
            Blocker::Lock("full".into()),
            minutes(1),
        ),
        // Nobody knows whether it was granted: it is given back.
        (
            vec![staged(2), Event::Done, Event::Done, failed("timeout"), Event::Done],
            Blocker::Lock("timeout".into()),
            minutes(1),
        ),
        (
            vec![staged(2), Event::Done, Event::Done, Event::Done, failed("systemctl"), Event::Done],
            Blocker::Reboot("systemctl".into()),
            minutes(5),
        ),
        (
            vec![Event::Observed(Observation {
                staged: Some(digest(2)),
                no_rollback: Some("none is good".into()),
                ..calm()
            })],
            Blocker::Rollback("none is good".into()),
            minutes(5),
        ),
    ] {
        let mut host = Host::staged();
        host.answers(answers);
        assert_eq!((host.blocker(), host.rests_for()), (Some(&blocker), wait));
        assert!(!host.agent.memory.lock, "{blocker:?}");
        host.wait();
        assert_eq!(host.ask, Some(Ask::Observe), "{blocker:?}");
    }
}

#[test]
fn people_are_given_time_a_bounded_number_of_times_and_told_at_the_beginning_and_the_end() {
    let mut host = Host::staged();
    for left in [1, 0] {
        host.answers([staged(2), Event::Done, Event::No("ada".into())]);
        assert_eq!(host.told.pop(), Some(Tell::Announce { target: target(2), left }));
        host.wait();
    }
    host.answers([staged(2), Event::Done]);
    assert_eq!(host.ask, Some(Ask::AcquireLock));
    // A window that closes gives them their time anew.
    host.closed = Some(Closed { until: None });
    host.answers([Event::Done]);
    assert_eq!(host.ask, Some(Ask::ReleaseLock));
    host.answers([Event::Done]);
    assert_eq!((host.blocker(), host.agent.memory.postponed), (Some(&Blocker::Window), 0));
}

#[test]
fn a_window_is_waited_for_and_newer_images_meanwhile_looked_for() {
    let mut host = Host::staged();
    host.closed = Some(Closed { until: Some(host.now + SignedDuration::from_mins(90)) });
    host.answers([staged(2), Event::Done, Event::Done, Event::Done, Event::Done]);
    assert_eq!((host.blocker(), host.rests_for()), (Some(&Blocker::Window), HOUR));
    host.wait();
    assert_eq!(host.ask, Some(Ask::MayUpdate));
    host.answers([Event::Done, found(2)]);
    assert_eq!((host.blocker(), host.rests_for()), (Some(&Blocker::Window), HOUR / 2));
    host.wait();
    host.closed = None;
    host.step(Event::Changed);
    assert_eq!(host.ask, Some(Ask::Observe));

    // A newer one takes its place, and what is offered no more goes.
    let mut host = Host::staged();
    host.closed = Some(Closed { until: None });
    host.answers([staged(2), Event::Done, Event::Done, Event::Done, Event::Done]);
    host.wait();
    host.answers([Event::Done, found(3)]);
    assert_eq!(host.ask, Some(Ask::Stage(target(3))));
    host.answers([Event::Done]);
    assert_eq!(host.agent.memory.staged, Some(target(3)));
    host.wait();
    host.answers([Event::Done, Event::Found(Found::Nothing)]);
    assert_eq!(host.ask, Some(Ask::Unstage));
    host.answers([Event::Done]);
    assert_eq!((host.agent.state.name(), host.agent.memory.staged), ("idle", None));
}

#[test]
fn the_policy_says_how_far_it_goes() {
    for (policy, last) in [
        (Policy::Check, None),
        (Policy::Stage, Some(Ask::Stage(target(2)))),
        (Policy::Apply, Some(Ask::Stage(target(2)))),
    ] {
        let mut host = Host::idle();
        host.rules.policy = policy;
        host.wait();
        host.answers([Event::Done, found(2)]);
        assert_eq!(host.ask, last, "{policy:?}");
        if policy == Policy::Stage {
            host.answers([Event::Done]);
            assert_eq!(host.blocker(), Some(&Blocker::Policy));
        }
    }
    let mut host = Host::idle();
    host.rules.policy = Policy::None;
    host.wait();
    assert_eq!((host.ask.as_ref(), host.agent.state.name()), (None, "idle"));
    assert!(host.rests_for() >= HOUR);
}

#[test]
fn a_hold_keeps_updates_away_until_it_ends() {
    let mut host = Host::idle();
    host.hold = Some(Hold { until: None, reason: "release week".into() });
    host.wait();
    host.answers([Event::Done, found(2)]);
    assert_eq!(host.agent.state.name(), "idle");

    let mut host = Host::staged();
    let until = host.now + SignedDuration::from_mins(30);
    host.hold = Some(Hold { until: Some(until), reason: "release week".into() });
    host.answers([staged(2), Event::Done, Event::Done, Event::Done, Event::Done]);
    assert_eq!(host.blocker(), Some(&Blocker::Hold("release week".into())));
    assert_eq!(host.agent.state.until(), Some(until));
    host.wait();
    assert_eq!(host.ask, Some(Ask::Observe));
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_within_reason() {
    for (wanted, rests) in [(None, 60), (Some(7), 60), (Some(600), 600), (Some(1 << 40), 3600)] {
        let mut host = Host::idle();
        host.rules.interval = Duration::from_secs(60);
        host.wait();
        host.answers([Event::Done]);
        host.retry_after = wanted.map(Duration::from_secs);
        host.answers([failed("429")]);
        assert_eq!((host.agent.state.name(), host.rests_for().as_secs()), ("idle", rests));
    }
}

#[test]
fn what_is_changed_is_looked_at_soon() {
    let mut host = Host::idle();
    host.wait();
    host.answers([Event::Done, Event::Found(Found::Nothing)]);
    assert!(host.rests_for() >= HOUR);
    host.step(Event::Changed);
    assert!(host.rests_for() <= host.rules.jitter);
}

#[test]
fn update_now_waits_for_no_window_and_no_person_but_for_its_turn() {
    let mut host = Host::idle();
    host.closed = Some(Closed { until: None });
    host.rules.policy = Policy::Check;
    host.step(Event::UpdateNow);
    host.answers([Event::Done, found(2), Event::Done, staged(2), Event::Done]);
    assert_eq!(host.ask, Some(Ask::AcquireLock));
    host.answers([Event::Done]);
    assert_eq!(host.ask, Some(Ask::Finalize(target(2))));
    // Nothing to do: the next update waits again.
    let mut host = Host::idle();
    host.step(Event::UpdateNow);
    host.answers([Event::Done, Event::Found(Found::Nothing)]);
    assert!(!host.agent.memory.urgent);
}

#[test]
fn what_cannot_be_staged_is_tried_less_and_less_often_and_given_up() {
    let mut host = Host::idle();
    host.wait();
    for attempt in 1..=12 {
        host.answers([Event::Done, found(2), failed("no space")]);
        let expected = if attempt < 12 { "available" } else { "idle" };
        assert_eq!(host.agent.state.name(), expected);
        host.wait();
    }
    assert_eq!(host.told, [Tell::GivenUp(target(2))]);
    host.answers([Event::Done, found(2)]);
    assert_eq!(host.agent.state.name(), "idle");
    host.wait();
    host.answers([Event::Done, found(3)]);
    assert_eq!(host.ask, Some(Ask::Stage(target(3))));
}

#[test]
fn what_others_stage_is_left_alone() {
    let mut host = Host::idle();
    host.wait();
    host.answers([Event::Done, Event::Found(Found::Foreign("deployment 7".into()))]);
    assert_eq!(host.agent.state.name(), "idle");
    // In place of ours, or ours taken away.
    for seen in [Some(digest(9)), None] {
        let mut host = Host::staged();
        host.answers([Event::Observed(Observation { staged: seen, ..calm() })]);
        assert_eq!((host.agent.state.name(), &host.told[..]), ("idle", &[Tell::Lost(target(2))][..]));
        assert_eq!(host.agent.memory.staged, None);
    }
}

#[test]
fn an_agent_that_ends_in_the_middle_goes_on_where_the_machine_is() {
    let begin = |memory: Memory, seen: Observation| {
        let mut host = Host::new();
        host.agent.memory = memory;
        host.wait();
        host.answers([Event::Observed(seen), Event::Done]);
        host
    };
    let on_disk = |n| Observation { staged: Some(digest(n)), ..calm() };
    // Killed after the staging, before it knew: it is ours.
    let host = begin(Memory { staging: Some(target(2)), ..Memory::default() }, on_disk(2));
    assert_eq!((host.ask, host.agent.memory.staged), (Some(Ask::Observe), Some(target(2))));
    // Killed before: nothing is staged.
    let host = begin(Memory { staging: Some(target(2)), ..Memory::default() }, calm());
    assert_eq!((host.agent.state.name(), host.told), ("idle", vec![]));
    // It did not boot, or fell back.
    let host = begin(Memory { staged: Some(target(2)), postponed: 2, ..Memory::default() }, calm());
    assert_eq!((host.agent.state.name(), host.told), ("idle", vec![Tell::Lost(target(2))]));
    // The lock of another boot goes back also where none is configured any more.
    let mut host = Host::new();
    (host.rules.lock, host.agent.memory.lock) = (false, true);
    host.wait();
    host.answers([Event::Observed(calm())]);
    assert_eq!(host.ask, Some(Ask::ReleaseLock));
}

#[test]
fn a_clock_that_is_set_stops_nothing() {
    let year = Duration::from_secs(366 * 86400);
    for back in [false, true] {
        let mut host = Host::idle();
        host.now = if back { start() - SignedDuration::try_from(year).unwrap() } else { start() };
        if !back {
            host.pass(year);
        }
        host.step(Event::Tick);
        assert_eq!(host.ask, Some(Ask::MayUpdate), "back: {back}");
        host.answers([Event::Done, found(2), Event::Done, staged(2), Event::No("x".into())]);
        host.now = start();
        host.step(Event::Tick);
        assert!(host.ask.is_some(), "back: {back}");
    }
}
