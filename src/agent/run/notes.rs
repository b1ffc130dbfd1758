//! What people and programs get to see of the agent.

use std::sync::Arc;

use jiff::Timestamp;

use crate::agent::config::{Follow, Settings};
use crate::agent::effects::{Answer, Seen, Setup};
use crate::agent::facts::Facts;
use crate::agent::graph::{MOTD, motd};
use crate::agent::journal::{Milestone, note};
use crate::agent::machine::{Agent, Ask, Blocker, Event, Found, Policy, State, Target};
use crate::agent::metrics::{self, Metrics};
use crate::agent::runtime::Runtime;
use crate::agent::status::{self, LastCheck, Report};
use crate::env::Env;
use crate::fsx;
use crate::names::printable;

/// What was said last, and the counters.
pub struct Notes {
    pub metrics: Arc<Metrics>,
    env: Arc<Env>,
    since: Timestamp,
    state: &'static str,
    last_check: Option<LastCheck>,
    offered: Option<Target>,
    problem: Option<String>,
    configuration_problem: Option<String>,
    dead_end: Option<String>,
    facts: Option<Facts>,
    /// The last report, so that nothing is written twice.
    written: Option<Report>,
}

impl Notes {
    pub fn new(env: &Arc<Env>, now: Timestamp) -> Self {
        let started = u64::try_from(now.as_second()).unwrap_or_default();
        Self {
            metrics: Arc::new(Metrics::new(&State::NAMES, started)),
            env: Arc::clone(env),
            since: now,
            state: "",
            last_check: None,
            offered: None,
            problem: None,
            configuration_problem: None,
            dead_end: None,
            facts: None,
            written: None,
        }
    }

    /// The configuration was read, or has a mistake.
    pub fn configured(&mut self, problem: Option<String>, setup: Option<&Setup>) {
        self.metrics.configuration(problem.is_none());
        if let Some(problem) = &problem
            && self.configuration_problem.as_ref() != Some(problem)
        {
            note(Milestone::Configuration, problem);
        }
        self.configuration_problem = problem;
        let Some(Setup { settings, identity, .. }) = setup else { return };
        self.metrics.updates_enabled(settings.policy > Policy::Check);
        self.metrics.rollout_wariness(identity.wariness());
        let minutes =
            settings.reboot.calendar.as_ref().map_or(7 * 24 * 60, |calendar| calendar.weekly_minutes());
        self.metrics.window_minutes_per_week(minutes);
    }

    /// Something is about to be asked.
    pub fn asking(&self, ask: &Ask) {
        match ask {
            Ask::Check => self.metrics.check(),
            Ask::Stage(target) => {
                self.metrics.stage();
                note(Milestone::Found, &format!("found {}; fetching and staging it", shown(target)));
            }
            Ask::Finalize(target) => {
                self.metrics.finalize();
                note(Milestone::Reboot, &format!("rebooting into {}", shown(target)));
            }
            _ => {}
        }
    }

    /// It was answered.
    pub fn answered(&mut self, ask: &Ask, answer: &Answer, now: Timestamp) {
        if let Some((operation, result)) = &answer.lock {
            self.metrics.lock_request(*operation, result);
        }
        if let Some(facts) = &answer.facts {
            self.metrics.booted(facts.version.as_deref().unwrap_or_default(), &facts.digest);
            self.metrics.failed_images(facts.failed.len());
            self.facts = Some(facts.clone());
        }
        if let Some(seen) = &answer.seen {
            self.seen(seen, now);
        }
        match (ask, &answer.event) {
            (Ask::Stage(target), Event::Done) => {
                note(Milestone::Staged, &format!("{} is staged", shown(target)));
            }
            (Ask::Finalize(_), Event::Done) => self.metrics.reboot_requested(),
            (Ask::Users, Event::No(_)) => self.metrics.postponed(),
            _ => {}
        }
        let Event::Failed(failure) = &answer.event else {
            // What has worked again is no problem any more.
            self.problem = None;
            return;
        };
        match ask {
            Ask::Check => {
                self.metrics.check_error(&failure.kind);
                self.last_check =
                    Some(LastCheck { time: now, result: format!("failed: {}", failure.reason) });
            }
            Ask::Stage(_) => self.metrics.stage_failure(&failure.kind),
            _ => {}
        }
        let problem = format!("{}: {}", doing(ask), failure.reason);
        if self.problem.as_ref() != Some(&problem) {
            note(Milestone::Failed, &problem);
        }
        self.problem = Some(problem);
    }

    fn seen(&mut self, seen: &Seen, now: Timestamp) {
        self.metrics.checked(u64::try_from(now.as_second()).unwrap_or_default());
        let result = match &seen.found {
            Found::Nothing => "nothing new".into(),
            Found::Refused(reason) => format!("refused: {reason}"),
            Found::TooYoung(at) => format!("too young, waits until {at}"),
            Found::Foreign(reason) => reason.clone(),
            Found::Update(target) => format!("found {}", shown(target)),
        };
        self.offered = seen.offered.clone().filter(|_| seen.found != Found::Nothing);
        self.last_check = Some(LastCheck { time: now, result });
        let Some(graph) = &seen.graph else { return };
        let counts = metrics::Graph {
            nodes: graph.nodes,
            edges: graph.edges,
            ignored_targets: graph.ignored,
            dead_end: graph.dead_end.is_some(),
        };
        self.metrics.graph(counts, &graph.oddities);
        if !graph.known {
            tracing::warn!(target: "reroot::agent", "the graph does not know the image that runs; nothing is updated");
        }
        if self.dead_end != graph.dead_end {
            self.dead_end.clone_from(&graph.dead_end);
            self.tell_dead_end();
        }
    }

    /// People see it when they log in.
    fn tell_dead_end(&self) {
        let version = self.facts.as_ref().and_then(|facts| facts.version.clone()).unwrap_or_default();
        let version = printable(version.as_bytes());
        let (directory, name) = MOTD.rsplit_once('/').expect("a path of two parts");
        let write = || {
            let mut dir = fsx::open_dir(&self.env.config_root)?;
            for part in directory.split('/') {
                dir = fsx::ensure_dir(&dir, part, 0o755)?;
            }
            match &self.dead_end {
                Some(reason) => fsx::write_atomic(&dir, name, motd(&version, reason).as_bytes(), 0o644),
                None => fsx::remove_file(&dir, name).map(drop),
            }
        };
        if let Some(reason) = &self.dead_end {
            note(Milestone::DeadEnd, &format!("no update leads on from version {version}: {reason}"));
        }
        if let Err(error) = write() {
            tracing::warn!(target: "reroot::agent", "writing /{MOTD}: {error}");
        }
    }

    /// The agent has come to another state: its report is written, and systemd told.
    pub fn at(
        &mut self,
        agent: &Agent,
        setup: Option<&Setup>,
        held: bool,
        runtime: &Runtime,
        now: Timestamp,
    ) {
        let report = self.report(agent, setup);
        self.metrics.held(held);
        if self.state != report.state {
            self.state = agent.state.name();
            self.since = now;
            self.metrics.state(self.state, u64::try_from(now.as_second()).unwrap_or_default());
        }
        let report = Report { since: self.since, ..report };
        if let (Some(blocker), State::Staged { blocker: Some(kind), target, .. }) =
            (&report.blocker, &agent.state)
        {
            let before = self.written.as_ref().and_then(|written| written.blocker.as_ref());
            if before != Some(blocker) {
                self.metrics.finalize_blocked(kind.name());
                note(Milestone::Waiting, &format!("{} waits: {}", shown(target), waits_for(kind)));
            }
        }
        if self.written.as_ref() != Some(&report) {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&report.summary())]);
            if let Err(error) = report.write(&runtime.directory) {
                tracing::warn!(target: "reroot::agent", "{error}");
            }
            self.written = Some(report);
        }
        if let Some(path) = setup.and_then(|setup| setup.settings.metrics.textfile.as_ref())
            && let Err(error) = metrics::write_textfile(&self.metrics, path)
        {
            tracing::warn!(target: "reroot::agent", "writing {}: {error}", path.display());
        }
    }

    fn report(&self, agent: &Agent, setup: Option<&Setup>) -> Report {
        let report = Report::new(agent, self.since);
        let settings = setup.map(|setup| &setup.settings);
        let reference = self.facts.as_ref().map_or("what is booted", |facts| &facts.reference);
        Report {
            target: report.target.clone().or_else(|| self.offered.clone()),
            policy: settings.map_or("none", |settings| settings.policy.name()).into(),
            follows: settings.map(|settings| follows(settings, reference)).unwrap_or_default(),
            reboots: settings.map(reboots).unwrap_or_default(),
            last_check: self.last_check.clone(),
            problem: self.problem.clone(),
            configuration_problem: self.configuration_problem.clone(),
            dead_end: self.dead_end.clone(),
            ..report
        }
    }

    /// The agent ends.
    pub fn end(&self, runtime: &Runtime) {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        if let Err(error) = status::remove(&runtime.directory) {
            tracing::warn!(target: "reroot::agent", "{error}");
        }
    }
}

/// `version 42 (sha256:0123…)`.
pub fn shown(target: &Target) -> String {
    let digest = &target.digest.to_string()[..19];
    match &target.version {
        Some(version) => format!("version {} ({digest}…)", printable(version.as_bytes())),
        None => format!("{digest}…"),
    }
}

fn doing(ask: &Ask) -> &'static str {
    match ask {
        Ask::Observe => "looking at the machine",
        Ask::ReleaseLock => "giving the lock back",
        Ask::MayUpdate => "asking the hooks",
        Ask::Check => "looking for updates",
        Ask::Stage(_) => "staging the update",
        Ask::Unstage => "dropping what was staged",
        Ask::MayReboot(_) => "asking the hooks for the reboot",
        Ask::Users => "looking who is there",
        Ask::AcquireLock => "asking for the lock",
        Ask::Finalize(_) => "rebooting",
    }
}

fn waits_for(blocker: &Blocker) -> String {
    match blocker {
        Blocker::Policy => "the next reboot takes it".into(),
        Blocker::Hold(reason) => format!("updates are held back: {reason}"),
        Blocker::Window => "for a maintenance window".into(),
        Blocker::Rollback(reason) | Blocker::Reboot(reason) => reason.clone(),
        Blocker::Hook(reason) => format!("a hook says no: {reason}"),
        Blocker::Users(who) => who.clone(),
        Blocker::Lock(reason) => format!("for the lock: {reason}"),
    }
}

/// Where updates come from, in words.
pub fn follows(settings: &Settings, reference: &str) -> String {
    match &settings.follow {
        Follow::Tag => reference.to_owned(),
        Follow::Version(pattern) => format!("versions `{pattern}` of {reference}"),
        Follow::Graph(graph) => format!("the graph of {} for {reference}", graph.base_url),
    }
}

/// When the machine may reboot, in words.
pub fn reboots(settings: &Settings) -> String {
    let reboot = &settings.reboot;
    let mut when = Vec::new();
    if let Some(calendar) = &reboot.calendar {
        when.push(format!("in maintenance windows ({} minutes a week)", calendar.weekly_minutes()));
    }
    if let Some(lock) = &reboot.fleet_lock {
        when.push(format!("with the lock of {}", lock.base_url));
    }
    if when.is_empty() { "at once".into() } else { when.join(", ") }
}
