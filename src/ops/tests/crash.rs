//! Every crash point of the verbs: stopped there, the old state is intact and the same command finishes.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::super::*;
use super::support::*;
use crate::fsx;
use crate::names::ImagePath;

const WORLD: &str = "REROOT_TEST_WORLD";
const VERB: &str = "REROOT_TEST_VERB";
/// Of the verbs below, without those of `pull`, of boot entries, and of a `var` that is a mount point.
const POINTS: [(&str, &[&str]); 8] = [
    (
        "deploy",
        &[
            "var.copied",
            "var.synced",
            "var.renamed",
            "deploy.checked-out",
            "deploy.synced",
            "deploy.renamed",
            "deploy.origin",
            "deploy.counters",
            "deploy.recorded",
        ],
    ),
    ("undeploy", &["undeploy.unrecorded", "undeploy.renamed", "undeploy.deleted"]),
    (
        "prune",
        &[
            "undeploy.unrecorded",
            "undeploy.renamed",
            "undeploy.deleted",
            "prune.deployment-removed",
            "gc.images-removed",
            "gc.trees-removed",
            "gc.objects-removed",
        ],
    ),
    ("rollback", &["rollback.counted", "rollback.recorded"]),
    (
        "stage",
        &["deploy.checked-out", "deploy.renamed", "deploy.counters", "deploy.recorded", "stage.staged"],
    ),
    ("finalize", &["finalize.merged", "finalize.synced", "finalize.exchanged", "finalize.recorded"]),
    ("unstage", &["unstage.unstaged", "undeploy.unrecorded", "undeploy.renamed", "undeploy.deleted"]),
    ("rollback-staged", &["rollback.counted", "rollback.recorded"]),
];

/// The verbs of a running system: deployment 3 runs, and but for `stage` deployment 5 is staged; a rollback to 1 is
/// taken back by `rollback-staged`.
fn is_running(verb: &str) -> bool {
    ["stage", "finalize", "unstage", "rollback-staged"].contains(&verb)
}

/// The process that is stopped; by itself it does nothing.
#[test]
fn child() {
    let (Ok(path), Ok(verb)) = (std::env::var(WORLD), std::env::var(VERB)) else { return };
    run(&World::open(path.into()), &verb).unwrap();
}

fn run(world: &World, verb: &str) -> Result<()> {
    let (sysroot, context) = (world.sysroot(), world.context());
    match verb {
        "deploy" => deploy(&sysroot, &world.reference("new"), &DeployOptions::default(), &context).map(drop),
        "undeploy" => undeploy(&sysroot, id(1), None, Run::Real, &context).map(drop),
        "prune" => prune(&sysroot, Run::Real, &context).map(drop),
        "rollback" => rollback(&sysroot, &RollbackOptions::default(), &context).map(drop),
        "stage" => upgrade(&sysroot, &UpgradeOptions::default(), &context).map(drop),
        "finalize" => finalize_staged(&sysroot, &context).map(drop),
        "unstage" => unstage(&sysroot, Run::Real, &context).map(drop),
        "rollback-staged" => {
            let options = RollbackOptions { id: Some(id(5)), ..RollbackOptions::default() };
            rollback(&sysroot, &options, &context).map(drop)
        }
        other => panic!("{other}"),
    }
}

/// Every listed deployment is complete, file by file.
fn assert_complete(world: &World) {
    let sysroot = world.sysroot();
    let repo = sysroot.repo();
    for deployment in sysroot.observe().unwrap().deployments {
        let tree = DeploymentTree::new(&repo.read_tree(&deployment.record.tree).unwrap()).unwrap();
        let dir = fsx::open_dir(&world.deployments().join(deployment.record.id.to_string())).unwrap();
        let linked = DeploymentTree::linked_options();
        let mismatches = repo.verify_checkout(tree.entries(), &ImagePath::root(), &dir, &linked);
        assert_eq!(mismatches, [], "{}", deployment.key());
        let etc = fsx::open_subdir(&dir, "etc").unwrap();
        let copied = DeploymentTree::copied_options();
        let mismatches = repo.verify_checkout(tree.entries(), &DeploymentTree::defaults(), &etc, &copied);
        assert_eq!(mismatches, [], "etc of {}", deployment.key());
    }
}

fn stop_at(verb: &str, point: &str, action: &str) {
    let mut world = World::new();
    for n in 1..=4 {
        world.os("stable", n);
        if verb != "deploy" {
            world.deploy("stable");
        }
    }
    world.os("new", 5);
    if is_running(verb) {
        rollback(&world.sysroot(), &RollbackOptions::default(), &world.context()).unwrap();
        world.boot(3);
        world.os("stable", 6);
        if verb != "stage" {
            upgrade(&world.sysroot(), &UpgradeOptions::default(), &world.context()).unwrap();
        }
        if verb == "rollback-staged" {
            let options = RollbackOptions { id: Some(id(1)), ..RollbackOptions::default() };
            rollback(&world.sysroot(), &options, &world.context()).unwrap();
        }
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ops::tests::crash::child", "--nocapture"])
        .env(WORLD, world.path())
        .env(VERB, verb)
        .env("REROOT_CRASHPOINT", format!("{point}={action}"))
        .output()
        .unwrap();
    let what = format!("{verb} stopped at {point} by {action}");
    match action {
        "abort" => assert_eq!(child.status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{what}"),
        _ => {
            let said = String::from_utf8_lossy(&child.stderr).into_owned();
            assert!(said.contains(&format!("stopped at crash point {point}")), "{what}: {said}");
        }
    }

    assert_complete(&world);
    let observed = world.sysroot().observe().unwrap();
    let first = observed.deployments.first().map(|d| d.record.id.get());
    let boots = observed.finalized().next().map(|d| d.record.id.get());
    let before = observed.deployments.len();
    match verb {
        // What a shutdown has not finalized does not boot, whatever happened to it.
        "finalize" => assert_eq!(boots, Some(if point == "finalize.recorded" { 5 } else { 3 }), "{what}"),
        "rollback-staged" => assert_eq!(boots, Some(1), "{what}"),
        _ if is_running(verb) => assert_eq!(boots, Some(3), "{what}"),
        // The old order until the record is there.
        "deploy" => assert_eq!(before, usize::from(point == "deploy.recorded"), "{what}"),
        "rollback" => assert_eq!(first, Some(if point == "rollback.recorded" { 3 } else { 4 }), "{what}"),
        _ => assert_eq!((first, before), (Some(4), 3), "{what}"),
    }
    run(&world, verb).unwrap_or_else(|error| panic!("{what}: again: {error}"));
    assert_complete(&world);
    let status = status(&world.sysroot()).unwrap();
    assert_eq!(status.problems, [], "{what}");
    if is_running(verb) {
        let observed = world.sysroot().observe().unwrap();
        let next = match verb {
            "unstage" => 3,
            _ => observed.counters.next_id(&observed.current_stateroot()).get() - 1,
        };
        world.reboot();
        assert_eq!(world.booted(), next, "{what}");
    }
    if verb == "deploy" {
        assert!(world.root().join("reroot/deploy/default/var/cache/seed").exists(), "{what}");
    }
    prune(&world.sysroot(), Run::Real, &world.context()).unwrap();
    assert_complete(&world);
}

#[test]
fn a_verb_that_was_killed_is_finished_by_running_it_again() {
    for (verb, points) in POINTS {
        points.iter().for_each(|point| stop_at(verb, point, "abort"));
    }
}

#[test]
fn a_verb_that_failed_is_finished_by_running_it_again() {
    for (verb, points) in POINTS {
        points.iter().for_each(|point| stop_at(verb, point, "error"));
    }
}
