//! What people say about deployments, and what is not installed again.

use std::fs;

use super::super::health::*;
use super::super::*;
use super::machine::*;
use super::support::*;

#[test]
fn marking_by_hand_changes_what_boots_and_what_is_installed() {
    let world = machine(3);
    arrive(&world, 3, "a");
    let (sysroot, context) = (world.sysroot(), world.context());
    let booted = MarkOptions::default();
    let dry = MarkOptions { run: Run::Dry, ..Default::default() };
    let before = snapshot(&world.root());
    assert_eq!(mark_bad(&sysroot, &dry, None, &context).unwrap().next, Some(key(2)));
    mark_good(&sysroot, &dry, &context).unwrap();
    assert_eq!(snapshot(&world.root()), before);

    let marked = mark_bad(&sysroot, &booted, Some("no sound"), &context).unwrap();
    assert_eq!((marked.deployment, marked.next, marked.unchanged), (key(3), Some(key(2)), false));
    assert_eq!(health(&world), "2:good 3:bad 1:good");
    assert_eq!(
        (menu(&world), failed(&world)),
        ("4=2 3+3=3 1=1".into(), vec!["3: marked as bad: no sound".into()])
    );
    assert!(mark_bad(&sysroot, &booted, None, &context).unwrap().unchanged);

    let good = mark_good(&sysroot, &booted, &context).unwrap();
    assert_eq!((good.unchanged, health(&world)), (false, "2:good 3:good 1:good".into()));
    assert_eq!((menu(&world), failed(&world)), ("4=2 3=3 1=1".into(), vec![]));
    assert!(mark_good(&sysroot, &booted, &context).unwrap().unchanged);
}

#[test]
fn the_last_good_deployment_is_not_marked_as_bad() {
    let world = machine(2);
    let options = |n| MarkOptions { id: Some(id(n)), ..Default::default() };
    let mark = |n| mark_bad(&world.sysroot(), &options(n), None, &world.context());
    // It is not the first.
    mark(1).unwrap();
    let error = mark(2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().starts_with("deployment 2 is the first in boot order, and no other"),
        "{error}"
    );
    assert_eq!(health(&world), "2:untried 1:bad");
    let error = mark_bad(&world.sysroot(), &Default::default(), None, &world.context()).unwrap_err();
    assert_eq!(error.to_string(), "nothing is booted from here: the number of a deployment is needed");
}

#[test]
fn what_is_staged_is_not_marked_as_bad() {
    let world = machine(2);
    arrive(&world, 1, "a");
    world.stage(2);
    let options = MarkOptions { id: Some(id(2)), ..Default::default() };
    let error = mark_bad(&world.sysroot(), &options, None, &world.context()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "deployment 2 is staged for the next boot and was never tried; `reroot unstage` drops it"
    );
}

#[test]
fn an_image_that_failed_is_refused_in_its_stateroot() {
    let world = machine(2);
    let (sysroot, context) = (world.sysroot(), world.context());
    let digest = sysroot.observe().unwrap().deployment(&key(2)).unwrap().record.image.digest;
    let refuse =
        |stateroot: &str, known| refuse_failed(&sysroot, &stateroot.parse().unwrap(), &digest, known);
    refuse("default", KnownFailed::Refuse).unwrap();
    let second = MarkOptions { id: Some(id(2)), ..Default::default() };
    mark_bad(&sysroot, &second, Some("no sound"), &context).unwrap();
    let error = refuse("default", KnownFailed::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let images = world.path().join("images");
    assert_eq!(
        error.to_string(),
        format!(
            "oci:{}:stable version 13.2 failed on this machine as deployment 2, 2025-11-21T04:40:00Z: marked as bad: no \
             sound; a newer image is taken as usual, and --allow-failed takes this one again ({digest})",
            images.display()
        )
    );
    refuse("default", KnownFailed::Allow).unwrap();
    refuse("other", KnownFailed::Refuse).unwrap();
    fs::write(world.root().join("reroot/failed.json"), "{").unwrap();
    let error = refuse("default", KnownFailed::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    refuse("default", KnownFailed::Allow).unwrap();
    mark_good(&sysroot, &second, &context).unwrap_err();
}
