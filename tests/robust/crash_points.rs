//! Every moment that the source names: stopped there by an abort, and by an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::scenario::{Scenario, Size};
use crate::support::skip::say;
use crate::world::Ran;

/// Crash points that no command reaches here, and why.
const ELSEWHERE: [(&str, &str); 19] = [
    ("fall-back.recorded", HEALTH),
    ("fall-back.remembered", HEALTH),
    ("health.blessed", HEALTH),
    ("health.failure-noted", HEALTH),
    ("health.forgotten", HEALTH),
    ("health.good", HEALTH),
    ("history.rotated", "needs a long history; tested in src/sysroot/history.rs"),
    ("install.wiped", INSTALL),
    ("install.filled", INSTALL),
    ("install.boot-written", INSTALL),
    ("install.loader-written", INSTALL),
    ("install.synced", INSTALL),
    ("install.table-written", INSTALL),
    ("mark-bad.recorded", HEALTH),
    ("mark-bad.remembered", HEALTH),
    ("mark-good.forgotten", HEALTH),
    ("mark-good.recorded", HEALTH),
    ("var.complete", "needs a /var that is a mount point; tested in src/ops/var.rs"),
    ("var.moved", "needs a /var that is a mount point; tested in src/ops/var.rs"),
];

const HEALTH: &str = "the end of a boot; tested in src/ops/tests/health_crash.rs";
const INSTALL: &str = "needs root and loop devices; tested in tests/system/install_interrupted.rs";

/// The names in `crashpoint!("…")` below src/.
fn names() -> BTreeSet<String> {
    const CALL: &str = "crashpoint!(\"";
    let mut names = BTreeSet::new();
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<String>();
            names.extend(code.split(CALL).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    names.remove("area.step");
    names
}

/// Stops the command at a point; false when it does not come by there.
fn stop(scenario: &Scenario, point: &str, action: &str) -> bool {
    let world = scenario.world();
    let mut command = world.command(&scenario.args());
    let ran = Ran::of(command.env("REROOT_CRASHPOINT", format!("{point}={action}")).output().unwrap());
    let reached = match action {
        "abort" => ran.code.is_none(),
        _ => ran.stderr.contains(&format!("stopped at crash point {point}")),
    };
    let what = format!("{action} at {point}");
    if !reached {
        assert_eq!(ran.code, Some(0), "{}, {what}: {ran}", scenario.name);
        return false;
    }
    if action == "error" {
        // No command fails because of its history.
        let code = if point.starts_with("history.") { 0 } else { 1 };
        assert_eq!(ran.code, Some(code), "{}, {what}: {ran}", scenario.name);
    }
    scenario.assert_intact(&world, &what);
    scenario.assert_finishes(&world, &what);
    true
}

/// A deploy and a prune that find what a killed prune left, for the points of sweeping.
fn stop_while_sweeping(scenario: &Scenario, point: &str, action: &str) -> bool {
    let world = scenario.world();
    let mut first = world.command(&scenario.args());
    first.env("REROOT_CRASHPOINT", "undeploy.renamed=abort").output().unwrap();
    let mut second = world.command(&scenario.args());
    let ran = Ran::of(second.env("REROOT_CRASHPOINT", format!("{point}={action}")).output().unwrap());
    let what = format!("{action} at {point} while sweeping");
    let reached = ran.code != Some(0);
    scenario.assert_intact(&world, &what);
    scenario.assert_finishes(&world, &what);
    reached
}

#[test]
fn a_command_that_is_stopped_at_any_named_moment_breaks_nothing_and_is_finished_by_the_next() {
    let scenarios = [
        Scenario::pull(Size::Small),
        Scenario::deploy(Size::Small),
        Scenario::first_deploy(Size::Small),
        Scenario::prune(Size::Small),
        Scenario::undeploy(Size::Small),
        Scenario::rollback(Size::Small),
        Scenario::pin(Size::Small),
        Scenario::boot_once(Size::Small),
        Scenario::stage(Size::Small),
        Scenario::stage_again(Size::Small),
        Scenario::finalize(Size::Small),
        Scenario::unstage(Size::Small),
        Scenario::rollback_and_drop(Size::Small),
    ];
    let start = Instant::now();
    let elsewhere = BTreeMap::from(ELSEWHERE);
    let (mut stops, mut unreached) = (0, Vec::new());
    let names = names();
    assert!(names.len() > 20, "{names:?}");
    for point in &names {
        let mut reached = false;
        for scenario in &scenarios {
            // What an abort does not reach, an error does not reach either.
            let actions = ["abort", "error"].into_iter();
            let done = actions.take_while(|action| stop(scenario, point, action)).count();
            stops += done;
            reached |= done > 0;
        }
        if point.starts_with("sweep.") {
            for action in ["abort", "error"] {
                if stop_while_sweeping(&scenarios[3], point, action) {
                    stops += 1;
                    reached = true;
                }
            }
        }
        match elsewhere.get(point.as_str()) {
            Some(_) => assert!(!reached, "{point} is reached: take it off the list of exceptions"),
            None if !reached => unreached.push(point),
            None => {}
        }
    }
    assert!(elsewhere.keys().all(|point| names.contains(*point)), "an exception names no crash point");
    assert_eq!(unreached, [""; 0], "no command reaches these crash points: add a scenario that does");
    say(&format!("crash points: {} points, {stops} stops, in {:?}", names.len(), start.elapsed()));
}
