//! Disks that GRUB boots, by UEFI and by BIOS.

use crate::checks::{disk, first_boot, mounts, off, outlives_a_reboot};
use crate::harness::image::Variant;
use crate::harness::machine::{Boot, Spec};
use crate::harness::{Checks, Image, Vm};
use crate::installed::{ARGUMENTS, SLOW, booted, install};
use crate::support::skip::{scratch, skip};

/// `$BOOT` is the directory `/boot` of the root file system.
#[test]
#[ignore = "make test-vm"]
fn uefi_grub() {
    let Some((mut checks, _directory)) = start("uefi_grub", &[], |spec| spec) else { return };
    checks.check("firmware started GRUB", |vm| {
        vm.ok("test -d /sys/firmware/efi");
        assert!(vm.ok("cat /proc/cmdline").starts_with("BOOT_IMAGE="));
    });
    booted_by_grub(&mut checks);
    outlives_a_reboot(&mut checks);
    checks.check("other kernel arguments are another deployment, for the next reboot", |vm| {
        let ran =
            vm.run_within(SLOW, "reroot kargs --append second && grep -c ^menuentry /boot/loader/grub.cfg");
        assert_eq!((ran.code, ran.output.lines().last()), (0, Some("1")), "{ran:?}");
    });
    checks.reboot();
    checks.check("it boots, and is first in the menu", |vm| {
        assert_eq!(booted(vm), 2);
        assert!(vm.ok("cat /proc/cmdline").split_whitespace().any(|argument| argument == "second"));
        vm.run_within(SLOW, "systemctl is-system-running --wait");
        assert_eq!(vm.ok("grep -c ^menuentry /boot/loader/grub.cfg"), "2");
        let ran = vm.run_within(SLOW, "reroot rollback");
        assert_eq!(ran.code, 0, "{ran:?}");
    });
    checks.reboot();
    checks.check("after a rollback the first one boots", |vm| {
        assert_eq!(booted(vm), 1);
        assert!(!vm.ok("cat /proc/cmdline").contains("second"));
    });
    off(checks);
}

/// `$BOOT` is a file system of its own: the root file system is one that GRUB cannot be sure to read.
#[test]
#[ignore = "make test-vm"]
fn bios_grub() {
    let bios = |spec| Spec { boot: Boot::Bios, ..spec };
    let Some((mut checks, _directory)) = start("bios_grub", &["--filesystem", "xfs"], bios) else { return };
    checks.check("the BIOS started GRUB", |vm| {
        vm.ok("test ! -e /sys/firmware/efi");
        assert!(vm.ok("cat /proc/cmdline").starts_with("BOOT_IMAGE="));
        assert_eq!(vm.ok("findmnt -no FSTYPE /sysroot"), "xfs");
    });
    booted_by_grub(&mut checks);
    outlives_a_reboot(&mut checks);
    off(checks);
}

fn start(
    name: &str,
    more: &[&str],
    change: impl FnOnce(Spec) -> Spec,
) -> Option<(Checks, tempfile::TempDir)> {
    let image = match Image::build(Variant::InitramfsTools) {
        Ok(image) => image,
        Err(reason) => {
            skip(&format!("vm::{name}"), reason);
            return None;
        }
    };
    let directory = scratch();
    let options = [&["--bootloader", "grub"], more].concat();
    let spec = change(install(&image, name, directory.path(), &options));
    let mut checks = Checks::after_login(Vm::start(&spec));
    mounts(&mut checks);
    disk(&mut checks);
    first_boot(&mut checks);
    disk(&mut checks);
    Some((checks, directory))
}

fn booted_by_grub(checks: &mut Checks) {
    checks.check("the kernel on $BOOT is the deployment's, and the menu is as it was written", |vm| {
        vm.ok("cmp /boot/reroot/*/vmlinuz /usr/lib/modules/*/vmlinuz");
        vm.ok("cmp /boot/reroot/*/initrd /usr/lib/modules/*/initramfs.img");
        let menu = vm.ok("cat /boot/loader/grub.cfg");
        assert_eq!(menu.matches("menuentry").count(), 1, "{menu}");
        let arguments = vm.ok("cat /proc/cmdline");
        for argument in ARGUMENTS {
            assert!(arguments.split_whitespace().any(|a| a == argument), "{argument}: {arguments}");
        }
    });
    checks.check("the store came whole to the disk", |vm| {
        let ran = vm.run_within(SLOW, "reroot fsck");
        assert_eq!(ran.code, 0, "{ran:?}");
    });
}
