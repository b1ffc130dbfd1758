//! Deployments come and go, on a sysroot that nothing runs from and on one that something does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::machine::{Loader, Machine};
use crate::support::image::Layer;

#[test]
fn a_new_sysroot_has_its_own_directory_closed_to_others_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let reroot = crate::support::reroot::Reroot::init(temp.path());
    let names: Vec<_> = fs::read_dir(&reroot.sysroot).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["reroot"]);
    let mode = fs::metadata(reroot.sysroot.join("reroot")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert!(reroot.sysroot.join("reroot/repo").is_dir() && reroot.sysroot.join("reroot/deploy").is_dir());
    // Once more changes nothing.
    reroot.run(["init"]).ok();
    assert_eq!(reroot.ids(), [0; 0]);
}

#[test]
fn the_first_deployment_is_the_default_and_nothing_can_be_rolled_back_to() {
    for loader in Loader::ALL {
        let mut machine = Machine::installed(loader);
        let digest = machine.publish("stable", 1, Layer::new());
        machine.ok(&["deploy", "--karg", "root=LABEL=MOO", "--karg", "quiet", &machine.stable()]);
        assert_eq!(machine.order(), "1:default");
        let status = machine.status();
        let deployment = &status["deployments"][0];
        assert_eq!(deployment["image"]["digest"], digest.as_str());
        assert_eq!(deployment["image"]["version"], "1");
        assert_eq!(deployment["path"], "/reroot/deploy/default/deploy/1");
        assert!(machine.deployments().join("1").is_dir());
        assert_eq!(machine.settled("the first"), [1]);
        machine.refused(&["rollback"], 1, &["no deployment to roll back to"]);
        machine.assert_sound("the first");
    }
}

#[test]
fn what_boots_has_its_kernel_its_arguments_and_its_etc_where_they_belong() {
    for loader in Loader::ALL {
        let mut machine = Machine::installed(loader);
        machine.release(1);
        machine.ok(&["deploy", "--karg", "root=LABEL=MOO", "--karg", "quiet", &machine.stable()]);
        // The cross-check has compared kernel and initramfs with those of the deployment.
        let options = machine.options(1);
        for word in ["root=LABEL=MOO", "quiet", "reroot=/reroot/deploy/default/deploy/1"] {
            assert!(options.split(' ').any(|other| other == word), "{word}: {options}");
        }
        assert_eq!(machine.read(1, "etc/release").as_deref(), Some("release 1\n"));
        assert_eq!(machine.read(1, "usr/etc/release").as_deref(), Some("release 1\n"));
        let menu = fs::read_to_string(machine.boot_dir().join("loader/grub.cfg"));
        assert_eq!(menu.is_ok(), loader == Loader::Grub);
        if let Ok(menu) = menu {
            assert!(menu.contains("/boot/reroot/"), "a path from the root of GRUB's file system: {menu}");
        }
        assert_eq!(machine.boot(), 1);
    }
}

#[test]
fn another_stateroot_is_made_when_it_is_named_and_a_bad_name_is_refused() {
    let mut machine = Machine::installed(Loader::Grub);
    machine.release(1);
    let stable = machine.stable();
    for bad in ["no/such", "..", "-x", ""] {
        machine.refused(&["deploy", &format!("--stateroot={bad}"), &stable], 2, &["stateroot"]);
    }
    machine.refused(&["upgrade", "--stateroot", "nosuchroot"], 1, &["nosuchroot"]);
    assert_eq!(machine.order(), "");
    machine.ok(&["deploy", "--stateroot", "other", &stable]);
    assert_eq!(machine.status()["stateroots"], serde_json::json!(["other"]));
}

#[test]
fn where_nothing_runs_a_deployment_is_finished_at_once_and_cannot_wait() {
    for loader in Loader::ALL {
        let mut machine = Machine::installed(loader);
        machine.release(1);
        let stable = machine.stable();
        let words = ["only in the system that runs from here"];
        machine.refused(&["deploy", "--lock-finalization", &stable], 2, &words);
        machine.ok(&["deploy", &stable]);
        machine.release(2);
        machine.refused(&["upgrade", "--download-only"], 2, &words);
        machine.refused(&["finalize-staged", "--lock"], 1, &["no deployment is staged"]);
        assert_eq!(machine.ok(&["finalize-staged"]), "Nothing is staged\n");
        assert_eq!(machine.json(&["upgrade"])["staged"], false);
        assert_eq!(machine.order(), "2:default 1:rollback");
        assert!(!machine.run_dir().exists());
    }
}

#[test]
fn a_second_deployment_inherits_the_arguments_and_leaves_the_first_alone() {
    for loader in Loader::ALL {
        let mut machine = Machine::installed(loader);
        machine.release(1);
        let stable = machine.stable();
        machine.ok(&["deploy", "--karg", "root=LABEL=MOO", &stable]);
        let entry = machine.entries("the first")[0].clone();
        let path = machine.boot_dir().join("loader/entries").join(&entry.file_name);
        let before = (fs::read(&path).unwrap(), machine.reroot.facts(1));
        for expected in [vec![2, 1], vec![3, 2, 1]] {
            machine.ok(&["deploy", &stable]);
            assert_eq!(machine.settled("one more"), expected);
            assert!(machine.options(expected[0]).contains("root=LABEL=MOO"));
            // The same kernel is there once.
            assert_eq!(fs::read_dir(machine.boot_dir().join("reroot")).unwrap().count(), 1);
        }
        assert!(before == (fs::read(&path).unwrap(), machine.reroot.facts(1)), "the first was changed");
        assert_eq!(machine.order(), "3:default 2:rollback 1:");
        machine.assert_sound("three of one image");
    }
}

#[test]
fn another_stateroot_has_its_own_numbers_and_data_and_shares_the_menu() {
    for loader in Loader::ALL {
        let machine = Machine::running(loader);
        let stable = machine.stable();
        machine.write(1, "../../var/data", "of default");
        machine.write(1, "etc/hostname", "changed\n");
        machine.ok(&["deploy", "--stateroot", "other", &stable]);
        machine.reboot();
        let entries = machine.entries("two stateroots");
        let keys: Vec<_> = entries.iter().map(|entry| (entry.stateroot.as_str(), entry.id)).collect();
        assert_eq!(keys, [("other", 1), ("default", 1)]);
        let other = machine.reroot.sysroot.join("reroot/deploy/other");
        assert!(other.join("var/lib/seed").exists() && !other.join("var/data").exists());
        // /etc belongs to a stateroot as well.
        assert_eq!(fs::read_to_string(other.join("deploy/1/etc/hostname")).unwrap(), "demo\n");
        machine.assert_all_boot("two stateroots");
        // A rollback stays in its stateroot.
        machine.refused(&["rollback"], 1, &["stateroot other has no deployment to roll back to"]);
        machine.ok(&["rollback", "--stateroot", "default", "1"]);
        machine.reboot();
        assert_eq!(machine.entries("back")[0].stateroot, "default");
    }
}

#[test]
fn no_deployment_goes_by_itself() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        for n in 2..=6 {
            machine.release(n);
            machine.ok(&["upgrade"]);
            machine.reboot();
        }
        assert_eq!(machine.settled("six"), [6, 5, 4, 3, 2, 1]);
        machine.assert_sound("six");
    }
}

#[test]
fn a_number_that_is_none_is_refused_by_every_verb() {
    let machine = Machine::outdated(Loader::SystemdBoot);
    for verb in ["undeploy", "pin", "unpin", "rollback", "boot-once"] {
        for bad in ["medal", "0medal", "", "-1", "9999999999999999999999999999999999999"] {
            machine.refused(&[verb, "--", bad], 2, &["invalid value"]);
        }
        if verb != "boot-once" {
            machine.refused(&[verb, "5000"], 1, &["deployment 5000 does not exist"]);
        }
    }
}

#[test]
fn a_deployment_can_be_made_and_not_be_booted_next() {
    for loader in Loader::ALL {
        let machine = Machine::outdated(loader);
        // What is decided last counts.
        machine.ok(&["upgrade"]);
        machine.ok(&["rollback", "1"]);
        assert_eq!(machine.order(), "1:booted+default 2:staged");
        assert_eq!(machine.reboot(), 1);
        assert_eq!(machine.settled("not the default"), [1, 2]);
        assert_eq!(machine.order(), "1:booted+default 2:rollback");
    }
}

#[test]
fn a_prune_keeps_what_a_rollback_goes_to() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        for n in 2..=4 {
            machine.release(n);
            machine.ok(&["upgrade"]);
            machine.reboot();
        }
        machine.ok(&["prune", "--retain", "1"]);
        assert_eq!(machine.order(), "4:booted+default 3:rollback");
        machine.ok(&["rollback"]);
        assert_eq!(machine.reboot(), 3);
        machine.assert_sound("pruned");
    }
}

#[test]
fn any_deployment_can_be_made_the_default_and_the_titles_stay() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        for n in 2..=3 {
            machine.release(n);
            machine.ok(&["upgrade"]);
            machine.reboot();
        }
        let titles = || [1, 2, 3].map(|id| machine.title(id));
        let before = titles();
        for (id, expected) in [("2", [2, 3, 1]), ("1", [1, 2, 3]), ("3", [3, 1, 2])] {
            machine.ok(&["rollback", id]);
            assert_eq!(machine.settled("another default"), expected);
            assert_eq!(titles(), before);
            assert_eq!(machine.reboot(), expected[0]);
        }
        machine.assert_sound("around");
    }
}

#[test]
fn what_is_undeployed_is_gone_and_the_rest_stays() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        for n in 2..=3 {
            machine.release(n);
            machine.ok(&["upgrade"]);
            machine.reboot();
        }
        machine.refused(&["undeploy", "3"], 2, &["deployment 3 is booted and cannot be removed"]);
        machine.ok(&["undeploy", "2"]);
        assert!(!machine.deployments().join("2").exists());
        assert_eq!(machine.settled("without 2"), [3, 1]);
        // From another system the first one may go as well; and what was is never used again.
        fs::remove_dir_all(machine.reroot.config.join("run")).unwrap();
        machine.ok(&["undeploy", "3"]);
        assert_eq!(machine.settled("without 3"), [1]);
        machine.ok(&["deploy", &machine.stable()]);
        assert_eq!(machine.settled("again"), [4, 1]);
        machine.assert_sound("again");
    }
}

#[test]
fn when_the_last_deployment_is_gone_a_prune_empties_the_store() {
    for loader in Loader::ALL {
        let mut machine = Machine::installed(loader);
        machine.release(1);
        machine.ok(&["deploy", &machine.stable()]);
        machine.ok(&["undeploy", "1"]);
        machine.ok(&["prune"]);
        assert_eq!(machine.order(), "");
        let objects = machine.reroot.sysroot.join("reroot/repo/objects");
        let left = fs::read_dir(objects).unwrap().flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap());
        assert_eq!(left.count(), 0);
        machine.ok(&["deploy", &machine.stable()]);
        assert_eq!(machine.settled("once more"), [2]);
        machine.assert_sound("once more");
    }
}

#[test]
fn an_image_that_is_not_there_is_refused_by_name() {
    let machine = Machine::running(Loader::Grub);
    let unknown = machine.layout.reference("unknown");
    for verb in ["deploy", "switch"] {
        machine.refused(&[verb, &unknown], 1, &["unknown"]);
        machine.refused(&[verb, "UPPER CASE"], 2, &["UPPER CASE"]);
    }
}
