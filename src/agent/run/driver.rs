//! The state machine with its memory: events in, asks out.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::notes::{Notes, shown};
use super::outside::{Ears, Outside};
use crate::agent::effects::{Asked, Host, Setup, perform, tell_hooks};
use crate::agent::journal::{Milestone, note};
use crate::agent::machine::{
    Agent, Ask, Closed, Event, Failure, Hold, Memory, Policy, Rules, Tell, World, step,
};
use crate::agent::metrics::{Endpoint, serve};
use crate::agent::runtime::{Nudge, Runtime};
use crate::agent::{look, people, store};
use crate::env::Env;
use crate::ops::{Error, ErrorKind, Result};
use crate::sysroot::Sysroot;

/// However long there is nothing to do: the clock may be set, and a file of the configuration's time zone changed.
const LOOK: Duration = Duration::from_secs(60);
/// What a run for one update waits for, in all.
const ONCE_WAITS: Duration = Duration::from_secs(15 * 60);

/// How long the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to end.
    Service,
    /// Until there is nothing to do for a while; what is left is for the next run.
    Once,
}

/// Runs the agent of this machine. An error is one of its beginning: nothing that comes later ends it.
pub fn run(sysroot: PathBuf, mode: Mode, env: &Env) -> Result<()> {
    // Where nothing runs from a deployment there is nothing to wait for. Everything else may be different in a minute.
    if let Err(error) = look::booted(&Sysroot::open(&sysroot, env)?.observe()?)
        && error.kind() == ErrorKind::Incompatible
    {
        return Err(error);
    }
    let runtime = Runtime::take(env)?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.map_err(Error::io("starting the agent"))?;
    let result = tokio.block_on(async { Driver::new(sysroot, mode, env, runtime)?.run().await });
    // What still runs on a thread of its own may be killed at any time.
    tokio.shutdown_background();
    result
}

struct Driver {
    host: Host,
    mode: Mode,
    runtime: Runtime,
    ears: Ears,
    setup: Option<Arc<Setup>>,
    notes: Notes,
    agent: Agent,
    /// What is left of [`ONCE_WAITS`].
    patience: Duration,
    /// When the server that has just answered wants to be asked again.
    retry_after: Option<Duration>,
    /// What came from outside while an answer was waited for.
    later: VecDeque<Event>,
    /// Metrics, and hooks that nobody waits for.
    tasks: JoinSet<()>,
}

impl Driver {
    fn new(sysroot: PathBuf, mode: Mode, env: &Env, runtime: Runtime) -> Result<Self> {
        let host = Host::new(env, sysroot);
        let notes = Notes::new(&host.env, host.now());
        let memory = store::memory(env).unwrap_or_else(|error| {
            note(Milestone::Failed, &format!("{error}; beginning anew"));
            // Better given back once too often.
            Memory { lock: true, ..Memory::default() }
        });
        let ears = Ears::open(&runtime)?;
        let agent = Agent { memory, ..Agent::default() };
        let mut this = Self {
            host,
            mode,
            runtime,
            ears,
            setup: None,
            notes,
            agent,
            patience: ONCE_WAITS,
            retry_after: None,
            later: VecDeque::new(),
            tasks: JoinSet::new(),
        };
        this.configure();
        Ok(this)
    }

    async fn run(mut self) -> Result<()> {
        self.expose().await;
        note(Milestone::Started, "the agent runs");
        // Without systemd there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let mut ask = Some(Ask::Observe);
        loop {
            let now = self.host.now();
            let held = self.hold().is_some_and(|hold| hold.holds(now));
            self.notes.at(&self.agent, self.setup.as_deref(), held, &self.runtime, now);
            let event = match ask.take() {
                Some(ask) => self.ask(ask).await,
                None => self.wait().await,
            };
            let Some(event) = event else { break };
            ask = self.step(event);
        }
        self.notes.end(&self.runtime);
        Ok(())
    }

    /// Waits for the answer; nothing when the agent is to end.
    async fn ask(&mut self, ask: Ask) -> Option<Event> {
        self.notes.asking(&ask);
        let memory = &self.agent.memory;
        let asked = Asked {
            ask: ask.clone(),
            ours: memory.staged.clone(),
            urgent: memory.urgent,
            policy: memory.policy(&self.rules()),
        };
        let mut work = Box::pin(perform(asked, self.host.clone(), self.setup.clone()));
        loop {
            tokio::select! {
                answer = &mut work => {
                    self.notes.answered(&ask, &answer, self.host.now());
                    self.retry_after = answer.retry_after;
                    return Some(answer.event);
                }
                outside = self.ears.next() => {
                    let event = self.heard(outside)?;
                    self.later.push_back(event);
                }
            }
        }
    }

    /// Waits until there is something to do; nothing when the agent is to end.
    async fn wait(&mut self) -> Option<Event> {
        if let Some(event) = self.later.pop_front() {
            return Some(event);
        }
        let until = self.agent.state.until().unwrap_or(Timestamp::MIN);
        let wait = Duration::try_from(until.duration_since(self.host.now())).unwrap_or(Duration::ZERO);
        if self.mode == Mode::Once {
            self.patience = self.patience.checked_sub(wait.min(LOOK)).filter(|left| wait <= *left)?;
        }
        tokio::select! {
            () = tokio::time::sleep(wait.min(LOOK)) => Some(Event::Tick),
            outside = self.ears.next() => self.heard(outside),
        }
    }

    /// What a word from outside means; nothing when the agent is to end.
    fn heard(&mut self, outside: Outside) -> Option<Event> {
        match outside {
            Outside::End => None,
            Outside::Reload => {
                self.configure();
                Some(Event::Changed)
            }
            Outside::Nudge(Nudge::Changed) => Some(Event::Changed),
            Outside::Nudge(Nudge::UpdateNow) => Some(Event::UpdateNow),
        }
    }

    fn step(&mut self, event: Event) -> Option<Ask> {
        let (rules, hold, now) = (self.rules(), self.hold(), self.host.now());
        let dice = uuid::Uuid::new_v4().as_u64_pair().0;
        let retry_after = self.retry_after.take();
        let world =
            World { now, rules: &rules, closed: self.closed(now), hold: hold.as_ref(), dice, retry_after };
        let before = self.agent.clone();
        let next = step(std::mem::take(&mut self.agent), event, &world);
        self.agent = next.agent;
        if self.agent.memory != before.memory
            && let Err(error) = store::remember(&self.host.env, &self.agent.memory)
        {
            note(Milestone::Failed, &error.to_string());
            // What might be forgotten is not done: nobody would give this lock back.
            if self.agent.memory.lock && !before.memory.lock {
                return self.step(Event::Failed(Failure::from(&error)));
            }
        }
        for tell in next.tell {
            self.tell(tell);
        }
        next.ask
    }

    fn tell(&mut self, tell: Tell) {
        match tell {
            Tell::Announce { target, left } => {
                let how_long = match left {
                    0 => "for the last time".to_owned(),
                    left => format!("{left} more times at most"),
                };
                let text = format!(
                    "This machine will restart to install {}. As long as you are logged in that is put off, {how_long}.",
                    shown(&target)
                );
                if let Err(error) = people::tell(&text, &self.host.env) {
                    tracing::warn!(target: "reroot::agent", "{error}");
                }
            }
            Tell::Updated(target) => {
                note(Milestone::Updated, &format!("{} is installed and runs", shown(&target)));
                if let Some(setup) = &self.setup {
                    self.tasks.spawn(tell_hooks(self.host.clone(), Arc::clone(setup), target));
                }
            }
            Tell::Lost(target) => note(
                Milestone::Lost,
                &format!(
                    "{} was staged by the agent, and is neither staged nor running now; `reroot history` tells what happened",
                    shown(&target)
                ),
            ),
            Tell::GivenUp(target) => note(
                Milestone::GivenUp,
                &format!(
                    "{} could not be staged many times and is not tried again; `reroot agent update-now` does",
                    shown(&target)
                ),
            ),
        }
    }

    /// Without a configuration nothing is done but giving back a lock.
    fn rules(&self) -> Rules {
        match &self.setup {
            // The timer has spread its machines already.
            Some(setup) if self.mode == Mode::Once => {
                Rules { jitter: Duration::ZERO, ..Rules::from(&setup.settings) }
            }
            Some(setup) => Rules::from(&setup.settings),
            None => Rules {
                policy: Policy::None,
                interval: LOOK,
                jitter: Duration::ZERO,
                lock: false,
                postpone: LOOK,
                postpone_times: 0,
            },
        }
    }

    fn closed(&self, now: Timestamp) -> Option<Closed> {
        let calendar = self.setup.as_ref()?.settings.reboot.calendar.as_ref()?;
        (!calendar.is_open(now)).then(|| Closed { until: calendar.next_open(now) })
    }

    /// One that cannot be read holds: whoever wrote it meant something.
    fn hold(&self) -> Option<Hold> {
        store::hold(&self.host.env)
            .unwrap_or_else(|error| Some(Hold { until: None, reason: error.to_string() }))
    }

    /// Reads the configuration; one with a mistake leaves that of before.
    fn configure(&mut self) {
        match Setup::load(&self.host.env) {
            Ok(setup) => {
                self.setup = Some(Arc::new(setup));
                self.notes.configured(None, self.setup.as_deref());
            }
            Err(error) => self.notes.configured(Some(error.to_string()), self.setup.as_deref()),
        }
    }

    /// Shows metrics where that is wanted. The port is that of the start; a socket is always there.
    async fn expose(&mut self) {
        let socket = self.runtime.path().join("metrics.sock");
        let mut endpoints = vec![Endpoint::socket(&socket)];
        if let Some(address) = self.setup.as_ref().and_then(|setup| setup.settings.metrics.listen) {
            endpoints.push(Endpoint::port(address).await);
        }
        for endpoint in endpoints {
            match endpoint {
                Ok(endpoint) => {
                    let metrics = Arc::clone(&self.notes.metrics);
                    self.tasks.spawn(async { match serve(endpoint, metrics).await {} });
                }
                Err(error) => tracing::warn!(target: "reroot::agent", "metrics cannot be shown: {error}"),
            }
        }
    }
}
