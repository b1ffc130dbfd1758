//! Looking whether an upgrade would bring something.

use super::super::*;
use super::machine::{complete, machine, start};
use super::support::*;

fn check_with(world: &World, options: &UpgradeOptions) -> UpdateCheck {
    check_upgrade(&world.sysroot(), options, &world.context()).unwrap()
}

fn check(world: &World) -> UpdateCheck {
    check_with(world, &UpgradeOptions::default())
}

/// Deployment 1 of `stable` runs, and `stable` has moved on.
fn running() -> World {
    let mut world = World::new();
    world.os("stable", 1);
    world.deploy("stable");
    world.boot(1);
    world.os("stable", 2);
    world
}

#[test]
fn what_would_change_is_told_when_nothing_has_to_be_fetched() {
    let world = running();
    let before = snapshot(&world.root());
    let report = check(&world);
    assert!(report.available && !report.staged && !report.downgrade);
    assert_eq!((report.latest.version.as_deref(), report.changes), (Some("13.2"), None));
    assert_eq!(snapshot(&world.root()), before);

    image::pull(
        &world.sysroot(),
        &world.reference("stable"),
        &image::PullImageOptions::default(),
        &world.context(),
    )
    .unwrap();
    let report = check(&world);
    assert!(report.available && report.fetch.stored);
    let changes = report.changes.unwrap();
    assert_eq!(changes.from.id, id(1));
    assert_eq!(changes.files, ChangedFiles { added: 0, removed: 0, changed: 3 });
    let names = |list: &[PackageChange]| list.iter().map(|p| p.name.clone()).collect::<Vec<_>>().join(" ");
    let packages = &changes.packages;
    assert_eq!(
        [names(&packages.added), names(&packages.removed), names(&packages.upgraded)],
        ["only-2", "only-1", "base"]
    );
}

#[test]
fn layers_that_are_stored_are_enough_to_tell() {
    let mut world = running();
    // Another image of the same layers: its config differs.
    world.os_built("stable", 1, "2025-11-05T00:00:00Z");
    let report = check(&world);
    assert!(report.available && !report.fetch.stored && report.fetch.layers_new == 0);
    let changes = report.changes.unwrap();
    assert_eq!(changes.files, ChangedFiles { added: 0, removed: 0, changed: 0 });
    assert!(changes.packages.is_empty());
}

#[test]
fn what_is_staged_already_is_said() {
    let world = running();
    let options = UpgradeOptions { finalization: Finalization::Locked, ..Default::default() };
    upgrade(&world.sysroot(), &options, &world.context()).unwrap();
    let report = check(&world);
    assert_eq!((report.available, report.staged, report.locked, report.id), (false, true, true, id(2)));
    // Compared with what runs.
    assert_eq!(report.changes.unwrap().from.id, id(1));
    set_finalization(&world.sysroot(), Finalization::AtShutdown, &world.context()).unwrap();
    assert!(!check(&world).locked);
    world.reboot();
    let report = check(&world);
    assert_eq!((report.available, report.staged, report.changes), (false, false, None));
}

#[test]
fn a_downgrade_is_no_update_unless_it_is_allowed() {
    let mut world = running();
    world.os_built("stable", 3, "2025-01-01T00:00:00Z");
    let report = check(&world);
    assert_eq!((report.available, report.downgrade, report.refused), (false, true, Some(Refused::Downgrade)));
    let allowed = UpgradeOptions { downgrade: Downgrade::Allow, ..Default::default() };
    let report = check_with(&world, &allowed);
    assert_eq!((report.available, report.downgrade, report.refused), (true, true, None));
}

#[test]
fn an_image_that_failed_here_is_known() {
    let world = machine(2);
    for boot in ["a", "b", "c", "d"] {
        start(&world, boot);
    }
    complete(&world);
    let report = check(&world);
    assert_eq!((report.id, report.available, report.refused), (id(1), false, Some(Refused::Failed)));
    let allowed = UpgradeOptions { failed: KnownFailed::Allow, ..Default::default() };
    assert!(check_with(&world, &allowed).available);
    let failed = report.failed.unwrap();
    assert_eq!((failed.id, failed.reason.as_str()), (id(2), "none of its 3 boots completed"));
}
