//! A root in RAM, on btrfs: what is written to it is gone at the next boot.

use serde_json::Value;

use crate::checks::{disk, off, running};
use crate::harness::derived::{Shared, early_archive};
use crate::harness::image::Variant;
use crate::harness::{Checks, Image, Vm};
use crate::installed::install;
use crate::support::image::Layer;
use crate::support::skip::{scratch, skip};

const SETTINGS: &str = "usr/lib/reroot/prepare-root.toml";

#[test]
#[ignore = "make test-vm"]
fn transient_root_on_btrfs() {
    let image = match Image::build(Variant::Dracut) {
        Ok(image) => image,
        Err(reason) => return skip("vm::transient_root_on_btrfs", reason),
    };
    let directory = scratch();
    // What a build of the initramfs with the file in the image comes to.
    let text = "[root]\ntransient = true\n";
    let (initramfs, content) = image.file("/initramfs.img");
    let layer =
        Layer::new().file(&initramfs, [early_archive(SETTINGS, text), content].concat()).file(SETTINGS, text);
    let image = image.with_layer(layer, directory.path(), Shared::Linked);
    let spec = install(&image, "transient_root_on_btrfs", directory.path(), &["--filesystem", "btrfs"]);

    let mut checks = Checks::after_login(Vm::start(&spec));
    checks.check("no unit has failed", running);
    checks.check("everything can be written", |vm| {
        let booted: Value = serde_json::from_str(&vm.ok("cat /run/reroot/booted.json")).unwrap();
        assert_eq!((&booted["transientEtc"], &booted["transientRoot"]), (&false.into(), &true.into()));
        assert_eq!(vm.ok("findmnt -no FSTYPE /"), "overlay");
        vm.ok("for d in '' /usr/bin /etc /var; do echo local > $d/written; done");
        vm.ok("rm /usr/lib/os-release && echo more >> /usr/bin/written");
        assert_ne!(vm.run("touch /sysroot/written").code, 0);
    });
    disk(&mut checks);
    checks.reboot();
    checks.check("what was written to the root is forgotten, what to /etc and /var is kept", |vm| {
        vm.ok("test ! -e /written && test ! -e /usr/bin/written && test -s /usr/lib/os-release");
        assert_eq!(vm.ok("cat /etc/written /var/written"), "local\nlocal");
        let deployment = "/sysroot/reroot/deploy/os/deploy/1";
        vm.ok(&format!("test ! -e {deployment}/usr/bin/written && test -s {deployment}/usr/lib/os-release"));
    });
    checks.check("the store is as it was", |vm| {
        let ran = vm.run_within(crate::installed::SLOW, "reroot fsck");
        assert_eq!(ran.code, 0, "{ran:?}");
    });
    off(checks);
}
