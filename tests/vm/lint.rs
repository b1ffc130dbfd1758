//! The images that the Containerfile makes, looked at as somebody who builds them would.

use std::process::Command;

use crate::harness::Image;
use crate::harness::image::Variant;
use crate::support::reroot::{PROGRAM, Ran};
use crate::support::skip::{scratch, skip};

#[test]
fn the_images_of_the_containerfile_are_clean() {
    let directory = scratch();
    for variant in [Variant::Dracut, Variant::InitramfsTools] {
        let image = match Image::build(variant) {
            Ok(image) => image,
            Err(reason) => return skip("vm::lint::the_images_of_the_containerfile_are_clean", reason),
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
