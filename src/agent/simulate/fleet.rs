//! All hosts in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::host::{Host, next_random, next_share};
use super::locks::Locks;
use super::outcome::{Outcome, ReleaseOutcome, Sample};
use super::plan::Plan;
use super::releases::{Number, Releases, digest, number};
use crate::agent::config::{Follow, Settings};
use crate::agent::graph::{self, Request};
use crate::agent::machine::{
    Agent, Ask, Closed, Event, Found, Rules, Source, State, Target, World, later, step,
};
use crate::ops::Downgrade;

/// Nobody's number: of what happens outside the hosts.
const NOBODY: u32 = u32::MAX;
/// Until a server answers.
const ANSWER: Duration = Duration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Of the host's own: its time has come, or it has come up.
    Wake,
    Fetched,
    Up(Number),
    Publish,
    Stop(Number),
}

/// Simulates a plan with the settings that the hosts have.
pub fn simulate(plan: &Plan, settings: &Settings) -> Outcome {
    let mut fleet = Fleet::new(plan, settings);
    let end = plan.start + SignedDuration::from_hours(24 * i64::from(plan.days));
    while let Some(Reverse((time, _, host, what))) = fleet.queue.pop() {
        if time > end {
            break;
        }
        fleet.sample_until(time);
        fleet.now = time;
        fleet.happen(host, what);
    }
    fleet.sample_until(end + SignedDuration::from_nanos(1));
    fleet.outcome()
}

struct Fleet<'a> {
    plan: &'a Plan,
    settings: &'a Settings,
    rules: Rules,
    hosts: Vec<Host>,
    releases: Releases,
    locks: Locks,
    queue: BinaryHeap<Reverse<(Timestamp, u64, u32, What)>>,
    /// Events at the same time keep the order in which they were made.
    sequence: u64,
    now: Timestamp,
    /// Whether the window is closed, and until when that is so.
    closed: (Option<Closed>, Timestamp),
    next_sample: Timestamp,
    running: Vec<u32>,
    failed: u32,
    down: u32,
    outcome: Outcome,
}

impl<'a> Fleet<'a> {
    fn new(plan: &'a Plan, settings: &'a Settings) -> Self {
        let mut random = plan.seed;
        let host = |_| Host {
            agent: Agent {
                state: State::Waiting { until: plan.start, reason: String::new() },
                ..Agent::default()
            },
            is_broken: next_share(&mut random) < plan.broken,
            wariness: settings.identity.rollout_wariness.unwrap_or_else(|| next_share(&mut random)),
            random: next_random(&mut random),
            ..Host::default()
        };
        let hosts: Vec<_> = (0..plan.hosts).map(host).collect();
        let versions = ["1"].into_iter().chain(plan.releases.iter().map(|release| release.version.as_str()));
        let times = std::iter::once(Duration::ZERO).chain(plan.releases.iter().map(|release| release.at));
        let releases = versions.zip(times).map(|(version, at)| ReleaseOutcome {
            version: version.into(),
            running: 0,
            failed: 0,
            published: later(plan.start, at),
            first: None,
            last: None,
            stopped: None,
        });
        let outcome = Outcome {
            hosts: plan.hosts,
            releases: releases.collect(),
            curve: Vec::new(),
            most_down: 0,
            most_locked: None,
            locks_left: 0,
            reboots: 0,
            checks: 0,
        };
        let mut running = vec![0; plan.releases.len() + 1];
        running[0] = plan.hosts;
        let mut fleet = Self {
            plan,
            settings,
            rules: Rules::from(settings),
            hosts,
            releases: Releases::new(plan),
            locks: Locks::new(plan.lock),
            queue: BinaryHeap::new(),
            sequence: 0,
            now: plan.start,
            closed: (None, plan.start),
            next_sample: plan.start,
            running,
            failed: 0,
            down: 0,
            outcome,
        };
        for release in &plan.releases {
            fleet.push(later(plan.start, release.at), NOBODY, What::Publish);
        }
        for host in 0..plan.hosts {
            fleet.push(plan.start, host, What::Wake);
        }
        fleet
    }

    fn push(&mut self, time: Timestamp, host: u32, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse((time, self.sequence, host, what)));
    }

    fn happen(&mut self, host: u32, what: What) {
        match what {
            What::Wake => self.step(host, Event::Tick),
            What::Fetched => {
                let State::Staging { target } = &self.host(host).agent.state else { return };
                let fetched = number(&target.digest);
                self.host(host).staged = Some(fetched);
                self.step(host, Event::Done);
            }
            What::Up(booted) => self.come_up(host, booted),
            What::Publish => drop(self.releases.publish()),
            What::Stop(number) => {
                if !self.releases.is_stopped(number) {
                    self.releases.stop(number);
                    self.outcome.releases[number].stopped = Some(self.now);
                }
            }
        }
    }

    fn host(&mut self, host: u32) -> &mut Host {
        &mut self.hosts[host as usize]
    }

    /// An event, and everything that follows at once.
    fn step(&mut self, host: u32, event: Event) {
        let mut event = event;
        loop {
            let closed = self.closed();
            let (now, rules) = (self.now, &self.rules);
            let this = &mut self.hosts[host as usize];
            let world = World {
                now,
                rules,
                closed,
                hold: None,
                dice: next_random(&mut this.random),
                retry_after: None,
            };
            let next = step(std::mem::take(&mut this.agent), event, &world);
            this.agent = next.agent;
            match next.ask {
                Some(ask) => match self.answer(host, ask) {
                    Some(answer) => event = answer,
                    None => return,
                },
                None => {
                    let until = self.host(host).agent.state.until().expect("what asks nothing rests");
                    // What is due now is so a moment later.
                    let until = until.max(later(self.now, ANSWER));
                    return self.push(until, host, What::Wake);
                }
            }
        }
    }

    /// What the world says; nothing when that takes its time.
    fn answer(&mut self, host: u32, ask: Ask) -> Option<Event> {
        Some(match ask {
            Ask::Observe => Event::Observed(self.host(host).observation()),
            Ask::ReleaseLock => {
                self.locks.release(host);
                Event::Done
            }
            Ask::MayUpdate | Ask::MayReboot(_) => Event::Done,
            Ask::Check => {
                self.outcome.checks += 1;
                Event::Found(self.check(host))
            }
            Ask::Stage(_) => {
                let (download, ask) = (self.plan.download, self.now);
                // Some lines are slower than others.
                let share = 0.5 + next_share(&mut self.host(host).random);
                self.push(later(ask, download.mul_f64(share)), host, What::Fetched);
                return None;
            }
            Ask::Unstage => {
                self.host(host).staged = None;
                Event::Done
            }
            Ask::Users => {
                let busy = self.plan.busy;
                match next_share(&mut self.host(host).random) < busy {
                    true => Event::No("somebody".into()),
                    false => Event::Done,
                }
            }
            Ask::AcquireLock => match self.locks.acquire(host) {
                true => Event::Done,
                false => Event::No("full".into()),
            },
            Ask::Finalize(target) => {
                self.go_down(host, number(&target.digest));
                return None;
            }
        })
    }

    fn check(&self, host: u32) -> Found {
        let host = &self.hosts[host as usize];
        let (newest, source) = match &self.settings.follow {
            Follow::Graph(_) => {
                let denied = (0..64).filter(|number| host.has_failed(*number)).map(digest).collect();
                let request = Request {
                    booted: &[digest(host.booted)],
                    denied: &denied,
                    downgrade: Downgrade::Refuse,
                    wariness: host.wariness,
                    now: self.now.as_second() as u64,
                };
                match graph::choose(&self.releases.graph, &request).outcome {
                    graph::Outcome::Update(target) => (number(&target.digest), Source::Digest),
                    _ => return Found::Nothing,
                }
            }
            _ => (self.releases.newest(), Source::Tag),
        };
        if newest == host.booted {
            return Found::Nothing;
        }
        if host.has_failed(newest) || newest < host.booted {
            return Found::Refused("it failed here, or is older".into());
        }
        Found::Update(Target { digest: digest(newest), version: None, source })
    }

    fn go_down(&mut self, host: u32, to: Number) {
        self.outcome.reboots += 1;
        self.down += 1;
        self.outcome.most_down = self.outcome.most_down.max(self.down);
        let is_bad = self.releases.plan(to).is_some_and(|plan| plan.bad) || self.host(host).is_broken;
        let (reboot, tries) = (self.plan.reboot, self.plan.tries);
        let this = self.host(host);
        this.is_down = true;
        this.staged = None;
        // Each try, and the one before it again.
        let (booted, time) = if is_bad { (this.booted, reboot * (tries + 1)) } else { (to, reboot) };
        if is_bad {
            this.failed |= 1 << to;
            self.failed += 1;
            let outcome = &mut self.outcome.releases[to];
            outcome.failed += 1;
            let share = f64::from(outcome.failed) / f64::from(self.plan.hosts);
            let plan = self.releases.plan(to);
            if let Some(plan) = plan.filter(|plan| plan.stop_at.is_some_and(|limit| share >= limit)) {
                let stop = later(self.now, plan.stop_after);
                self.push(stop, NOBODY, What::Stop(to));
            }
        }
        self.push(later(self.now, time), host, What::Up(booted));
    }

    fn come_up(&mut self, host: u32, booted: Number) {
        self.down -= 1;
        let now = self.now;
        let this = self.host(host);
        this.is_down = false;
        let before = std::mem::replace(&mut this.booted, booted);
        this.agent.state = State::Waiting { until: now, reason: String::new() };
        if before != booted {
            self.running[before] -= 1;
            self.running[booted] += 1;
            let outcome = &mut self.outcome.releases[booted];
            outcome.first.get_or_insert(now);
            outcome.last = Some(now);
        }
        self.step(host, Event::Tick);
    }

    /// The window, looked at anew only when it opens or closes.
    fn closed(&mut self) -> Option<Closed> {
        let Some(calendar) = &self.settings.reboot.calendar else { return None };
        if self.now >= self.closed.1 {
            self.closed = match calendar.closes(self.now) {
                Some(closes) => (None, closes),
                None => {
                    let opens = calendar.next_open(self.now);
                    (Some(Closed { until: opens }), opens.unwrap_or(Timestamp::MAX))
                }
            };
        }
        self.closed.0
    }

    fn sample_until(&mut self, time: Timestamp) {
        while self.next_sample < time {
            self.outcome.curve.push(Sample {
                time: self.next_sample,
                running: self.running.clone(),
                failed: self.failed,
                down: self.down,
            });
            self.next_sample += HOUR;
        }
    }

    fn outcome(mut self) -> Outcome {
        for (release, running) in self.outcome.releases.iter_mut().zip(&self.running) {
            release.running = *running;
        }
        if self.rules.lock {
            let down = self.hosts.iter().filter(|host| host.is_down).count();
            self.outcome.most_locked = Some(self.locks.most as u32);
            self.outcome.locks_left = self.locks.held().saturating_sub(down) as u32;
        }
        self.outcome
    }
}
