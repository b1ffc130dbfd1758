//! From what is written to what it means.

use std::time::Duration;

use uuid::Uuid;

use super::keys::{FollowWhat, Strategies, Strategy, merged};
use super::settings::{
    FleetLockSettings, Follow, GraphSettings, Identity, MetricsSettings, Reboot, Settings,
};
use super::text::{self, DAY, HOUR, MINUTE, SECOND};
use super::{identity, zone};
use crate::agent::template;
use crate::agent::version::{Pattern, PreReleases};
use crate::agent::window::{Calendar, Window, parse_days, parse_start};
use crate::env::Env;
use crate::ops::drop_in::Placed;
use crate::ops::{Error, Result};

/// More is a typing mistake: with an hour between them that is four days.
const MOST_POSTPONEMENTS: u64 = 100;

/// Checks everything that is written, and fills in what is not.
pub fn check(merged: merged::File, env: &Env) -> Result<Settings> {
    let merged::File { agent, update, graph, identity, reboot, hooks, metrics } = merged;
    Ok(Settings {
        policy: value(agent.policy).unwrap_or_default(),
        interval: text::duration("interval", agent.interval, MINUTE..=30 * DAY, HOUR)?,
        jitter: text::duration("jitter", agent.jitter, Duration::ZERO..=DAY, 10 * MINUTE)?,
        allow_downgrade: value(update.allow_downgrade).unwrap_or(false),
        min_age: text::duration("min-age", update.min_age, Duration::ZERO..=365 * DAY, Duration::ZERO)?,
        limit_rate: update.limit_rate.map(|rate| text::rate("limit-rate", &rate)).transpose()?,
        follow: check_follow(update.follow, update.version, graph)?,
        identity: check_identity(identity, env)?,
        reboot: check_reboot(reboot, env)?,
        hook_timeout: text::duration("timeout", hooks.timeout, SECOND..=HOUR, 5 * MINUTE)?,
        metrics: MetricsSettings {
            listen: metrics.listen.map(|address| text::loopback("listen", &address)).transpose()?,
            textfile: metrics.textfile.map(|path| text::textfile("textfile", &path)).transpose()?,
        },
    })
}

fn value<T>(placed: Option<Placed<T>>) -> Option<T> {
    placed.map(|placed| placed.value)
}

/// A mistake in what several keys say together; `place` is the key that needs the others.
fn needs(place: &str, what: &str) -> Error {
    Error::invalid(format!("{place}: {what}"))
}

fn check_follow(
    follow: Option<Placed<FollowWhat>>,
    version: merged::Version,
    graph: merged::Graph,
) -> Result<Follow> {
    let pattern = check_pattern(version)?;
    let base_url = graph.base_url.map(|placed| {
        template::check(&placed.value)
            .map_err(|reason| needs(&placed.place, &format!("`base-url`: {reason}")))?;
        text::url("base-url", placed)
    });
    let base_url = base_url.transpose()?;
    let stream = text::word("stream", graph.stream, "stable", "._-")?;
    let Some(follow) = follow else { return Ok(Follow::Tag) };
    Ok(match follow.value {
        FollowWhat::Tag => Follow::Tag,
        FollowWhat::Version => Follow::Version(pattern),
        FollowWhat::Graph => {
            let missing = || needs(&follow.place, "to follow a graph, set where it is: graph.base-url");
            Follow::Graph(GraphSettings { base_url: base_url.ok_or_else(missing)?, stream })
        }
    })
}

fn check_pattern(version: merged::Version) -> Result<Pattern> {
    let scheme = value(version.scheme).unwrap_or_default();
    let pre_releases = match value(version.pre_releases) {
        Some(true) => PreReleases::Allowed,
        _ => PreReleases::Ignored,
    };
    let (text, place) = match version.pattern {
        Some(Placed { value, place }) => (value, place),
        None => ("*".into(), String::new()),
    };
    Pattern::new(&text, scheme, pre_releases)
        .map_err(|error| needs(&place, &format!("`pattern` cannot be used: {error}")))
}

fn check_identity(identity: merged::Identity, env: &Env) -> Result<Identity> {
    let node_id = match identity.node_id {
        Some(id) => {
            let sound = Uuid::try_parse(&id.value).ok().filter(|id| !id.is_nil());
            let allowed = "a UUID of this machine alone, such as `uuidgen` prints";
            Some(sound.ok_or_else(|| text::refuse(&id, "node-id", allowed))?)
        }
        None => identity::of_machine(env),
    };
    let rollout_wariness = match identity.rollout_wariness {
        Some(wariness) if !(0.0..=1.0).contains(&wariness.value) => {
            return Err(wariness.refuse("rollout-wariness", "0 to 1"));
        }
        wariness => value(wariness),
    };
    Ok(Identity {
        group: text::word("group", identity.group, "default", ".-")?,
        node_id,
        rollout_wariness,
        platform: text::word("platform", identity.platform, "metal", "._-")?,
    })
}

fn check_reboot(reboot: merged::Reboot, env: &Env) -> Result<Reboot> {
    let calendar = check_calendar(reboot.periodic, env)?;
    let fleet_lock = reboot.fleet_lock.base_url.map(|url| text::url("base-url", url)).transpose()?;
    let strategies = check_strategies(reboot.strategy)?;
    let place_of = |wanted| strategies.value.contains(&wanted).then_some(&strategies.place);
    let calendar = match (place_of(Strategy::Periodic), calendar) {
        (Some(place), None) => {
            return Err(needs(place, "to restart in windows, set at least one: [[reboot.periodic.window]]"));
        }
        (is_wanted, calendar) => is_wanted.and(calendar),
    };
    let fleet_lock = match (place_of(Strategy::FleetLock), fleet_lock) {
        (Some(place), None) => {
            return Err(needs(place, "to lock the fleet, set where its lock is: reboot.fleet-lock.base-url"));
        }
        (is_wanted, base_url) => is_wanted.and(base_url).map(|base_url| FleetLockSettings { base_url }),
    };
    let times = reboot.postpone_times.map(|times| times.within("postpone-times", 0..=MOST_POSTPONEMENTS));
    Ok(Reboot {
        calendar,
        fleet_lock,
        soft: value(reboot.soft).unwrap_or_default(),
        users: value(reboot.users).unwrap_or_default(),
        postpone: text::duration("postpone", reboot.postpone, 10 * SECOND..=HOUR, MINUTE)?,
        postpone_times: times.transpose()?.unwrap_or(10) as u32,
    })
}

fn check_strategies(strategies: Option<Placed<Strategies>>) -> Result<Placed<Vec<Strategy>>> {
    let Some(Placed { value: Strategies(list), place }) = strategies else {
        return Ok(Placed { value: vec![Strategy::Immediate], place: String::new() });
    };
    if list.is_empty() {
        return Err(needs(&place, "`strategy` is an empty list; write \"immediate\" to wait for nothing"));
    }
    if list.len() > 1 && list.contains(&Strategy::Immediate) {
        return Err(needs(&place, "`strategy` cannot be \"immediate\" and wait for something as well"));
    }
    Ok(Placed { value: list, place })
}

/// The windows, when there are any.
fn check_calendar(periodic: merged::Periodic, env: &Env) -> Result<Option<Calendar>> {
    let zone = match periodic.time_zone {
        None => jiff::tz::TimeZone::UTC,
        Some(Placed { value, place }) => zone::find(&value, env)
            .map_err(|error| needs(&place, &format!("the time zone {value:?} {error}")))?,
    };
    let windows: Vec<Window> =
        periodic.window.unwrap_or_default().into_iter().map(check_window).collect::<Result<_>>()?;
    Ok(Calendar::new(windows, zone).ok())
}

fn check_window(window: merged::Window) -> Result<Window> {
    let (start, length) = match (window.start_time, window.length) {
        (Some(start), Some(length)) => (start, length),
        (Some(one), None) => return Err(needs(&one.place, "this window has no `length`")),
        (None, Some(one)) => return Err(needs(&one.place, "this window has no `start-time`")),
        (None, None) => {
            let place = window.days.iter().flatten().map(|day| day.place.as_str()).next();
            let place = place.unwrap_or("reboot.periodic.window");
            return Err(needs(place, "this window has neither `start-time` nor `length`"));
        }
    };
    let days =
        window.days.unwrap_or_else(|| vec![Placed { value: "Mon..Sun".into(), place: start.place.clone() }]);
    let mut all = Vec::new();
    for day in &days {
        let days = parse_days([day.value.as_str()]);
        all.extend(days.map_err(|error| needs(&day.place, &format!("`days`: {error}")))?);
    }
    let from = parse_start(&start.value);
    let from = from.map_err(|error| needs(&start.place, &format!("`start-time`: {error}")))?;
    let length = text::duration("length", Some(length), MINUTE..=7 * DAY, HOUR)?;
    Window::new(all, from, length).map_err(|error| needs(&start.place, &error.to_string()))
}
