//! bootc's scenarios 36 (rollback) and 26 (download only), step by step.

use super::machine::{Loader, Machine};
use crate::support::image::Layer;

#[test]
fn a_rollback_boots_the_image_before_and_twice_is_none() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        let first = machine.status()["deployments"][0]["image"].clone();
        machine.publish("other", 2, Layer::new().file("usr/share-marker", "the other image"));
        machine.ok(&["switch", &machine.layout.reference("other")]);
        assert_eq!(machine.reboot(), 2);
        assert!(machine.read(2, "usr/share-marker").is_some());

        machine.ok(&["rollback"]);
        assert_eq!(machine.order(), "1:default 2:booted+rollback");
        assert_eq!(machine.reboot(), 1);
        assert_eq!(machine.status()["deployments"][0]["image"], first);

        machine.ok(&["rollback"]);
        machine.ok(&["rollback"]);
        assert_eq!(machine.order(), "1:booted+default 2:rollback");
        assert_eq!(machine.reboot(), 1);
        machine.assert_sound("rolled back");
    }
}

/// Deployment 2 runs, 1 is before it, and 3 is staged.
fn staged(loader: Loader) -> Machine {
    let mut machine = Machine::outdated(loader);
    machine.ok(&["upgrade"]);
    machine.reboot();
    machine.release(3);
    machine.ok(&["upgrade"]);
    assert_eq!(machine.order(), "3:staged 2:booted+default 1:rollback");
    machine
}

#[test]
fn a_rollback_keeps_what_is_staged_behind_it() {
    for loader in Loader::ALL {
        let machine = staged(loader);
        assert_eq!(machine.json(&["rollback"])["stillStaged"]["id"], 3);
        assert_eq!(machine.order(), "1:default 3:staged 2:booted+rollback");
        assert_eq!(machine.reboot(), 1);
        assert_eq!(machine.settled("kept"), [1, 3, 2]);
        machine.ok(&["rollback"]);
        assert_eq!(machine.reboot(), 3);
        machine.assert_sound("kept");
    }
}

#[test]
fn a_rollback_drops_what_is_staged_when_it_is_told_to() {
    for loader in Loader::ALL {
        let machine = staged(loader);
        assert_eq!(machine.json(&["rollback", "--drop-staged"])["dropped"]["id"], 3);
        assert_eq!(machine.order(), "1:default 2:booted+rollback");
        assert!(!machine.run_dir().join("staged.json").exists());
        assert_eq!(machine.reboot(), 1);
        machine.assert_sound("dropped");
    }
}

#[test]
fn unstaging_leaves_the_running_one_the_default() {
    for loader in Loader::ALL {
        let machine = staged(loader);
        machine.ok(&["unstage"]);
        machine.ok(&["unstage"]);
        assert_eq!(machine.order(), "2:booted+default 1:rollback");
        assert_eq!(machine.reboot(), 2);
        machine.assert_sound("unstaged");
    }
}

#[test]
fn a_rollback_with_todays_etc_is_a_new_deployment_of_the_older_files() {
    for loader in Loader::ALL {
        let machine = Machine::outdated(loader);
        machine.ok(&["upgrade"]);
        machine.reboot();
        machine.write(2, "etc/hostname", "today\n");
        machine.ok(&["rollback", "--keep-etc"]);
        assert_eq!(machine.order(), "3:staged 2:booted+default 1:rollback");
        assert_eq!(machine.reboot(), 3);
        assert_eq!(machine.read(3, "etc/hostname").as_deref(), Some("today\n"));
        assert_eq!(machine.read(3, "usr/lib/version").as_deref(), Some("1\n"));
        assert_eq!(machine.read(1, "etc/hostname").as_deref(), Some("demo\n"));
        machine.assert_sound("today's");
    }
}

#[test]
fn a_download_is_forgotten_by_a_reboot_and_taken_when_it_is_released() {
    for loader in Loader::ALL {
        let machine = Machine::outdated(loader);
        let download = || {
            let report = machine.json(&["upgrade", "--download-only"]);
            assert_eq!((&report["staged"], &report["locked"]), (&true.into(), &true.into()));
            report["pulled"]["unchanged"].as_bool()
        };
        assert_eq!(download(), Some(false));
        // The same once more changes nothing.
        machine.ok(&["upgrade", "--download-only"]);
        assert_eq!(machine.order(), "2:staged 1:booted+default");
        assert_eq!(machine.reboot(), 1);
        assert_eq!(machine.order(), "2: 1:booted+default");
        machine.refused(&["upgrade", "--from-downloaded"], 1, &["no deployment is staged"]);

        // Nothing is fetched a second time, and the source is not asked.
        assert_eq!(download(), Some(true));
        let images = machine.path().join("images");
        std::fs::rename(&images, machine.path().join("gone")).unwrap();
        machine.ok(&["upgrade", "--from-downloaded"]);
        assert_eq!(machine.reboot(), 3);
        assert_eq!(machine.read(3, "usr/lib/version").as_deref(), Some("2\n"));
        machine.ok(&["prune"]);
        machine.assert_sound("released");
    }
}

#[test]
fn the_last_decision_boots_in_whatever_order_they_are_made() {
    for loader in Loader::ALL {
        let mut machine = staged(loader);
        // Staged after the rollback: the staged one boots.
        machine.ok(&["rollback"]);
        machine.release(4);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.order(), "4:staged 1:default 2:booted+rollback");
        assert_eq!(machine.reboot(), 4);
        machine.assert_sound("the last decision");
    }
}
