//! What is told of machines in all states.

use std::fs;

use super::super::*;
use super::machine::{arrive, complete, machine, start};
use super::schema::assert_valid;
use super::support::*;
use crate::sysroot::{HealthState, ProblemKind, Slot};

const SCHEMA: &str = include_str!("../../../docs/status.schema.json");

/// The status, which is as its schema says.
fn told(world: &World) -> Status {
    let status = status(&world.sysroot()).unwrap();
    assert_valid(&serde_json::to_value(&status).unwrap(), SCHEMA);
    status
}

/// `2 staged`, with what it boots instead of, and why.
fn next(status: &Status) -> String {
    let Some(next) = &status.next else { return "nothing".into() };
    let why = serde_json::to_value(next.why).unwrap();
    let mut text = format!("{} {}", next.deployment.id, why.as_str().unwrap());
    next.instead_of.iter().for_each(|key| text += &format!(" from {}", key.id));
    next.reason.iter().for_each(|reason| text += &format!(": {reason}"));
    text
}

/// Deployment 1 of `stable` runs, and 2 is staged.
fn staged() -> World {
    let mut world = World::new();
    world.os("stable", 1);
    world.deploy("stable");
    world.boot(1);
    world.os("stable", 2);
    upgrade(&world.sysroot(), &UpgradeOptions::default(), &world.context()).unwrap();
    world
}

fn write_etc(world: &World, id: u64, name: &str, text: &str) {
    fs::write(world.deployments().join(format!("{id}/etc/{name}")), text).unwrap();
}

#[test]
fn a_fresh_sysroot_has_nothing_to_tell() {
    let mut world = World::new();
    let fresh = told(&world);
    assert_eq!((next(&fresh), fresh.booted, fresh.rollback), ("nothing".into(), None, None));
    world.os("stable", 1);
    world.deploy("stable");
    let status = told(&world);
    assert_eq!((next(&status).as_str(), status.reboot_pending), ("1 newest", false));
    assert_eq!(status.space.deployments_bytes, status.deployments[0].size_bytes);
    assert!(status.space.root.unwrap().free_bytes > 0 && status.space.boot.is_none());
    assert_eq!(status.deployments[0].etc_changes, None);
}

#[test]
fn what_is_staged_is_next_with_the_merge_as_it_would_be_now() {
    let world = staged();
    write_etc(&world, 1, "hostname", "mine\n");
    let status = told(&world);
    assert_eq!((next(&status).as_str(), status.reboot_pending), ("2 staged", true));
    let staged = status.staged.unwrap();
    assert!(!staged.locked && staged.etc_failure.is_none());
    let merge = staged.etc_merge.unwrap();
    assert_eq!(
        (merge.added.list, merge.updated.list),
        (vec!["/etc/hostname".into()], vec!["/etc/release".into()])
    );
    let counts: Vec<_> = status.deployments.iter().map(|d| (d.finalized, d.etc_changes)).collect();
    assert_eq!(counts, [(false, None), (true, Some(1))]);

    set_finalization(&world.sysroot(), Finalization::Locked, &world.context()).unwrap();
    let status = told(&world);
    assert_eq!((next(&status).as_str(), status.reboot_pending), ("1 newest", false));
    assert!(status.staged.unwrap().locked);
}

#[test]
fn a_conflict_that_came_up_is_told_before_the_shutdown() {
    let mut world = staged();
    let conflicting = vec![base(), vec![("etc/app/", Item::Dir(0o755)), ("etc/app/conf", Item::File("new"))]];
    world.image("stable", "13.3", "2025-11-03T00:00:00Z", conflicting);
    upgrade(&world.sysroot(), &UpgradeOptions::default(), &world.context()).unwrap();
    write_etc(&world, 1, "app", "a file of mine");
    let staged = told(&world).staged.unwrap();
    assert_eq!(staged.etc_merge, None);
    assert!(staged.etc_failure.as_ref().unwrap().contains("/etc/app"), "{staged:?}");
    finalize_staged(&world.sysroot(), &world.context()).unwrap_err();
    world.cut_power();
    let status = told(&world);
    let failure = status.finalize_failure.unwrap();
    assert_eq!(failure.deployment.id, id(3));
    assert!(failure.reason.contains("/etc/app"), "{}", failure.reason);
    assert_eq!(status.staged, None);
}

#[test]
fn a_power_cut_leaves_an_abandoned_one() {
    let world = staged();
    world.cut_power();
    let status = told(&world);
    assert_eq!((next(&status).as_str(), status.reboot_pending), ("1 newest", false));
    let abandoned: Vec<_> = status.deployments.iter().map(|d| (d.abandoned, d.finalized)).collect();
    assert_eq!(abandoned, [(true, false), (false, true)]);
}

#[test]
fn after_a_rollback_the_newer_one_is_named() {
    let world = staged();
    world.reboot();
    assert_eq!(next(&told(&world)), "2 newest");
    rollback(&world.sysroot(), &RollbackOptions::default(), &world.context()).unwrap();
    let status = told(&world);
    assert_eq!((next(&status).as_str(), status.reboot_pending), ("1 rolled-back from 2", true));
    assert_eq!(status.rollback.unwrap().id, id(2));
    world.reboot();
    let status = told(&world);
    assert_eq!((next(&status).as_str(), status.reboot_pending), ("1 rolled-back from 2", false));
    assert!(status.deployments[0].etc_merge.is_none() && status.deployments[1].etc_merge.is_some());
}

#[test]
fn a_trial_is_counted_down_until_the_boot_is_complete() {
    let world = machine(2);
    assert_eq!(told(&world).deployments[0].trial.unwrap().left, Some(3));
    start(&world, "a");
    let status = told(&world);
    let trial = status.deployments[0].trial.unwrap();
    assert_eq!((trial.tries.get(), trial.left), (3, Some(2)));
    assert_eq!((status.deployments[1].trial, status.boot_health), (None, None));
    let boot = status.space.boot.unwrap();
    assert_eq!(boot.kernel_bytes, Some("kernelinitramfs".len() as u64));
    complete(&world);
    let status = told(&world);
    assert_eq!(status.deployments[0].trial, None);
    assert_eq!(status.deployments[0].health.state, HealthState::Good);
    assert_eq!(status.boot_health.unwrap().state, health::BootState::Good);
}

#[test]
fn a_fall_back_is_told_with_its_reason() {
    let world = machine(2);
    for boot in ["a", "b", "c"] {
        assert_eq!(start(&world, boot), 2);
    }
    // The last try runs: it may still turn out well.
    assert_eq!(next(&told(&world)), "2 newest");
    assert_eq!(start(&world, "d"), 1);
    let status = told(&world);
    assert_eq!(next(&status), "1 fell-back from 2: its boots did not complete");
    assert!(!status.reboot_pending);
    complete(&world);
    let status = told(&world);
    assert_eq!(next(&status), "1 fell-back from 2: none of its 3 boots completed");
    let boot = status.boot_health.unwrap();
    assert_eq!(boot.fell_back[0].deployment.id, id(2));
    assert_eq!(status.failed_images[0].id, id(2));
    assert_eq!(status.deployments[1].health.state, HealthState::Bad);
    assert!(!status.deployments[1].slots.contains(&Slot::Rollback));
    // The next boot knows as well.
    arrive(&world, 1, "e");
    assert_eq!(next(&told(&world)), "1 fell-back from 2: none of its 3 boots completed");
}

#[test]
fn a_boot_partition_that_is_not_there_is_a_problem_and_no_failure() {
    let world = machine(2);
    start(&world, "a");
    fs::remove_file(world.path().join("host/boot")).unwrap();
    let status = told(&world);
    let kinds: Vec<_> = status.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::UnreachableBoot]);
    assert_eq!(status.deployments[0].trial.unwrap().left, None);
    assert_eq!(status.space.boot, None);
}

#[test]
fn state_that_does_not_read_back_hides_nothing_else() {
    let world = staged();
    fs::write(world.root().join("reroot/failed.json"), "{").unwrap();
    fs::write(world.path().join("host/run/reroot/health.json"), "[]").unwrap();
    fs::write(world.path().join("host/run/reroot/usr-overlay.json"), "x").unwrap();
    fs::remove_dir_all(world.deployments().join("1/etc")).unwrap();
    let status = told(&world);
    let paths: Vec<_> = status.problems.iter().map(|problem| problem.path.as_str()).collect();
    let expected = [
        "/run/reroot/health.json",
        "/reroot/failed.json",
        "/run/reroot/usr-overlay.json",
        "/reroot/deploy/default/deploy/1/etc",
    ];
    assert_eq!(paths, expected);
    assert_eq!(status.deployments.len(), 2);
}
