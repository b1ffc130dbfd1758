//! What killed processes and other people leave behind.

use std::fs;

use super::super::*;
use super::support::*;

fn deployed(n: u64) -> World {
    let mut world = World::new();
    world.os("stable", 1);
    for _ in 0..n {
        world.deploy("stable");
    }
    world
}

fn problems(world: &World) -> Vec<String> {
    let status = status(&world.sysroot()).unwrap();
    status.problems.into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
}

#[test]
fn unfinished_deployments_are_swept_by_the_next_one() {
    let world = deployed(1);
    let dir = world.deployments();
    for name in [".tmp-2", ".del-9", "2", "2/usr"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    for name in ["2.origin", ".tmp-1.json.7.0", "../.tmp-var", "../../../.tmp-counters.json.1.1"] {
        fs::write(dir.join(name), "x").unwrap();
    }
    let found = problems(&world);
    assert_eq!(found.len(), 5, "{found:?}");
    // Looking does not clean up, and neither does a dry run.
    prune(&world.sysroot(), Run::Dry, &world.context()).unwrap();
    assert_eq!(problems(&world).len(), 5);
    // The number of a deployment that was never finished is free.
    assert_eq!(world.deploy("stable").id, id(2));
    let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(!world.root().join("reroot/deploy/default/.tmp-var").exists());
    assert!(!world.root().join("reroot/.tmp-counters.json.1.1").exists());
    assert_eq!(world.order(), "2:default 1:rollback");
}

#[test]
fn the_booted_deployment_is_not_swept_whatever_its_record_says() {
    let world = deployed(2);
    let host = world.path().join("host");
    fs::create_dir_all(host.join("run/reroot")).unwrap();
    std::os::unix::fs::symlink("../root", host.join("sysroot")).unwrap();
    fs::write(host.join("run/reroot/booted.json"), r#"{"version":1,"stateroot":"default","id":1}"#).unwrap();
    fs::remove_file(world.deployments().join("1.json")).unwrap();
    rollback(&world.sysroot(), &RollbackOptions::default(), &world.context()).unwrap_err();
    assert!(world.deployments().join("1/usr/bin/sh").exists());
    assert!(world.deployments().join("1.origin").exists());
}

#[test]
fn a_damaged_record_stops_prune_but_not_status() {
    let world = deployed(3);
    fs::write(world.deployments().join("1.json"), r#"{"version":1,"id":"#).unwrap();
    let found = problems(&world);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("/reroot/deploy/default/deploy/1.json: "), "{found:?}");
    let error = prune(&world.sysroot(), Run::Real, &world.context()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = pin(&world.sysroot(), id(1), None, Run::Real, &world.context()).unwrap_err();
    assert!(error.to_string().starts_with("/reroot/deploy/default/deploy/1.json is damaged"), "{error}");
    // Undeploying it is the way out.
    undeploy(&world.sysroot(), id(1), None, Run::Real, &world.context()).unwrap();
    prune(&world.sysroot(), Run::Real, &world.context()).unwrap();
    assert_eq!(world.order(), "3:default 2:rollback");
}

#[test]
fn a_record_of_a_newer_version_is_left_alone() {
    let world = deployed(2);
    let file = world.deployments().join("1.json");
    fs::write(&file, r#"{"version":9}"#).unwrap();
    for error in [
        prune(&world.sysroot(), Run::Real, &world.context()).map(drop).unwrap_err(),
        undeploy(&world.sysroot(), id(1), None, Run::Real, &world.context()).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert!(error.to_string().contains("format version 9 is newer than 1"), "{error}");
    }
    assert_eq!(read(&file), r#"{"version":9}"#);
    assert_eq!(world.deploy("stable").id, id(3));
}

#[test]
fn a_mistake_in_an_origin_is_named_by_line() {
    let world = deployed(1);
    let file = world.deployments().join("1.origin");
    fs::write(&file, read(&file).replace("reference", "refrence")).unwrap();
    let expected = "/reroot/deploy/default/deploy/1.origin:4: unknown field `refrence`";
    let found = problems(&world);
    assert!(found[0].contains(expected), "{found:?}");
    let error = upgrade(&world.sysroot(), &UpgradeOptions::default(), &world.context()).unwrap_err();
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // Everything that does not follow it still works.
    assert_eq!(world.deploy("stable").id, id(2));
}

#[test]
fn a_record_without_a_directory_is_no_deployment() {
    let world = deployed(2);
    fs::remove_dir_all(world.deployments().join("2")).unwrap();
    assert_eq!(problems(&world).len(), 1);
    undeploy(&world.sysroot(), id(2), None, Run::Real, &world.context()).unwrap();
    assert_eq!(world.order(), "1:default");
    assert_eq!(world.deploy("stable").id, id(3));
}

#[test]
fn names_that_are_not_ours_are_left_alone() {
    let world = deployed(1);
    let names = ["notes.txt", "1.json.bak", "007"];
    for name in names {
        fs::write(world.deployments().join(name), "mine").unwrap();
    }
    world.deploy("stable");
    prune(&world.sysroot(), Run::Real, &world.context()).unwrap();
    for name in names {
        assert_eq!(read(world.deployments().join(name)), "mine");
    }
    fs::write(world.root().join("reroot/deploy/file"), "mine").unwrap();
    assert_eq!(problems(&world).len(), 4);
}

#[test]
fn a_record_that_is_no_file_protects_its_directory() {
    let world = deployed(2);
    let record = world.deployments().join("1.json");
    fs::remove_file(&record).unwrap();
    std::os::unix::fs::symlink("2.json", &record).unwrap();
    assert_eq!(problems(&world).len(), 1);
    assert_eq!(world.deploy("stable").id, id(3));
    assert!(world.deployments().join("1/usr/bin/sh").exists());
}
