//! From an ask to its answer.

use std::sync::Arc;
use std::time::Duration;

use super::find::{Seen, find, options};
use super::{Host, Setup};
use crate::agent::config::SoftReboot;
use crate::agent::facts::Facts;
use crate::agent::fleet_lock::Operation;
use crate::agent::hooks::{self, About};
use crate::agent::machine::{Ask, Event, Failure, Policy, Target};
use crate::agent::{http, look, people};
use crate::ops::{self, Apply, Context, Error, Finalization, Result, Run};
use crate::sysroot::Sysroot;

/// What is asked, with what the answer depends on.
#[derive(Debug, Clone)]
pub struct Asked {
    pub ask: Ask,
    /// What the agent has staged.
    pub ours: Option<Target>,
    pub urgent: bool,
    /// How far it may go.
    pub policy: Policy,
}

/// An answer, and what was seen on the way.
#[derive(Debug)]
pub struct Answer {
    pub event: Event,
    pub facts: Option<Facts>,
    pub seen: Option<Seen>,
    pub lock: Option<(Operation, http::Result<()>)>,
    /// When the server that has answered wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl From<Event> for Answer {
    fn from(event: Event) -> Self {
        Self { event, facts: None, seen: None, lock: None, retry_after: None }
    }
}

/// Does what is asked for. Every way out is an answer.
pub async fn perform(asked: Asked, host: Host, setup: Option<Arc<Setup>>) -> Answer {
    let Asked { ask, ours, urgent, policy } = asked;
    if ask == Ask::Observe {
        return observe(&host).await;
    }
    let Some(setup) = setup else {
        let reason = "there is no configuration that can be used".to_owned();
        return Event::Failed(Failure { kind: "configuration".into(), reason }).into();
    };
    match ask {
        Ask::Observe => observe(&host).await,
        Ask::ReleaseLock => lock(&setup, Operation::SteadyState).await,
        Ask::AcquireLock => lock(&setup, Operation::PreReboot).await,
        Ask::MayUpdate => hook(&host, &setup, hooks::Kind::MayUpdate, ours).await.into(),
        Ask::MayReboot(target) => hook(&host, &setup, hooks::Kind::PreReboot, Some(target)).await.into(),
        Ask::Check => match find(&host, &setup, ours.map(|target| target.digest), urgent).await {
            Ok(seen) => Answer { seen: Some(seen.clone()), ..Event::Found(seen.found).into() },
            Err(trouble) => {
                Answer { retry_after: trouble.retry_after(), ..Event::Failed(trouble.into()).into() }
            }
        },
        Ask::Stage(target) => {
            let rate = setup.settings.limit_rate;
            let stage = move |sysroot: &Sysroot, context: &Context<'_>| {
                stage(sysroot, &target, ours.as_ref(), policy, &setup, context)
            };
            answer(host.verb(rate, stage).await).into()
        }
        Ask::Unstage => {
            let unstage = |sysroot: &Sysroot, context: &Context<'_>| {
                ops::unstage(sysroot, Run::Real, context).map(|_| Event::Done)
            };
            answer(host.verb(None, unstage).await).into()
        }
        Ask::Users => answer(host.work(|host| Ok(users(host))).await).into(),
        Ask::Finalize(target) => {
            let soft = setup.settings.reboot.soft;
            let finalize =
                move |sysroot: &Sysroot, context: &Context<'_>| finalize(sysroot, &target, soft, context);
            answer(host.verb(None, finalize).await).into()
        }
    }
}

fn answer(result: Result<Event>) -> Event {
    result.unwrap_or_else(|error| Event::Failed(Failure::from(&error)))
}

async fn observe(host: &Host) -> Answer {
    let look = |sysroot: &Sysroot, _: &Context<'_>| {
        let observed = sysroot.observe()?;
        Ok((look::observation(&observed)?, Facts::of(sysroot, &observed)?))
    };
    match host.verb(None, look).await {
        Ok((seen, facts)) => Answer { facts: Some(facts), ..Event::Observed(seen).into() },
        Err(error) => answer(Err(error)).into(),
    }
}

async fn lock(setup: &Setup, operation: Operation) -> Answer {
    let Some(lock) = &setup.lock else {
        // It was configured once, and the server that has it is not known any more.
        return Event::Done.into();
    };
    let result = lock.send(operation).await;
    let event = match &result {
        Ok(()) => Event::Done,
        // The server has said no; everything else leaves open what it has done.
        Err(error) if operation == Operation::PreReboot && error.refusal().is_some() => {
            Event::No(error.to_string())
        }
        Err(error) => Event::Failed(error.into()),
    };
    let retry_after = result.as_ref().err().and_then(|error| error.refusal()?.retry_after);
    Answer { lock: Some((operation, result)), retry_after, ..event.into() }
}

async fn hook(host: &Host, setup: &Setup, kind: hooks::Kind, about: Option<Target>) -> Event {
    let limit = setup.settings.hook_timeout;
    let run = move |host: &Host| {
        let image = followed(host);
        let digest = about.as_ref().map(|target| target.digest.to_string());
        let version = about.as_ref().and_then(|target| target.version.as_deref());
        let about = About { image: &image, digest: digest.as_deref(), version };
        Ok(match hooks::run(kind, &about, limit, &host.env, &super::host::Journal) {
            Ok(()) => Event::Done,
            Err(refusal) => Event::No(refusal.to_string()),
        })
    };
    answer(host.work(run).await)
}

/// What is followed, for people; nothing when that cannot be read now.
fn followed(host: &Host) -> String {
    host.open()
        .and_then(|sysroot| Ok(look::booted(&sysroot.observe()?)?.record.image.reference.clone()))
        .unwrap_or_default()
}

/// After a good boot of what was installed.
pub async fn tell_hooks(host: Host, setup: Arc<Setup>, target: Target) {
    // What they say and how they end is in the journal.
    let _ = hook(&host, &setup, hooks::Kind::PostUpdate, Some(target)).await;
}

fn users(host: &Host) -> Event {
    let people = people::find(&host.env);
    for warning in &people.warnings {
        tracing::warn!(target: "reroot::agent", "{warning}");
    }
    if people.is_nobody() { Event::Done } else { Event::No(people.to_string()) }
}

fn stage(
    sysroot: &Sysroot,
    target: &Target,
    ours: Option<&Target>,
    policy: Policy,
    setup: &Setup,
    context: &Context<'_>,
) -> Result<Event> {
    // Somebody else may have staged something since the check.
    let staged = look::staged(&sysroot.observe()?);
    if staged.is_some() && staged != ours.map(|target| target.digest) && staged != Some(target.digest) {
        return Ok(Event::No("somebody else has staged a deployment".into()));
    }
    let finalization = if policy == Policy::Apply { Finalization::Locked } else { Finalization::AtShutdown };
    let options = ops::UpgradeOptions {
        require_digest: Some(target.digest),
        finalization,
        ..options(&target.source, Some(target.digest), &setup.settings)
    };
    ops::upgrade(sysroot, &options, context).map(|_| Event::Done)
}

/// Lets the shutdown finalize it, and asks for that.
fn finalize(sysroot: &Sysroot, target: &Target, soft: SoftReboot, context: &Context<'_>) -> Result<Event> {
    let staged = look::staged(&sysroot.observe()?);
    if staged != Some(target.digest) {
        return Err(Error::not_found("what was staged is not there any more"));
    }
    ops::set_finalization(sysroot, Finalization::AtShutdown, context)?;
    let how = match soft {
        SoftReboot::Never => Apply::Reboot,
        SoftReboot::Auto => Apply::SoftRebootOrReboot,
    };
    match ops::apply(sysroot, how, context) {
        Ok(_) => Ok(Event::Done),
        Err(error) => {
            // Nobody who reboots for another reason gets it before its turn.
            ops::set_finalization(sysroot, Finalization::Locked, context)?;
            Err(error)
        }
    }
}
