//! Kernels on `$BOOT`, pins, and what stays.

use std::collections::BTreeSet;
use std::fs;

use super::machine::{Loader, Machine, os};
use crate::support::image::Layer;

/// The directories of kernels on `$BOOT`.
fn kernels(machine: &Machine) -> BTreeSet<String> {
    let names = fs::read_dir(machine.boot_dir().join("reroot")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Which kernel an entry names.
fn kernel_of(machine: &Machine, id: u64) -> String {
    let entry = machine.entries("kernels").into_iter().find(|entry| entry.id == id).unwrap();
    let text = fs::read_to_string(machine.boot_dir().join("loader/entries").join(entry.file_name)).unwrap();
    let linux = text.lines().find_map(|line| line.strip_prefix("linux ")).unwrap();
    linux.split('/').nth(2).unwrap().to_owned()
}

#[test]
fn a_kernel_leaves_boot_with_the_last_deployment_that_has_it() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        let first = kernel_of(&machine, 1);
        for n in 2..=3 {
            machine.release(n);
            machine.ok(&["upgrade"]);
            machine.reboot();
        }
        assert_eq!(kernels(&machine).len(), 3);
        machine.ok(&["prune", "--retain", "2"]);
        assert_eq!(machine.settled("pruned"), [3, 2]);
        assert!(!kernels(&machine).contains(&first));
        assert_eq!(machine.read(3, "usr/lib/version").as_deref(), Some("3\n"));
        machine.assert_sound("pruned");
    }
}

#[test]
fn a_new_version_with_the_same_kernel_shares_it() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        let image = os(1, Layer::new().file("usr/lib/version", "1.1\n"))
            .version("1.1")
            .created("2026-01-02T00:00:00Z");
        machine.layout.tag("stable", &image);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 2);
        assert_eq!(kernels(&machine).len(), 1);
        assert_eq!(kernel_of(&machine, 2), kernel_of(&machine, 1));
        assert_eq!(machine.status()["deployments"][0]["image"]["version"], "1.1");
        machine.ok(&["undeploy", "1"]);
        machine.assert_sound("one is gone");
    }
}

#[test]
fn a_pin_holds_across_upgrades_until_it_is_taken_off() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        machine.ok(&["pin", "1"]);
        for n in 2..=4 {
            machine.release(n);
            machine.ok(&["upgrade"]);
            machine.reboot();
            machine.ok(&["prune", "--retain", "2"]);
        }
        assert_eq!(machine.order(), "4:booted+default 3:rollback 1:pinned");
        machine.ok(&["pin", "3"]);
        machine.ok(&["unpin", "1"]);
        machine.release(5);
        machine.ok(&["upgrade"]);
        machine.reboot();
        machine.ok(&["prune", "--retain", "2"]);
        assert_eq!(machine.order(), "5:booted+default 4:rollback 3:pinned");
        machine.refused(&["undeploy", "3"], 2, &["deployment 3 is pinned"]);
        machine.ok(&["rollback", "3"]);
        assert_eq!(machine.reboot(), 3);
        machine.assert_sound("pins");
    }
}

#[test]
fn the_entries_are_there_whatever_other_menu_lies_beside_them() {
    let mut machine = Machine::installed(Loader::None);
    let foreign = machine.boot_dir().join("grub2/grub.cfg");
    fs::create_dir(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "# of others\n").unwrap();
    machine.release(1);
    machine.ok(&["deploy", "--karg", "root=LABEL=MOO", &machine.stable()]);
    assert_eq!(machine.settled("beside another menu"), [1]);
    assert_eq!(fs::read_to_string(foreign).unwrap(), "# of others\n");
    assert!(!machine.boot_dir().join("loader/grub.cfg").exists());
}

#[test]
fn five_upgrades_that_retain_four_leave_exactly_those_and_as_many_bytes_as_status_said() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        machine.reroot.configure("etc/reroot/config.d/50-test.toml", "retain = 4\n");
        for n in 2..=6 {
            let big =
                Layer::new().file("usr/share-of-one", format!("version {n}\n").repeat(5000 * n as usize));
            machine.publish("stable", n, big);
            machine.ok(&["upgrade"]);
            machine.ok(&["prune"]);
            assert_eq!(machine.reboot(), u64::from(n));
            machine.ok(&["prune"]);
        }
        assert_eq!(machine.order(), "6:booted+default 5:rollback 4: 3:");
        machine.assert_sound("five upgrades");
        let status = machine.status();
        for deployment in status["deployments"].as_array().unwrap() {
            let id = deployment["id"].as_u64().unwrap();
            let path = machine.deployments().join(id.to_string());
            assert_eq!(deployment["sizeBytes"], content_bytes(&[&path]), "{loader:?}: deployment {id}");
            // Without it there would be so much less.
            let all = (3..=6).map(|n| machine.deployments().join(n.to_string())).collect::<Vec<_>>();
            let others: Vec<_> = all.iter().filter(|other| **other != path).collect();
            let saved = content_bytes(&all.iter().collect::<Vec<_>>()) - content_bytes(&others);
            assert_eq!(deployment["uniqueBytes"], saved, "{loader:?}: deployment {id}");
        }
        // Each of them boots.
        for id in 3..=6 {
            machine.ok(&["rollback", &id.to_string()]);
            assert_eq!(machine.reboot(), id);
            assert_eq!(machine.read(id, "usr/lib/version"), Some(format!("{id}\n")));
        }
    }
}

/// The content of all files below some directories, an inode once; without directories and links themselves.
fn content_bytes(tops: &[&std::path::PathBuf]) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut open: Vec<_> = tops.iter().map(|top| (*top).clone()).collect();
    let mut sizes = std::collections::BTreeMap::new();
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            sizes.insert(meta.ino(), meta.len());
        }
    }
    sizes.into_values().sum()
}
