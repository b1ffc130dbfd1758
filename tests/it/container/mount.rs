//! `reroot container mount`: an image for ordinary programs, read-only.

use std::fs;
use std::process::Command;

use super::builder::Builder;
use crate::support::image::{Entry, Image, Layout, bootable_layer};
use crate::support::reroot::{PROGRAM, Ran};
use crate::support::skip::skip;
use crate::support::tools::command;

/// A shell with mounts of its own, which go with it; why there is none, if that is so.
pub fn shell(script: &str) -> Result<Command, String> {
    let arguments = ["--map-root-user", "--mount"];
    let arguments = if rustix::process::geteuid().is_root() { &arguments[1..] } else { &arguments[..] };
    let works = command("unshare").args(arguments).arg("true").status().is_ok_and(|status| status.success());
    if !works {
        return Err("unshare --mount does not work here".into());
    }
    let mut shell = command("unshare");
    shell.args(arguments).args(["sh", "-euc", script]).env("reroot", PROGRAM);
    Ok(shell)
}

/// The store's trees that are mounted.
fn trees(builder: &Builder) -> usize {
    fs::read_dir(builder.store().join("reroot/mounts")).map_or(0, Iterator::count)
}

#[test]
fn an_image_is_there_to_look_at_and_gone_afterwards() {
    let builder = Builder::new();
    let layer = bootable_layer().file("etc/own", "own").add(Entry::file("usr/bin/su", "su").mode(0o4755));
    Layout::new(builder.path().join("image")).tag("os", &Image::new().layer(layer));
    fs::create_dir_all(builder.path().join("mnt")).unwrap();
    fs::create_dir_all(builder.path().join("twice")).unwrap();
    // What an earlier boot left.
    fs::create_dir_all(builder.store().join("reroot/mounts/earlier.0/usr")).unwrap();
    let script = "
        $reroot container mount oci:image:os mnt
        cat mnt/etc/own
        $reroot container mount oci:image:os twice
        ls \"$REROOT_STORE\"/reroot/mounts | wc -l
        ! touch mnt/etc/new 2>/dev/null
        ! rm -f mnt/etc/own 2>/dev/null
        grep -c ' .*/mnt ro,nosuid,nodev' /proc/self/mountinfo
        $reroot container umount mnt
        ls mnt
        cat twice/etc/own
        $reroot container umount twice
        ! $reroot container umount twice
        mkdir plain && touch plain/x && $reroot container mount ./plain mnt && ls mnt && $reroot container umount mnt
    ";
    let mut shell = match shell(script) {
        Ok(shell) => shell,
        Err(reason) => {
            return skip("container::mount::an_image_is_there_to_look_at_and_gone_afterwards", reason);
        }
    };
    builder.prepare(&mut shell);
    let ran = Ran::of(&shell.output().unwrap()).ok();
    let expected = "Mounted oci:image:os at mnt\nownMounted oci:image:os at twice\n2\n1\nUnmounted mnt\nownUnmounted twice\n\
                    Mounted ./plain at mnt\nx\nUnmounted mnt\n";
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("what is mounted at twice, if anything is, is not of `container mount`"),
        "{}",
        ran.stderr
    );
    assert_eq!(trees(&builder), 0);
}

#[test]
fn who_may_not_mount_is_told_how() {
    let builder = Builder::new();
    Layout::new(builder.path().join("image")).tag("os", &Image::new().layer(bootable_layer()));
    fs::create_dir(builder.path().join("mnt")).unwrap();
    let mut mount = builder.command(&["mount", "oci:image:os", "mnt"]);
    if rustix::process::geteuid().is_root() {
        // Without the right to mount.
        let mut without = command("setpriv");
        without.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]).arg(mount.get_program());
        without.args(mount.get_args());
        builder.prepare(&mut without);
        mount = without;
    }
    let ran = Ran::of(&mount.output().unwrap());
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("mounting needs root, or `unshare --map-root-user --mount`"), "{ran:?}");
    assert_eq!(trees(&builder), 0);
}
