//! Boots without firmware and boot loader: the initramfs and the running system.

use std::fs;

use crate::checks::{first_boot, mounts, off, outlives_a_reboot};
use crate::harness::image::Variant;
use crate::harness::{Checks, Image, Vm};
use crate::support::skip::{scratch, skip};

#[test]
#[ignore = "make test-vm"]
fn direct_boot_dracut() {
    direct_boot("direct_boot_dracut", Variant::Dracut);
}

#[test]
#[ignore = "make test-vm"]
fn direct_boot_initramfs_tools() {
    direct_boot("direct_boot_initramfs_tools", Variant::InitramfsTools);
}

fn direct_boot(name: &str, variant: Variant) {
    let image = match Image::build(variant) {
        Ok(image) => image,
        Err(reason) => return skip(name, reason),
    };
    let directory = scratch();
    let spec = image.direct_disk(name, directory.path());

    let mut checks = Checks::after_login(Vm::start(&spec));
    mounts(&mut checks);
    first_boot(&mut checks);
    checks.check("files go in and out", |vm| {
        let there = directory.path().join("there");
        fs::create_dir_all(there.join("sub")).unwrap();
        fs::write(there.join("sub/file"), vec![7; 3_000_000]).unwrap();
        vm.copy_in(&there, "/var/tmp");
        assert_eq!(vm.ok("wc -c < /var/tmp/there/sub/file"), "3000000");
        vm.copy_out("/var/tmp/there", &directory.path().join("back"));
        assert_eq!(fs::read(directory.path().join("back/there/sub/file")).unwrap(), vec![7; 3_000_000]);
    });
    checks.vm.ok("systemctl disable --quiet fstrim.timer");
    outlives_a_reboot(&mut checks);
    checks.check("a unit that was disabled stays so", |vm| {
        assert_eq!(vm.run("systemctl is-enabled fstrim.timer").output.trim(), "disabled");
    });
    off(checks);
}
