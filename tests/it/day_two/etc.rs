//! `/etc` from deployment to deployment, by the real program. What exactly is merged: src/sysroot/etc_merge.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::machine::{Loader, Machine};
use crate::support::image::Layer;

#[test]
fn local_changes_go_along_with_new_defaults_beside_them() {
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        machine.write(1, "etc/new-here", "a new local file\n");
        fs::remove_file(machine.file(1, "etc/unchanged")).unwrap();
        fs::remove_dir_all(machine.file(1, "etc/app.d")).unwrap();
        symlink("/ENOENT", machine.file(1, "etc/broken")).unwrap();
        let more =
            Layer::new().file("etc/new-default", "new\n").dir("etc/new.d").file("etc/new.d/moo", "moo\n");
        machine.publish("stable", 2, more);
        machine.ok(&["upgrade"]);
        // Changed between staging and shutdown.
        machine.write(1, "etc/late", "late\n");
        assert_eq!(machine.reboot(), 2);
        for (path, text) in [
            ("etc/new-here", Some("a new local file\n")),
            ("etc/late", Some("late\n")),
            ("etc/new-default", Some("new\n")),
            ("etc/new.d/moo", Some("moo\n")),
            ("etc/release", Some("release 2\n")),
            ("etc/unchanged", None),
        ] {
            assert_eq!(machine.read(2, path).as_deref(), text, "{path}");
        }
        assert!(!machine.file(2, "etc/app.d").exists() && machine.file(2, "usr/etc/app.d").exists());
        assert_eq!(fs::read_link(machine.file(2, "etc/broken")).unwrap().to_str(), Some("/ENOENT"));
        // The older one has what it had.
        assert_eq!(machine.read(1, "etc/new-default"), None);
        assert_eq!(machine.read(1, "etc/release").as_deref(), Some("release 1\n"));
        machine.assert_sound("merged");
    }
}

#[test]
fn modes_of_new_directories_links_and_deletions_survive_and_fifos_stay_behind() {
    let mut machine = Machine::running(Loader::Grub);
    let chain = [("a", 0o700), ("a/long", 0o770), ("a/long/dir", 0o777), ("a/long/dir/chain", 0o707)];
    for (path, mode) in chain {
        let path = machine.file(1, "etc").join(path);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("no-such-file", machine.file(1, "etc/a/link")).unwrap();
    let fifo = machine.file(1, "etc/fifo");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, rustix::fs::Mode::RUSR, 0).unwrap();
    machine.release(2);
    let said = machine.run(&["upgrade"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(machine.reboot(), 2);
    for (path, mode) in chain {
        let found = fs::metadata(machine.file(2, "etc").join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, mode, "{path}");
    }
    assert!(machine.file(2, "etc/a/link").is_symlink());
    assert!(!machine.file(2, "etc/fifo").exists());
}

#[test]
fn a_file_of_mine_keeps_its_directory_when_the_image_drops_it() {
    let mut machine = Machine::running(Loader::Grub);
    machine.write(1, "etc/app.d/20-mine.conf", "mine\n");
    machine.publish("stable", 2, Layer::new().whiteout("etc/app.d"));
    machine.ok(&["upgrade"]);
    machine.reboot();
    assert!(!machine.file(2, "usr/etc/app.d").exists());
    assert_eq!(machine.read(2, "etc/app.d/20-mine.conf").as_deref(), Some("mine\n"));
    assert_eq!(machine.read(2, "etc/app.d/10-default.conf"), None);
}

#[test]
fn an_empty_etc_beside_usr_etc_is_no_mistake_and_files_in_both_are() {
    let mut machine = Machine::installed(Loader::Grub);
    let defaults = || Layer::new().dir("usr/etc").file("usr/etc/nm.conf", "a default\n");
    let none = Layer::new().opaque("etc");
    let image = super::machine::os(1, none).layer(defaults());
    machine.layout.tag("stable", &image);
    machine.ok(&["deploy", &machine.stable()]);
    assert_eq!(machine.read(1, "etc/nm.conf").as_deref(), Some("a default\n"));
    machine.publish("both", 1, defaults());
    machine.refused(&["deploy", &machine.layout.reference("both")], 1, &["/usr/etc", "both"]);
}

/// A conflict both ways: what is here, and what the next image has there.
fn conflicts() -> [(&'static str, &'static str, Layer); 2] {
    [
        ("etc/conflict", "etc/conflict/inner.conf", {
            Layer::new().dir("etc/conflict").file("etc/conflict/inner.conf", "inner\n")
        }),
        ("etc/conflict/local.conf", "etc/conflict", Layer::new().file("etc/conflict", "now a file\n")),
    ]
}

#[test]
fn a_file_against_a_directory_is_told_before_anything_is_staged() {
    for loader in Loader::ALL {
        for (local, new, layer) in conflicts() {
            let mut machine = Machine::running(loader);
            machine.write(1, local, "mine\n");
            machine.publish("other", 2, layer);
            let other = machine.layout.reference("other");
            for _ in 0..2 {
                machine.refused(&["switch", &other], 1, &["/etc/conflict"]);
            }
            assert_eq!(machine.order(), "1:booted+default");
            machine.assert_sound("refused");

            machine.ok(&["switch", "--etc-strategy", "keep-local", &other]);
            assert_eq!(machine.reboot(), 2);
            assert_eq!(machine.read(2, local).as_deref(), Some("mine\n"));
            machine.ok(&["rollback"]);
            assert_eq!(machine.reboot(), 1);
            machine.ok(&["deploy", "--etc-strategy", "take-new", &other]);
            assert_eq!(machine.reboot(), 3);
            assert_ne!(machine.read(3, local).as_deref(), Some("mine\n"));
            assert!(machine.read(3, new).is_some());
            machine.assert_sound("settled");
        }
    }
}

#[test]
fn a_conflict_that_comes_up_until_the_shutdown_boots_the_old_one_and_is_told() {
    for loader in Loader::ALL {
        for (local, _, layer) in conflicts() {
            let mut machine = Machine::running(loader);
            machine.publish("stable", 2, layer);
            machine.ok(&["upgrade"]);
            machine.write(1, local, "mine\n");
            let ran = machine.run(&["finalize-staged"]);
            assert_ne!(ran.code, Some(0));
            assert!(ran.stderr.contains("/etc/conflict"), "{}", ran.stderr);
            assert_eq!(machine.settled("failed"), [1]);
            assert_eq!(machine.cut_power(), 1);
            let failed = machine.reroot.sysroot.join("reroot/finalize-failed.json");
            assert!(fs::read_to_string(&failed).unwrap().contains("/etc/conflict"));
            // The next one ends it.
            machine.ok(&["upgrade", "--etc-strategy", "take-new"]);
            assert_eq!(machine.reboot(), 3);
            assert!(!failed.exists());
            machine.ok(&["prune"]);
            machine.assert_sound("after all");
        }
    }
}
