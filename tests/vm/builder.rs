//! The images that the Containerfile makes, looked at as somebody who builds them would.

use std::process::Command;

use crate::checks::{first_boot, mounts, off};
use crate::harness::image::Variant;
use crate::harness::{Checks, Image, Vm};
use crate::support::reroot::{PROGRAM, Ran};
use crate::support::skip::{scratch, skip};
use crate::support::tools::{command, missing_for_root};

#[test]
fn the_images_of_the_containerfile_are_clean() {
    let directory = scratch();
    for variant in [Variant::Dracut, Variant::InitramfsTools] {
        let image = match Image::build(variant) {
            Ok(image) => image,
            Err(reason) => return skip("vm::builder::the_images_of_the_containerfile_are_clean", reason),
        };
        let run = |arguments: &[&str]| {
            let mut command = Command::new(PROGRAM);
            command.args(arguments).arg("--quiet").env("REROOT_STORE", directory.path().join("store"));
            Ran::of(&command.env("REROOT_CONFIG_ROOT", directory.path()).output().unwrap())
        };
        let ran = run(&["container", "lint", "--fatal-warnings", &image.reference()]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        // With no layers there is one lint less.
        let root = directory.path().join(variant.name());
        let store = directory.path().join("store");
        let (store, root) = (store.to_str().unwrap(), root.to_str().unwrap());
        run(&["--sysroot", store, "image", "checkout", "--copy", &image.reference(), root]).ok();
        let ran = run(&["container", "lint", "--fatal-warnings", root]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(", 3 skipped, 0 errors, 0 warnings"), "{}", ran.stdout);
    }
}

#[test]
fn a_rechunked_image_boots() {
    let name = "a_rechunked_image_boots";
    let image = match Image::build(Variant::Dracut) {
        Ok(image) => image,
        Err(reason) => return skip(&format!("vm::builder::{name}"), reason),
    };
    let directory = scratch();
    let rechunked = image.rechunked(directory.path());
    assert_ne!(rechunked.digest(), image.digest());
    let mut checks = Checks::after_login(Vm::start(&rechunked.direct_disk(name, directory.path())));
    mounts(&mut checks);
    first_boot(&mut checks);
    checks.check("it is the rechunked image that runs", |vm| {
        let status: serde_json::Value = serde_json::from_str(&vm.ok("reroot status --json")).unwrap();
        assert!(status.to_string().contains(&rechunked.digest().to_string()), "{status:#}");
    });
    off(checks);
}

#[test]
fn a_deployment_can_be_tried_as_a_container() {
    let name = "vm::builder::a_deployment_can_be_tried_as_a_container";
    let image = match missing_for_root(&["crun"]).map_or_else(|| Image::build(Variant::Dracut), Err) {
        Ok(image) => image,
        Err(reason) => return skip(name, reason),
    };
    let directory = scratch();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("--sysroot").arg(directory.path()).args(["--quiet"]).args(arguments);
        Ran::of(&command.env("REROOT_CONFIG_ROOT", directory.path()).output().unwrap()).ok()
    };
    run(&["init"]);
    run(&["deploy", &image.reference()]);
    let bundle = format!("bundle:{}", directory.path().join("bundle").display());
    run(&[
        "container",
        "export",
        "1",
        "-o",
        &bundle,
        "--",
        "/bin/sh",
        "-c",
        "cat /etc/os-release; touch /usr/written",
    ]);
    // crun wants one hierarchy of control groups, which the machine that tests need not have.
    let script = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec crun --cgroup-manager=disabled run --bundle \"$1\" \"$2\"";
    let mut crun = command("unshare");
    crun.args(["--mount", "sh", "-c", script, "sh"]).arg(directory.path().join("bundle"));
    let ran = Ran::of(&crun.arg(format!("reroot-test-{}", std::process::id())).output().unwrap());
    assert!(ran.stdout.contains("IMAGE_ID=reroot-debian\n"), "{ran:?}");
    // The root is read-only, as on a machine.
    assert!(ran.code == Some(1) && ran.stderr.contains("Read-only file system"), "{ran:?}");
}
