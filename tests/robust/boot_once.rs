//! `boot-once`: one start boots something else, and nothing else changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::boot::settled_menu;
use crate::support::image::{Image, Layout, bootable_layer};
use crate::world::World;

/// Three deployments in a sysroot with GRUB.
fn machine() -> (World, tempfile::TempDir) {
    let temp = crate::world::scratch();
    fs::create_dir(temp.path().join("sysroot")).unwrap();
    let world = World::at(&temp.path().join("sysroot"), &temp.path().join("config"));
    let mut layout = Layout::new(temp.path().join("images"));
    for n in ["1", "2", "3"] {
        layout.tag("stable", &Image::new().layer(bootable_layer().file("usr/lib/version", n)).version(n));
        world.succeed(&["deploy", &layout.reference("stable")]);
    }
    (world, temp)
}

/// What GRUB's environment says about it.
fn once(world: &World) -> Option<String> {
    let block = fs::read_to_string(world.root.join("boot/loader/grubenv")).unwrap();
    block.lines().find_map(|line| line.strip_prefix("reroot_once=")).map(String::from)
}

#[test]
fn the_next_start_boots_it_and_the_menu_stays() {
    let (world, temp) = machine();
    let menu = || fs::read(world.root.join("boot/loader/grub.cfg")).unwrap();
    let before = menu();
    assert_eq!(once(&world), None);

    let ran = world.succeed(&["boot-once", "2"]);
    assert_eq!(
        ran.stdout,
        "The next start boots deployment 2 (version 2); after that deployment 3 boots again\n"
    );
    assert_eq!(once(&world).as_deref(), Some("reroot-0000000002"));
    let ran = world.succeed(&["boot-once", "3", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["id"], &report["then"]["id"]), (&3.into(), &3.into()));
    assert_eq!(once(&world).as_deref(), Some("reroot-0000000003"));
    assert_eq!(settled_menu(&world, "boot-once"), [3, 2, 1]);
    assert_eq!(menu(), before);

    assert_eq!(world.succeed(&["boot-once", "--cancel"]).stdout, "The next start boots deployment 3\n");
    assert_eq!(
        world.succeed(&["boot-once", "--cancel"]).stdout,
        "No change: the next start boots deployment 3\n"
    );
    assert_eq!(once(&world), None);

    // With --apply systemd is asked to restart the machine, when all is written.
    let (bin, asked) = (temp.path().join("bin"), temp.path().join("asked"));
    fs::create_dir(&bin).unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" > {}\n", asked.display());
    fs::write(bin.join("systemctl"), script).unwrap();
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let done = world.command(&["boot-once", "1", "--apply"]).env("PATH", path).status().unwrap();
    assert!(done.success());
    assert_eq!(fs::read_to_string(asked).unwrap(), "reboot\n");
    assert_eq!(once(&world).as_deref(), Some("reroot-0000000001"));
}

#[test]
fn what_cannot_be_booted_once_is_refused() {
    let (world, _temp) = machine();
    let error = |args: &[&str]| {
        let ran = world.run(&[&["boot-once"], args].concat());
        assert_ne!(ran.code, Some(0), "{args:?}");
        ran.stderr.lines().next().unwrap().to_owned()
    };
    assert_eq!(error(&["7"]), "error: deployment 7 does not exist");
    assert!(error(&[]).starts_with("error: "));
    assert!(error(&["1", "--cancel"]).starts_with("error: "));
    let record = world.deployments().join("2.json");
    let mut changed: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    changed["finalized"] = false.into();
    fs::write(&record, changed.to_string()).unwrap();
    assert_eq!(error(&["2"]), "error: deployment 2 was never finished and is not in the boot menu");
    assert_eq!(once(&world), None);

    let loader = |text: &str| fs::write(world.root.join("reroot/boot.json"), text).unwrap();
    loader(r#"{"version": 1, "loader": "none"}"#);
    assert!(error(&["1"]).contains("the boot loader of this machine is not known to reroot (`none`)"));
    loader(r#"{"version": 1, "loader": "systemd-boot"}"#);
    assert!(error(&["1"]).contains("what boots once can be said in the running system only"));
    fs::remove_file(world.root.join("reroot/boot.json")).unwrap();
    assert!(error(&["1"]).contains("no boot loader was installed"));
}

#[test]
fn an_older_installation_gets_the_file_that_grub_writes() {
    let (world, _temp) = machine();
    let file = world.root.join("boot/loader/grubenv");
    for damage in [None, Some("")] {
        match damage {
            None => fs::remove_file(&file).unwrap(),
            Some(text) => fs::write(&file, text).unwrap(),
        }
        world.succeed(&["boot-once", "1"]);
        assert_eq!(once(&world).as_deref(), Some("reroot-0000000001"));
        assert_eq!(fs::metadata(&file).unwrap().len(), 1024);
    }
}
