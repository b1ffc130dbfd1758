//! What an upgrade takes, what it refuses, and what it follows.

use std::fs;

use super::machine::{Loader, Machine, os};
use crate::support::image::Layer;

#[test]
fn an_upgrade_brings_the_new_files_and_boots_after_the_shutdown() {
    for loader in Loader::ALL {
        let machine = Machine::outdated(loader);
        let report = machine.json(&["upgrade"]);
        assert_eq!((&report["id"], &report["staged"]), (&2.into(), &true.into()));
        // Until then nothing boots it, and the old one is what it was.
        assert_eq!(machine.settled("staged"), [1]);
        assert_eq!(machine.order(), "2:staged 1:booted+default");
        assert_eq!(machine.reboot(), 2);
        assert_eq!(machine.order(), "2:booted+default 1:rollback");
        assert_eq!(machine.read(2, "usr/lib/version").as_deref(), Some("2\n"));
        assert_eq!(machine.read(1, "usr/lib/version").as_deref(), Some("1\n"));
        assert!(machine.json(&["upgrade"])["unchanged"].as_bool().unwrap());
        assert_eq!(machine.run(&["upgrade", "--unchanged-exit-77"]).code, Some(77));
        machine.assert_sound("upgraded");
    }
}

#[test]
fn a_power_cut_before_the_shutdown_boots_the_old_one_and_prune_takes_the_rest() {
    for loader in Loader::ALL {
        let machine = Machine::outdated(loader);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.cut_power(), 1);
        assert_eq!(machine.order(), "2: 1:booted+default");
        assert_eq!(machine.ok(&["finalize-staged"]), "Nothing is staged\n");
        assert_eq!(machine.settled("abandoned"), [1]);
        machine.ok(&["prune"]);
        assert_eq!(machine.order(), "1:booted+default");
        machine.assert_sound("pruned");
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 3);
        machine.assert_sound("after all");
    }
}

#[test]
fn the_origin_may_be_edited_and_upgrades_follow_it() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        machine.publish("bacon", 2, Layer::new());
        let file = machine.deployments().join("1.origin");
        let origin = fs::read_to_string(&file).unwrap();
        fs::write(&file, origin.replace(":stable\"", ":bacon\"")).unwrap();
        machine.ok(&["upgrade"]);
        machine.reboot();
        let status = machine.status();
        assert!(status["deployments"][0]["follows"].as_str().unwrap().ends_with(":bacon"));
        assert_eq!(machine.read(2, "usr/lib/version").as_deref(), Some("2\n"));
        // A mistake in it is told with its line, and costs nothing.
        let file = machine.deployments().join("2.origin");
        fs::write(&file, "[image]\nreference = 7\n").unwrap();
        machine.refused(&["upgrade"], 2, &["/reroot/deploy/default/deploy/2.origin:2"]);
    }
}

#[test]
fn a_version_is_in_a_title_once() {
    let mut machine = Machine::installed(Loader::SystemdBoot);
    for (n, name) in [(1, "Demo OS 1"), (2, "Demo OS"), (3, "Demo OS 3.0 (3)")] {
        let text = format!("ID=demo\nNAME=\"Demo OS\"\nVERSION_ID={n}\nPRETTY_NAME=\"{name}\"\n");
        machine.publish("stable", n, Layer::new().file("usr/lib/os-release", text));
        machine.ok(&["deploy", &machine.stable()]);
        assert_eq!(machine.title(n.into()), format!("{name} (reroot:{n})"));
    }
}

#[test]
fn something_older_is_taken_only_when_it_is_meant() {
    for loader in Loader::ALL {
        let mut machine = Machine::outdated(loader);
        machine.ok(&["upgrade"]);
        machine.reboot();
        machine.release(1);
        machine.refused(&["upgrade"], 1, &["is older than what is deployed", "--allow-downgrade"]);
        machine.ok(&["upgrade", "--allow-downgrade"]);
        machine.reboot();
        assert_eq!(machine.read(3, "usr/lib/version").as_deref(), Some("1\n"));
        machine.release(2);
        machine.ok(&["upgrade"]);
        machine.reboot();
        assert_eq!(machine.read(4, "usr/lib/version").as_deref(), Some("2\n"));
    }
}

#[test]
fn a_version_between_what_runs_and_the_newest_can_be_asked_for() {
    let mut machine = Machine::running(Loader::Grub);
    let second = machine.publish("v2", 2, Layer::new());
    let third = machine.publish("stable", 3, Layer::new());
    machine.refused(&["upgrade", "--require-digest", &second], 5, &[&second, &third, "nothing was fetched"]);
    machine.ok(&["upgrade", "--tag", "v2", "--require-digest", &second]);
    machine.reboot();
    assert_eq!(machine.read(2, "usr/lib/version").as_deref(), Some("2\n"));
    // It follows the tag that was asked for.
    assert!(machine.json(&["upgrade"])["unchanged"].as_bool().unwrap());
    machine.ok(&["upgrade", "--tag", "stable"]);
    machine.reboot();
    assert_eq!(machine.read(3, "usr/lib/version").as_deref(), Some("3\n"));
}

#[test]
fn status_says_where_a_deployment_came_from() {
    let machine = Machine::running(Loader::None);
    let image = &machine.status()["deployments"][0]["image"];
    assert_eq!(image["reference"], machine.stable());
    assert_eq!(image["version"], "1");
    assert!(image["timestamp"].as_str().unwrap().starts_with("2026-01-01"));
    let text = machine.ok(&["status", "-v"]);
    assert!(text.contains(&machine.stable()), "{text}");
}

#[test]
fn switching_to_what_is_followed_changes_nothing_and_to_another_image_follows_that() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        let stable = machine.stable();
        assert_eq!(machine.run(&["switch", &stable, "--unchanged-exit-77"]).code, Some(77));
        assert_eq!(machine.order(), "1:booted+default");
        machine.publish("devel", 1, Layer::new().file("usr/include/foo.h", "header"));
        let devel = machine.layout.reference("devel");
        machine.ok(&["switch", &devel]);
        assert_eq!(machine.reboot(), 2);
        assert_eq!(machine.read(2, "usr/include/foo.h").as_deref(), Some("header"));
        assert_eq!(machine.status()["deployments"][0]["follows"], devel);
        // The same image elsewhere is another image to follow.
        machine.layout.tag("copy", &os(1, Layer::new().file("usr/include/foo.h", "header")));
        let copy = machine.layout.reference("copy");
        machine.ok(&["switch", &copy]);
        machine.reboot();
        assert_eq!(machine.status()["deployments"][0]["follows"], copy);
        machine.assert_sound("switched");
    }
}

#[test]
fn var_is_filled_by_the_first_deployment_and_never_again() {
    let mut machine = Machine::running(Loader::Grub);
    let var = machine.reroot.sysroot.join("reroot/deploy/default/var");
    assert_eq!(fs::read_to_string(var.join("lib/seed")).unwrap(), "seed\n");
    fs::write(var.join("lib/data"), "of users").unwrap();
    fs::remove_file(var.join("lib/seed")).unwrap();
    let more = Layer::new().file("var/lib/other", "of version 2");
    machine.publish("stable", 2, more);
    machine.ok(&["upgrade"]);
    machine.reboot();
    let mut names: Vec<_> = fs::read_dir(var.join("lib")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data"]);
}

#[test]
fn an_image_whose_boots_are_judged_is_on_trial() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        let unit = "usr/lib/systemd/system/reroot-boot-complete.service";
        machine.publish("stable", 2, Layer::new().file(unit, "[Unit]\n"));
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 2);
        let entry = machine.entries("on trial")[0].clone();
        assert_eq!(entry.is_on_trial, loader != Loader::None);
        assert_eq!(entry.file_name.contains("+3."), loader == Loader::SystemdBoot, "{}", entry.file_name);
    }
}
