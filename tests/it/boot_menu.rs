//! The check of boot menus (support/boot_menu.rs) finds what is wrong with one.

use std::fs;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use reroot::boot::grub::GrubRoot;
use reroot::boot::plan::Menu;

use crate::support::boot::{Boot, on_trial, source, wanted};
use crate::support::boot_menu::check_settled;

/// Deployment `id` with kernel `kernel`, as number `order`.
fn deployment(root: &Path, order: u64, id: u64, kernel: u64) {
    let deploy = root.join("reroot/deploy/default/deploy");
    let modules = deploy.join(format!("{id}/usr/lib/modules/6.1"));
    fs::create_dir_all(&modules).unwrap();
    let record = format!(r#"{{"order": {order}, "kernel": "6.1"}}"#);
    fs::write(deploy.join(format!("{id}.json")), record).unwrap();
    let source = source(kernel);
    for (name, mut file) in [("vmlinuz", source.vmlinuz), ("initramfs.img", source.initrd)] {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        fs::write(modules.join(name), bytes).unwrap();
    }
}

#[test]
fn a_sound_menu_passes_and_a_damaged_one_does_not() {
    for menu in [Menu::Entries, Menu::Grub(GrubRoot::new("1A2B-3C4D", "/boot").unwrap())] {
        let root = tempfile::tempdir().unwrap();
        let boot = Boot::new(menu.clone());
        for (order, id, kernel) in [(5, 1, 1), (4, 3, 2), (3, 2, 1)] {
            deployment(root.path(), order, id, kernel);
        }
        let record = root.path().join("reroot/deploy/default/deploy/1.json");
        fs::write(record, r#"{"order": 5, "kernel": "6.1", "tries": 3}"#).unwrap();
        boot.reach(&[on_trial(5, 1, 1, 3), wanted(4, 3, 2), wanted(3, 2, 1)]);
        let listed = check_settled(root.path(), boot.path(), "sound");
        assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [1, 3, 2]);

        let entry = "loader/entries/reroot-0000000004.conf";
        let text = fs::read_to_string(boot.path().join(entry)).unwrap();
        let linux = text.lines().find_map(|line| line.strip_prefix("linux /")).unwrap().to_owned();
        let kernel = fs::read(boot.path().join(&linux)).unwrap();
        let mut damages: Vec<(&str, &str, Vec<u8>)> = vec![
            ("a kernel", &linux, [&kernel[..kernel.len() - 1], b"x"].concat()),
            ("no such deployment", entry, text.replace("deploy/3", "deploy/4").into_bytes()),
            ("another deployment's", entry, text.replace("deploy/3", "deploy/1").into_bytes()),
            ("the order", entry, text.replace("version 4", "version 9").into_bytes()),
            ("half a file", entry, text.as_bytes()[..text.len() - 9].to_vec()),
        ];
        if let Menu::Grub(_) = menu {
            let grub = fs::read_to_string(boot.path().join("loader/grub.cfg")).unwrap();
            let (head, entries) = grub.split_once("menuentry ").unwrap();
            let turned: Vec<&str> = entries.split("menuentry ").collect();
            let turned = format!("{head}menuentry {}menuentry {}", turned[1], turned[0]);
            let default = grub.replace("default=reroot-0000000005", "default=reroot-0000000004");
            damages.push(("the menu's order", "loader/grub.cfg", turned.into_bytes()));
            damages.push(("the default", "loader/grub.cfg", default.into_bytes()));
            damages.push(("an argument", "loader/grub.cfg", grub.replacen(" ro ", " rw ", 1).into_bytes()));
            for (from, to) in [
                ("elif [ \"$reroot_left\" = 1 ]", "elif [ \"$reroot_left\" = 2 ]"),
                ("save_env --file ($root)/boot/loader/grubenv reroot_once", "true"),
                ("    reboot\n", ""),
                ("default=reroot-0000000004", "default=reroot-0000000005"),
                ("reroot-0000000005:0", "reroot-0000000004:0"),
                ("set default=\"$reroot_id\"", "set default=\"$reroot_next\""),
            ] {
                let (from, to) = (from.replace("    ", "\t"), to);
                damages.push(("the choice", "loader/grub.cfg", grub.replacen(&from, to, 1).into_bytes()));
            }
            boot.write("loader/grubenv", &reroot::boot::grub::env::Environment::default().print().unwrap());
            damages.push(("the environment", "loader/grubenv", b"# GRUB Environment Block\n".to_vec()));
        }
        for (what, path, bytes) in damages {
            let before = fs::read(boot.path().join(path)).unwrap();
            assert_ne!(bytes, before, "{what}");
            fs::write(boot.path().join(path), bytes).unwrap();
            let check = || check_settled(root.path(), boot.path(), "");
            assert!(catch_unwind(AssertUnwindSafe(check)).is_err(), "{what} is not found");
            fs::write(boot.path().join(path), before).unwrap();
        }
        fs::remove_file(boot.path().join(entry)).unwrap();
        let check = || check_settled(root.path(), boot.path(), "");
        assert!(catch_unwind(AssertUnwindSafe(check)).is_err(), "a missing entry is not found");
    }
}
