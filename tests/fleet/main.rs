//! A fleet of ten thousand hosts over a month: the agent's own decisions and the graph's own rules, with everything else
//! simulated (`reroot::agent::simulate`).

#![cfg(feature = "agent")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that shows its curve"
)]

use std::path::Path;
use std::time::SystemTime;

use reroot::agent::config::{self, Settings};
use reroot::agent::simulate::{Outcome, Plan, simulate, text};
use reroot::env::Env;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/agent");

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(DOCS).join(name)).unwrap()
}

fn settings(text: &str) -> Settings {
    // Time zones are this machine's.
    let env = Env::fixed(Path::new("/"), SystemTime::UNIX_EPOCH);
    config::parse(text, "fleet.toml", &env).unwrap()
}

fn run(plan: &str, config: &str) -> Outcome {
    let outcome = simulate(&Plan::parse(plan, "plan.toml").unwrap(), &settings(config));
    println!("{}", text(&outcome));
    outcome
}

/// The share of the fleet that a phased rollout has reached at a time.
fn reached(share: f64, rollout_hours: f64, hours: f64) -> f64 {
    share + (1.0 - share) * (hours / rollout_hours).clamp(0.0, 1.0)
}

#[test]
fn ten_thousand_hosts_over_a_month() {
    let plan = Plan::parse(&read("plan.toml"), "plan.toml").unwrap();
    let outcome = run(&read("plan.toml"), &read("fleet.toml"));
    let [first, second, bad, last] = &outcome.releases[..] else { panic!("{outcome:?}") };

    // Never more than the lock allows, and no lock is kept.
    assert_eq!(outcome.most_locked, Some(plan.lock.slots));
    assert!(outcome.most_down <= plan.lock.slots * plan.lock.groups, "{}", outcome.most_down);
    assert_eq!(outcome.locks_left, 0);

    // The bad one stops at the share that was offered it when it was stopped.
    let stopped = bad.stopped.expect("it was stopped");
    let hours = stopped.duration_since(bad.published).as_secs_f64() / 3600.0;
    let offered = reached(0.01, 96.0, hours);
    assert_eq!(bad.running, 0);
    assert!(f64::from(bad.failed) <= offered * f64::from(plan.hosts) * 1.1, "{} of {offered}", bad.failed);
    assert!(f64::from(bad.failed) >= 0.002 * f64::from(plan.hosts));

    // All others arrive: but those on which nothing new boots.
    let broken = first.running;
    assert!((1..=30).contains(&broken), "{broken} of 10 or so");
    assert_eq!(second.running, 0);
    assert_eq!(last.running + broken, plan.hosts);
    // A host tries what failed no second time.
    assert_eq!(second.failed, broken);
    assert_eq!(last.failed, broken);
    assert!(
        outcome.reboots <= u64::from(plan.hosts) * 2 + u64::from(second.failed + bad.failed + last.failed)
    );

    // Nobody restarts outside the window: from 01:00 to 05:00 in Berlin, and a restart takes some minutes.
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    for pair in outcome.curve.windows(2) {
        let hour = pair[0].time.to_zoned(zone.clone()).hour();
        assert!(pair[0].running == pair[1].running || (1..6).contains(&hour), "{} {hour}", pair[0].time);
    }
}

#[test]
fn the_same_plan_gives_the_same_curve() {
    let plan = "hosts = 200\ndays = 5\nstart = \"2026-03-02T00:00:00Z\"\n\
                [[release]]\nversion = \"2\"\nat = \"6h\"\n";
    let config = "[agent]\ninterval = \"30m\"\n";
    let outcome = run(plan, config);
    assert_eq!(outcome, run(plan, config));
    // Without a window, a lock or a rollout all go as soon as they look.
    assert_eq!((outcome.releases[1].running, outcome.most_locked), (200, None));
    let last = outcome.releases[1].last.unwrap().duration_since(outcome.releases[1].published);
    assert!(last.as_hours() < 2, "{last}");
    assert_ne!(outcome, run(&format!("seed = 2\n{plan}"), config));
}

#[test]
fn one_slot_lets_one_host_after_the_other_go() {
    let plan = "hosts = 50\ndays = 3\nstart = \"2026-03-02T00:00:00Z\"\n\
                [[release]]\nversion = \"2\"\nat = \"1h\"\n";
    let config = "[agent]\ninterval = \"10m\"\n[identity]\nnode-id = \"6f0f2c1e-5d36-4f4e-9b59-0c8d4d5a3b11\"\n\
                  [reboot]\nstrategy = \"fleet-lock\"\n[reboot.fleet-lock]\nbase-url = \"https://lock.example.com\"\n";
    let outcome = run(plan, config);
    assert_eq!((outcome.releases[1].running, outcome.most_down), (50, 1));
}

/// The documentation shows what the command prints that is given there.
#[test]
fn the_curve_of_the_documentation_is_this_one() {
    let outcome =
        simulate(&Plan::parse(&read("plan.toml"), "plan.toml").unwrap(), &settings(&read("fleet.toml")));
    assert!(
        read("../agent.md").contains(&text(&outcome)),
        "docs/agent.md shows another outcome than\n{}",
        text(&outcome)
    );
    assert!(
        read("curve.svg") == reroot::agent::simulate::svg(&outcome),
        "docs/agent/curve.svg is another curve"
    );
}
