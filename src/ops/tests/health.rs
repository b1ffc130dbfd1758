//! Boots that turn out well and badly.

use std::fs;

use super::super::health::*;
use super::super::*;
use super::machine::*;
use super::support::*;
use crate::boot::grub;
use crate::fsx;

#[test]
fn a_boot_that_turns_out_well_is_blessed_and_pruned() {
    let mut world = machine(5);
    world.config.retain = std::num::NonZeroUsize::new(2).unwrap();
    assert_eq!(menu(&world), "5+3=5 4=4 3=3 2=2 1=1");
    assert_eq!(start(&world, "a"), 5);
    assert_eq!(menu(&world), "5+2-1=5 4=4 3=3 2=2 1=1");
    check(&world, REQUIRED, "10-web", "echo listening");
    let report = complete(&world);
    assert_eq!((report.state, report.reason.as_deref()), (BootState::Good, None));
    assert_eq!((report.checks.len(), report.checks[0].passed), (1, true));
    assert_eq!(report.pruned, [key(1), key(2), key(3)]);
    assert_eq!((menu(&world), health(&world)), ("5=5 4=4".into(), "5:good 4:good".into()));
    assert_eq!(last_boot(&world.sysroot()).unwrap(), Some(report));
    assert_eq!(asked(&world), "");
    // Once more, and at the next boot, there is nothing to do.
    let before = (files(&world), menu(&world));
    let again = complete(&world);
    assert_eq!((again.state, again.pruned), (BootState::Good, vec![]));
    start(&world, "b");
    assert_eq!(complete(&world).state, BootState::Good);
    assert_eq!((files(&world), menu(&world)), before);
    assert_eq!(events(&world), ["booted 5", "marked-good 5", "pruned 1", "pruned 2", "pruned 3", "booted 5"]);
}

#[test]
fn pruning_after_a_boot_can_be_left_to_people() {
    let mut world = machine(3);
    world.config.retain = std::num::NonZeroUsize::MIN;
    world.config.prune_after_boot = false;
    start(&world, "a");
    assert_eq!(complete(&world).pruned, []);
    assert_eq!(health(&world), "3:good 2:good 1:good");
}

#[test]
fn three_boots_that_come_to_nothing_are_a_permanent_fall_back() {
    let world = machine(2);
    for boot_id in ["a", "b", "c"] {
        // The kernel panics.
        assert_eq!(start(&world, boot_id), 2);
    }
    assert_eq!((start(&world, "d"), menu(&world)), (1, "1=1 2+0-3=2".into()));
    let report = complete(&world);
    assert_eq!(report.state, BootState::Good);
    assert_eq!(report.fell_back[0].key, key(2));
    assert_eq!(report.fell_back[0].reason, "none of its 3 boots completed");
    assert_eq!(health(&world), "1:good 2:bad");
    assert_eq!(failed(&world), ["2: none of its 3 boots completed"]);
    assert_eq!(menu(&world), "3=1 2+0-3=2");
    let order = || world.sysroot().observe().unwrap().counters;
    let before = order();
    assert_eq!(complete(&world).fell_back.len(), 1, "of this boot");
    assert_eq!(start(&world, "e"), 1);
    assert_eq!(complete(&world).fell_back, []);
    assert_eq!(order(), before);
    assert_eq!(events(&world), ["fell-back 2", "booted 1", "booted 1"]);
}

#[test]
fn a_fall_back_of_grub_is_permanent_as_well() {
    let mut world = World::new();
    for n in 1..=2 {
        world.os("stable", n);
        world.deploy("stable");
    }
    let world = with_boot_loader(world, GRUB);
    let boot = fsx::open_dir(&world.root().join("boot")).unwrap();
    let count = |left: &str| {
        let settle = &mut || Ok(());
        grub::env::ensure(&boot, settle).unwrap();
        grub::env::change(&boot, settle, |env| {
            env.set(grub::env::ENTRY, "reroot-0000000002");
            env.set(grub::env::TRIES, "3");
            env.set(grub::env::LEFT, left);
        })
        .unwrap();
    };
    let default = || {
        let menu = read(world.root().join("boot/loader/grub.cfg"));
        menu.lines().find_map(|line| line.strip_prefix("set default=").map(String::from)).unwrap()
    };
    count("1");
    arrive(&world, 1, "a");
    assert_eq!(complete(&world).fell_back, []);
    count("0");
    arrive(&world, 1, "b");
    assert_eq!(default(), "reroot-0000000002");
    assert_eq!(complete(&world).fell_back[0].key, key(2));
    assert_eq!((default(), health(&world)), ("reroot-0000000003".into(), "1:good 2:bad".into()));
}

#[test]
fn a_required_check_that_fails_on_trial_restarts_the_machine_until_it_falls_back() {
    let world = machine(2);
    check(&world, REQUIRED, "10-web", "echo no answer; exit 1");
    check(&world, REQUIRED, "20-db", "exit 2");
    check(&world, WANTED, "30-never", "touch $0.ran");
    for boot_id in ["a", "b", "c"] {
        assert_eq!(start(&world, boot_id), 2);
        let report = complete(&world);
        assert_eq!(report.state, BootState::Restarting);
        assert_eq!(report.reason.as_deref(), Some("10-web: exit status 1 (and 1 more)"));
        assert_eq!(asked(&world), "reboot;");
    }
    assert!(!world.path().join("host").join(WANTED).join("30-never.ran").exists());
    assert_eq!(start(&world, "d"), 1);
    // The older one fails as well: the machine stays up, for somebody to look.
    let report = complete(&world);
    assert_eq!((report.state, asked(&world)), (BootState::Failed, String::new()));
    assert_eq!(report.fell_back[0].reason, "10-web: exit status 1 (and 1 more)");
    assert_eq!(failed(&world), ["2: 10-web: exit status 1 (and 1 more)"]);
    assert_eq!((menu(&world), health(&world)), ("3=1 2+0-3=2".into(), "1:good 2:bad".into()));
    let observed = world.sysroot().observe().unwrap();
    let failures = |id| &observed.deployment(&key(id)).unwrap().record.health.failures;
    let boots: Vec<_> = failures(2).iter().map(|failure| &*failure.boot_id).collect();
    assert_eq!(boots, ["a", "b", "c"].map(uuid));
    assert_eq!(failures(1)[0].boot_id, uuid("d"));
    let expected = ["check-failed 2", "check-failed 2", "check-failed 2", "fell-back 2", "check-failed 1"];
    assert_eq!(events(&world), expected);
}

#[test]
fn a_machine_with_nothing_to_fall_back_to_stays_up_in_the_end() {
    let world = machine(1);
    check(&world, REQUIRED, "10-web", "exit 1");
    for (boot_id, expected) in [("a", "reboot;"), ("b", "reboot;"), ("c", ""), ("d", "")] {
        assert_eq!(start(&world, boot_id), 1);
        complete(&world);
        assert_eq!(asked(&world), expected, "{boot_id}");
    }
    check(&world, REQUIRED, "10-web", "exit 0");
    start(&world, "e");
    assert_eq!(complete(&world).state, BootState::Good);
    assert_eq!((menu(&world), failed(&world)), ("1=1".into(), vec![]));
}

#[test]
fn a_failure_that_cannot_be_written_down_restarts_all_the_same() {
    let world = machine(2);
    check(&world, REQUIRED, "10-web", "exit 1");
    start(&world, "a");
    let sysroot = world.sysroot();
    let _guard = sysroot.shared(crate::fsx::lock::Wait::No).unwrap();
    let context = Context { wait: crate::fsx::lock::Wait::For(std::time::Duration::ZERO), ..world.context() };
    assert_eq!(boot_complete(&world.sysroot(), &context).unwrap().state, BootState::Restarting);
    // Where the loader does not count, that could go on for ever.
    arrive(&world, 2, "b");
    let counted = world.root().join("boot/loader/entries/reroot-0000000002+2-1.conf");
    fs::rename(&counted, counted.with_file_name("reroot-0000000002+3.conf")).unwrap();
    assert_eq!(boot_complete(&world.sysroot(), &context).unwrap().state, BootState::Failed);
}

#[test]
fn a_wanted_check_that_fails_is_only_said() {
    let world = machine(2);
    check(&world, WANTED, "10-mail", "exit 1");
    check(&world, REQUIRED, "10-web", "exit 0");
    start(&world, "a");
    let report = complete(&world);
    assert_eq!(report.state, BootState::Good);
    let results: Vec<_> = report.checks.iter().map(|c| (&*c.name, c.passed)).collect();
    assert_eq!(results, [("10-web", true), ("10-mail", false)]);
    let warnings = world.warnings.0.lock().unwrap();
    assert!(warnings.iter().any(|w| w.contains("10-mail failed: exit status 1")), "{warnings:?}");
}

#[test]
fn a_check_that_hangs_has_failed() {
    let mut world = machine(2);
    world.config.health_check_timeout = std::time::Duration::from_secs(1);
    check(&world, REQUIRED, "10-web", "sleep 1000");
    start(&world, "a");
    let report = complete(&world);
    assert_eq!(report.reason.as_deref(), Some("10-web: it had not ended after 1 second"));
    assert_eq!(report.state, BootState::Restarting);
}

#[test]
fn checks_that_cannot_be_looked_for_have_failed() {
    let world = machine(2);
    fs::create_dir_all(world.path().join("host/usr/lib/reroot/health.d")).unwrap();
    fs::write(world.path().join("host").join(REQUIRED), "no directory").unwrap();
    start(&world, "a");
    let report = complete(&world);
    assert_eq!(report.state, BootState::Restarting);
    assert!(
        report.reason.unwrap().starts_with("looking for checks: opening /usr/lib/reroot/health.d/required")
    );
}

#[test]
fn what_greenboot_runs_afterwards_is_run() {
    let world = machine(2);
    let note = |name: &str| format!("echo {name} >> {}/ran; exit 1", world.path().display());
    check(&world, "etc/greenboot/green.d", "a.sh", &note("green"));
    check(&world, "usr/lib/greenboot/red.d", "b.sh", &note("red"));
    start(&world, "a");
    assert_eq!(complete(&world).state, BootState::Good);
    check(&world, "etc/greenboot/check/required.d", "c.sh", "exit 1");
    assert_eq!(complete(&world).state, BootState::Failed);
    assert_eq!(read(world.path().join("ran")), "green\nred\n");
}

#[test]
fn one_that_somebody_chose_is_no_fall_back() {
    let world = machine(3);
    start(&world, "a");
    arrive(&world, 1, "b");
    let report = complete(&world);
    assert_eq!((report.state, report.fell_back), (BootState::Good, vec![]));
    assert_eq!((menu(&world), health(&world)), ("3+2-1=3 2=2 1=1".into(), "3:untried 2:good 1:good".into()));
    // The one that is known to be bad stays so, until somebody says otherwise.
    mark_bad(
        &world.sysroot(),
        &MarkOptions { id: Some(id(2)), ..Default::default() },
        None,
        &world.context(),
    )
    .unwrap();
    arrive(&world, 2, "c");
    assert_eq!(complete(&world).state, BootState::Bad);
    assert_eq!(health(&world), "3:untried 2:bad 1:good");
}

#[test]
fn without_a_boot_loader_a_boot_is_good_as_well() {
    for record in [None, Some(r#"{"version":1,"loader":"none"}"#)] {
        let world = machine(2);
        let file = world.root().join("reroot/boot.json");
        match record {
            None => fs::remove_file(file).unwrap(),
            Some(text) => fs::write(file, text).unwrap(),
        }
        arrive(&world, 2, "a");
        assert_eq!(complete(&world).state, BootState::Good);
        assert_eq!(health(&world), "2:good 1:good");
    }
}

#[test]
fn an_unreadable_menu_keeps_no_good_deployment_from_starting() {
    let world = machine(2);
    arrive(&world, 1, "a");
    fs::rename(world.root().join("boot"), world.root().join("away")).unwrap();
    assert_eq!(complete(&world).state, BootState::Good);
    let said = world.warnings.0.lock().unwrap().join("\n");
    assert!(said.contains("it is not known what the boot loader has counted"), "{said}");
    // A new one whose boots are still counted is not told to be good.
    arrive(&world, 2, "b");
    boot_complete(&world.sysroot(), &world.context()).unwrap_err();
    assert_eq!(last_boot(&world.sysroot()).unwrap().unwrap().state, BootState::Failed);
    fs::rename(world.root().join("away"), world.root().join("boot")).unwrap();
    assert_eq!(complete(&world).state, BootState::Good);
    assert_eq!(menu(&world), "2=2 1=1");
}

#[test]
fn what_is_not_booted_has_no_health() {
    let world = machine(1);
    let error = boot_complete(&world.sysroot(), &world.context()).unwrap_err();
    assert_eq!(error.to_string(), "the running system was not booted from a deployment of this sysroot");
}

#[test]
fn an_image_that_is_good_in_another_deployment_is_not_blamed() {
    let mut world = World::new();
    world.os("stable", 1);
    // Twice the same: only kernel arguments may differ.
    world.deploy("stable");
    world.deploy("stable");
    let world = with_boot_loader(world, SYSTEMD_BOOT);
    for boot_id in ["a", "b", "c"] {
        assert_eq!(start(&world, boot_id), 2);
    }
    assert_eq!(start(&world, "d"), 1);
    complete(&world);
    assert_eq!((health(&world), failed(&world)), ("1:good 2:bad".into(), vec![]));
}

#[test]
fn the_deadline_restarts_what_is_on_trial_and_nothing_else() {
    let world = machine(2);
    start(&world, "a");
    let late = boot_deadline(&world.sysroot(), None, &world.context()).unwrap();
    assert!(late.restarting);
    assert_eq!(late.reason.as_deref(), Some("the boot was not complete after 10 minutes"));
    assert_eq!(asked(&world), "reboot;");
    start(&world, "b");
    complete(&world);
    let late = boot_deadline(&world.sysroot(), None, &world.context()).unwrap();
    assert_eq!((late.restarting, late.reason, asked(&world)), (false, None, String::new()));
    edit(&world, 2, |record| {
        record["health"] = serde_json::json!({"state": "untried"});
        record.as_object_mut().unwrap().remove("tries");
    });
    assert!(!boot_deadline(&world.sysroot(), None, &world.context()).unwrap().restarting);
}

#[test]
fn emergency_mode_is_a_failure_with_a_reason_of_its_own() {
    let world = machine(2);
    start(&world, "a");
    let why = "the boot ended in emergency mode";
    let failed = boot_deadline(&world.sysroot(), Some(why), &world.context()).unwrap();
    assert_eq!((failed.restarting, failed.reason.as_deref()), (true, Some(why)));
}
