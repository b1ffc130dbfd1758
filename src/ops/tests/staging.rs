//! A running system: what is staged, what a shutdown makes of it, and what a power cut leaves.

use std::fs;

use super::super::*;
use super::support::*;

fn upgrade_with(world: &World, options: &UpgradeOptions) -> Result<Deployed> {
    upgrade(&world.sysroot(), options, &world.context())
}

fn upgrade_now(world: &World) -> Deployed {
    upgrade_with(world, &UpgradeOptions::default()).unwrap()
}

fn rollback_with(world: &World, options: &RollbackOptions) -> Result<RolledBack> {
    rollback(&world.sysroot(), options, &world.context())
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

fn reboot_required(world: &World) -> bool {
    world.path().join("host/run/reboot-required").exists()
}

#[test]
fn an_upgrade_of_the_running_system_is_staged_and_a_shutdown_finalizes_it() {
    let world = running();
    let report = upgrade_now(&world);
    assert_eq!((report.id, report.staged, report.locked), (id(2), true, false));
    assert_eq!(world.order(), "2:staged 1:booted+default");
    assert!(reboot_required(&world));
    let again = upgrade_now(&world);
    assert!(again.unchanged && again.staged);
    world.reboot();
    assert_eq!(world.order(), "2:booted+default 1:rollback");
    assert!(!reboot_required(&world));
    assert_eq!(finalize_staged(&world.sysroot(), &world.context()).unwrap(), None);
}

#[test]
fn a_power_cut_forgets_what_is_staged_and_prune_takes_it() {
    let world = running();
    upgrade_now(&world);
    world.cut_power();
    assert_eq!(world.order(), "2: 1:booted+default");
    // It is no place to start from, and never boots.
    let error =
        rollback_with(&world, &RollbackOptions { id: Some(id(2)), ..Default::default() }).unwrap_err();
    assert!(error.to_string().starts_with("deployment 2 was staged and never finalized"), "{error}");
    rollback_with(&world, &RollbackOptions::default()).unwrap_err();
    assert_eq!(upgrade_now(&world).id, id(3));
    assert_eq!(world.order(), "3:staged 2: 1:booted+default");
    let removed = prune(&world.sysroot(), Run::Real, &world.context()).unwrap().removed;
    assert_eq!(removed.iter().map(|r| r.id).collect::<Vec<_>>(), [id(2)]);
    world.reboot();
    assert_eq!(world.order(), "3:booted+default 1:rollback");
}

#[test]
fn what_is_staged_anew_replaces_what_was_staged() {
    let mut world = running();
    upgrade_now(&world);
    world.os("stable", 3);
    assert_eq!(upgrade_now(&world).id, id(3));
    assert_eq!(world.order(), "3:staged 1:booted+default");
    let warnings = world.warnings.0.lock().unwrap().join("\n");
    assert!(warnings.contains("deployment 2 was staged, and is replaced by deployment 3"), "{warnings}");
}

#[test]
fn a_download_waits_until_it_is_unlocked() {
    let world = running();
    let options = UpgradeOptions { finalization: Finalization::Locked, ..Default::default() };
    assert!(upgrade_with(&world, &options).unwrap().locked);
    assert!(!reboot_required(&world));
    let report = finalize_staged(&world.sysroot(), &world.context()).unwrap().unwrap();
    assert!(!report.done);
    assert_eq!(world.order(), "2:staged 1:booted+default");
    // The reboot brings the old one; the layers are still there.
    world.reboot();
    assert_eq!(world.booted(), 1);
    let again = upgrade_with(&world, &options).unwrap();
    assert!(again.pulled.unwrap().unchanged);
    let lock = |finalization| set_finalization(&world.sysroot(), finalization, &world.context());
    assert!(!lock(Finalization::AtShutdown).unwrap().unchanged);
    assert!(lock(Finalization::AtShutdown).unwrap().unchanged);
    assert!(reboot_required(&world));
    lock(Finalization::Locked).unwrap();
    assert!(!reboot_required(&world));
    // A plain upgrade takes it.
    let report = upgrade_now(&world);
    assert_eq!((report.unchanged, report.locked, report.id), (false, false, again.id));
    world.reboot();
    assert_eq!(world.booted(), 3);
    assert!(lock(Finalization::AtShutdown).is_err());
}

#[test]
fn where_nothing_runs_nothing_waits() {
    let mut world = World::new();
    world.os("stable", 1);
    world.deploy("stable");
    world.os("stable", 2);
    let options = UpgradeOptions { finalization: Finalization::Locked, ..Default::default() };
    let error = upgrade_with(&world, &options).unwrap_err();
    assert!(error.to_string().contains("only in the system that runs from here"), "{error}");
    assert!(!upgrade_now(&world).staged);
    assert!(unstage(&world.sysroot(), Run::Real, &world.context()).unwrap().unchanged);
}

#[test]
fn unstaging_leaves_nothing_but_the_store() {
    let world = running();
    upgrade_now(&world);
    let report = unstage(&world.sysroot(), Run::Dry, &world.context()).unwrap();
    assert!(!report.unchanged && report.dry_run);
    assert_eq!(world.order(), "2:staged 1:booted+default");
    unstage(&world.sysroot(), Run::Real, &world.context()).unwrap();
    assert_eq!(world.order(), "1:booted+default");
    assert!(!reboot_required(&world));
    assert!(!world.deployments().join("2").exists());
    assert!(unstage(&world.sysroot(), Run::Real, &world.context()).unwrap().unchanged);
    let report = upgrade_now(&world);
    assert_eq!(report.id, id(3));
    assert!(report.pulled.unwrap().unchanged);
}

#[test]
fn the_last_decision_boots_and_what_is_staged_is_kept() {
    let world = running();
    upgrade_now(&world);
    world.reboot();
    // 2 runs, 1 is before.
    deploy(&world.sysroot(), &world.reference("stable"), &DeployOptions::default(), &world.context())
        .unwrap();
    let report = rollback_with(&world, &RollbackOptions::default()).unwrap();
    assert_eq!((report.from, report.to), (id(3), id(1)));
    assert_eq!(report.still_staged.unwrap().id, id(3));
    assert_eq!(world.order(), "1:default 3:staged 2:booted+rollback");
    assert!(reboot_required(&world));
    // Back: what runs is first again, and what is staged still waits behind.
    assert!(rollback_with(&world, &RollbackOptions::default()).unwrap().booted);
    assert!(!reboot_required(&world));
    assert_eq!(world.order(), "2:booted+default 1:rollback 3:staged");
    // A staged one is made first like any other.
    let report = rollback_with(&world, &RollbackOptions { id: Some(id(3)), ..Default::default() }).unwrap();
    assert_eq!((report.to, report.still_staged), (id(3), None));
    world.reboot();
    assert_eq!(world.order(), "3:booted+default 2:rollback 1:");
}

#[test]
fn a_rollback_drops_what_is_staged_when_asked() {
    let world = running();
    upgrade_now(&world);
    world.reboot();
    deploy(&world.sysroot(), &world.reference("stable"), &DeployOptions::default(), &world.context())
        .unwrap();
    let options = RollbackOptions { staged: StagedOne::Drop, ..Default::default() };
    let report = rollback_with(&world, &options).unwrap();
    assert_eq!((report.from, report.dropped.unwrap().id), (id(2), id(3)));
    assert_eq!(world.order(), "1:default 2:booted+rollback");
    world.reboot();
    assert_eq!(world.booted(), 1);
    let same = rollback_with(&world, &RollbackOptions { id: Some(id(1)), ..Default::default() }).unwrap();
    assert!(same.unchanged && same.booted);
}

#[test]
fn a_required_digest_and_another_tag() {
    let mut world = running();
    let (stable, beta) = (world.os("stable", 2), world.os("beta", 3));
    let wrong = UpgradeOptions { require_digest: Some(beta), ..Default::default() };
    assert_eq!(upgrade_with(&world, &wrong).unwrap_err().kind(), ErrorKind::Verification);
    assert_eq!(world.order(), "1:booted+default");
    let right = UpgradeOptions { require_digest: Some(stable), ..Default::default() };
    assert_eq!(upgrade_with(&world, &right).unwrap().id, id(2));
    let beta = UpgradeOptions { tag: Some("beta".into()), ..Default::default() };
    let report = upgrade_with(&world, &beta).unwrap();
    assert!(report.image.reference.ends_with(":beta"));
    world.reboot();
    assert!(upgrade_now(&world).unchanged);
    let bad = UpgradeOptions { tag: Some("a b".into()), ..Default::default() };
    assert_eq!(upgrade_with(&world, &bad).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn nothing_older_than_what_runs_comes_in() {
    let mut world = running();
    upgrade_now(&world);
    world.reboot();
    rollback_with(&world, &RollbackOptions::default()).unwrap();
    // 2 runs, 1 boots next: an image between the two is older than what runs.
    world.os_built("stable", 3, "2025-01-01T12:00:00Z");
    let error = upgrade_with(&world, &UpgradeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("is older than what is deployed"), "{error}");
    let allowed = UpgradeOptions { downgrade: Downgrade::Allow, ..Default::default() };
    assert_eq!(upgrade_with(&world, &allowed).unwrap().id, id(3));
}

#[test]
fn a_finalization_that_fails_is_told_and_the_old_system_boots() {
    let world = running();
    upgrade_now(&world);
    fs::remove_dir_all(world.deployments().join("2")).unwrap();
    let error = finalize_staged(&world.sysroot(), &world.context()).unwrap_err();
    let failure = crate::sysroot::FinalizeFailure::read(&world.sysroot()).unwrap().unwrap();
    assert_eq!((failure.deployment.id, failure.reason), (id(2), error.to_string()));
    world.cut_power();
    assert_eq!(world.booted(), 1);
    // The next one ends it.
    upgrade_now(&world);
    world.reboot();
    assert_eq!(world.booted(), 3);
    assert_eq!(crate::sysroot::FinalizeFailure::read(&world.sysroot()).unwrap(), None);
}

/// Writes into the `/etc` of a deployment.
fn write_etc(world: &World, id: u64, name: &str, text: &str) {
    fs::write(world.deployments().join(format!("{id}/etc/{name}")), text).unwrap();
}

fn read_etc(world: &World, id: u64, name: &str) -> Option<String> {
    fs::read_to_string(world.deployments().join(format!("{id}/etc/{name}"))).ok()
}

#[test]
fn changes_of_etc_up_to_the_shutdown_go_along() {
    let world = running();
    write_etc(&world, 1, "hostname", "early\n");
    upgrade_now(&world);
    write_etc(&world, 1, "hostname", "late\n");
    fs::remove_file(world.deployments().join("1/etc/shadow")).unwrap();
    assert_eq!(read_etc(&world, 2, "hostname"), None);
    world.reboot();
    assert_eq!(read_etc(&world, 2, "hostname").as_deref(), Some("late\n"));
    assert_eq!(read_etc(&world, 2, "shadow"), None);
    assert_eq!(read_etc(&world, 2, "release").as_deref(), Some("release 2\n"));
    let observed = world.sysroot().observe().unwrap();
    let report = observed.deployments[0].record.etc_merge.clone().unwrap();
    assert_eq!(
        (report.added.list, report.deleted.list),
        (vec!["/etc/hostname".into()], vec!["/etc/shadow".into()])
    );
    assert_eq!(report.updated.list, ["/etc/release"]);
    // The older deployment has its own.
    write_etc(&world, 2, "hostname", "two\n");
    rollback_with(&world, &RollbackOptions::default()).unwrap();
    world.reboot();
    assert_eq!(read_etc(&world, world.booted(), "hostname").as_deref(), Some("late\n"));
}

#[test]
fn a_rollback_takes_the_changes_of_etc_along_when_asked() {
    let world = running();
    upgrade_now(&world);
    world.reboot();
    write_etc(&world, 2, "hostname", "today\n");
    let keep = EtcOfRollback::Keep(Default::default());
    let options = RollbackOptions { etc: keep, ..Default::default() };
    let report = rollback_with(&world, &options).unwrap();
    assert_eq!((report.to, report.files_of), (id(3), Some(id(1))));
    let error = rollback_with(&world, &options).unwrap_err().to_string();
    assert!(error.starts_with("deployment 3 is staged, and one deployment can be at a time"), "{error}");
    write_etc(&world, 2, "hostname", "tonight\n");
    world.reboot();
    assert_eq!(world.order(), "3:booted+default 2:rollback 1:");
    assert_eq!(read_etc(&world, 3, "hostname").as_deref(), Some("tonight\n"));
    assert_eq!(read_etc(&world, 3, "release").as_deref(), Some("release 1\n"));
    assert_eq!(read_etc(&world, 1, "hostname"), None);
}

#[test]
fn a_conflict_is_found_before_anything_is_staged() {
    let mut world = running();
    let conflicting = vec![base(), vec![("etc/app/", Item::Dir(0o755)), ("etc/app/conf", Item::File("new"))]];
    world.image("stable", "13.3", "2025-11-03T00:00:00Z", conflicting);
    write_etc(&world, 1, "app", "a file of mine");
    let error = upgrade_with(&world, &UpgradeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("/etc/app"), "{error}");
    assert_eq!(world.order(), "1:booted+default");
    assert_eq!(fs::read_dir(world.deployments()).unwrap().count(), 3);
    let take = UpgradeOptions { etc: crate::sysroot::etc_merge::EtcStrategy::TakeNew, ..Default::default() };
    upgrade_with(&world, &take).unwrap();
    world.reboot();
    assert_eq!(read_etc(&world, 2, "app/conf").as_deref(), Some("new"));
}

#[test]
fn a_conflict_that_comes_up_after_the_staging_fails_the_finalization() {
    let mut world = running();
    let conflicting = vec![base(), vec![("etc/app/", Item::Dir(0o755)), ("etc/app/conf", Item::File("new"))]];
    world.image("stable", "13.3", "2025-11-03T00:00:00Z", conflicting);
    upgrade_now(&world);
    write_etc(&world, 1, "app", "a file of mine");
    let error = finalize_staged(&world.sysroot(), &world.context()).unwrap_err();
    assert!(error.to_string().contains("/etc/app"), "{error}");
    world.cut_power();
    assert_eq!(world.order(), "2: 1:booted+default");
    let events: Vec<_> = world.sysroot().history(None).unwrap().events;
    let last = events.last().unwrap();
    assert_eq!((last.event.to_string(), last.id), ("finalize-failed".to_string(), id(2)));
}

#[test]
fn where_etc_is_transient_nothing_is_carried() {
    let world = running();
    let booted = r#"{"version":1,"stateroot":"default","id":1,"transientEtc":true}"#;
    fs::write(world.path().join("host/run/reroot/booted.json"), booted).unwrap();
    write_etc(&world, 1, "hostname", "of this boot\n");
    upgrade_now(&world);
    world.reboot();
    assert_eq!(read_etc(&world, 2, "hostname"), None);
}

#[test]
fn an_image_that_failed_here_is_not_installed_again() {
    let mut world = running();
    mark_good(&world.sysroot(), &health::MarkOptions::default(), &world.context()).unwrap();
    upgrade_now(&world);
    world.reboot();
    mark_bad(&world.sysroot(), &health::MarkOptions::default(), Some("it does not work"), &world.context())
        .unwrap();
    assert_eq!(world.order(), "1:default 2:booted");
    world.reboot();
    let error = upgrade_with(&world, &UpgradeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("failed on this machine as deployment 2"), "{error}");
    assert_eq!(world.order(), "1:booted+default 2:");
    let allowed = UpgradeOptions { failed: KnownFailed::Allow, ..Default::default() };
    assert_eq!(upgrade_with(&world, &allowed).unwrap().id, id(3));
    unstage(&world.sysroot(), Run::Real, &world.context()).unwrap();
    // A newer one is taken as usual.
    world.os("stable", 3);
    assert_eq!(upgrade_now(&world).id, id(4));
}

#[test]
fn the_next_boot_says_what_the_shutdown_did_not_finish() {
    let world = running();
    upgrade_now(&world);
    world.cut_power();
    let said = |world: &World| {
        boot_complete(&world.sysroot(), &world.context()).unwrap();
        std::mem::take(&mut *world.warnings.0.lock().unwrap()).join("\n")
    };
    assert!(said(&world).contains("deployment 2 was staged and is lost"));
    upgrade_now(&world);
    fs::remove_dir_all(world.deployments().join("3/usr")).unwrap();
    finalize_staged(&world.sysroot(), &world.context()).unwrap_err();
    world.cut_power();
    assert!(said(&world).contains("deployment 3 was not finalized at the last shutdown: finalizing"));
}
