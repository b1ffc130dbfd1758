//! Health, stopped at every durable step: the same command, or the next boot, finishes the job.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::super::health::*;
use super::super::*;
use super::machine::*;
use super::support::*;
use crate::fsx::lock::Wait;
use crate::sysroot::FailedImage;

const WORLD: &str = "REROOT_TEST_WORLD";
const VERB: &str = "REROOT_TEST_VERB";
const ORDER: [&str; 2] = ["rollback.counted", "rollback.recorded"];
const MENU: [&str; 2] = ["boot.entry-written", "boot.entries-removed"];

/// The process that is stopped; by itself it does nothing.
#[test]
fn child() {
    let (Ok(path), Ok(verb)) = (std::env::var(WORLD), std::env::var(VERB)) else { return };
    run(&open(World::open(path.into())), &verb);
}

fn run(world: &World, verb: &str) {
    let (sysroot, context) = (world.sysroot(), world.context());
    let newest = MarkOptions { id: Some(id(2)), ..MarkOptions::default() };
    match verb {
        "fall-back" | "good" => {
            boot_complete(&sysroot, &context).unwrap();
        }
        "mark-good" => drop(mark_good(&sysroot, &newest, &context).unwrap()),
        "mark-bad" => drop(mark_bad(&sysroot, &newest, Some("no sound"), &context).unwrap()),
        other => panic!("{other}"),
    }
}

/// The machine right before the command.
fn before(verb: &str) -> World {
    let world = machine(2);
    match verb {
        "fall-back" => {
            for boot_id in ["a", "b", "c"] {
                assert_eq!(start(&world, boot_id), 2);
            }
            assert_eq!(start(&world, "d"), 1);
        }
        "good" | "mark-good" => {
            assert_eq!(start(&world, "a"), 2);
            let sysroot = world.sysroot();
            let record = &sysroot.observe().unwrap().deployments[0].record;
            let image = FailedImage::new(record, 1, "an older version of it");
            sysroot.lock(Wait::No).unwrap().remember_failed(image).unwrap();
        }
        _ => drop(start(&world, "a")),
    }
    world
}

fn stop_at(verb: &str, point: &str, action: &str) -> World {
    let world = before(verb);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ops::tests::health_crash::child", "--nocapture"])
        .env(WORLD, world.path())
        .env(VERB, verb)
        .env("REROOT_CRASHPOINT", format!("{point}={action}"))
        .output()
        .unwrap();
    let what = format!("{verb} stopped at {point} by {action}");
    let said = String::from_utf8_lossy(&child.stderr).into_owned();
    match action {
        "abort" => {
            let signal = child.status.signal();
            assert_eq!(signal, Some(rustix::process::Signal::ABORT.as_raw()), "{what}: {said}");
        }
        _ => assert!(
            said.contains(&format!("stopped at crash point {point}")) || child.status.success(),
            "{what}: {said}"
        ),
    }
    world
}

/// What the command leads to, however often it was stopped on the way.
fn assert_done(world: &World, verb: &str, what: &str) {
    let (health, failed, menu) = (health(world), failed(world), menu(world));
    let boots =
        |menu: &str| menu.split(' ').map(|e| e.split_once('=').unwrap().1.to_owned()).collect::<Vec<_>>();
    match verb {
        "good" | "mark-good" => {
            assert_eq!((&*health, failed.len(), &*menu), ("2:good 1:good", 0, "2=2 1=1"), "{what}");
        }
        "fall-back" => {
            assert_eq!((&*health, boots(&menu).join(" ")), ("1:good 2:bad", "1 2".into()), "{what}");
            assert_eq!(failed, ["2: none of its 3 boots completed"], "{what}");
            // An entry of its own, before that of the other.
            assert!(!menu.starts_with("1=1"), "{what}: {menu}");
        }
        _ => {
            assert_eq!((&*health, boots(&menu).join(" ")), ("1:good 2:bad", "1 2".into()), "{what}");
            assert_eq!(failed, ["2: marked as bad: no sound"], "{what}");
        }
    }
    assert_eq!(status(&world.sysroot()).unwrap().problems, [], "{what}");
}

/// Runs the command again after each stop.
fn assert_finishes(verb: &str, points: &[&str], actions: &[&str]) {
    for point in points {
        for action in actions {
            let world = stop_at(verb, point, action);
            run(&world, verb);
            assert_done(&world, verb, &format!("{verb}, {point}, {action}"));
        }
    }
}

/// Starts the machine again after each stop: the power was cut.
fn assert_next_boot_finishes(verb: &str, points: &[&str], expected: u64) {
    for point in points {
        let world = stop_at(verb, point, "abort");
        assert_eq!(start(&world, "f"), expected, "{verb}, {point}");
        run(&world, verb);
        assert_done(&world, verb, &format!("{verb}, {point}, next boot"));
    }
}

#[test]
fn a_fall_back_that_was_stopped_is_finished() {
    let points = [&["fall-back.recorded", "fall-back.remembered"], &ORDER[..], &MENU].concat();
    assert_finishes("fall-back", &points, &["abort", "error"]);
    assert_next_boot_finishes("fall-back", &points, 1);
}

#[test]
fn a_blessing_that_was_stopped_is_finished() {
    let points = [&["health.forgotten", "health.good"], &MENU[..], &["health.blessed"]].concat();
    assert_finishes("good", &points, &["abort"]);
    assert_next_boot_finishes("good", &points, 2);
}

#[test]
fn a_mark_that_was_stopped_is_made_by_running_it_again() {
    let points = [&["mark-good.forgotten", "mark-good.recorded"], &MENU[..]].concat();
    assert_finishes("mark-good", &points, &["abort"]);
    let points = [&["mark-bad.remembered"], &ORDER[..], &["mark-bad.recorded"], &MENU].concat();
    assert_finishes("mark-bad", &points, &["abort"]);
}

#[test]
fn a_failure_is_noted_once_in_a_boot() {
    let world = before("good");
    let check = world.path().join("host/etc/reroot/health.d/required/10-web");
    std::fs::create_dir_all(check.parent().unwrap()).unwrap();
    std::fs::write(&check, "#!/bin/sh\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&check, mode).unwrap();
    for _ in 0..3 {
        assert_eq!(complete(&world).state, BootState::Restarting);
        let failures = world.sysroot().observe().unwrap().deployments[0].record.health.failures.clone();
        assert_eq!((failures.len(), &*failures[0].reason), (1, "10-web: exit status 1"));
    }
}
