//! Disks that `reroot install to-disk` wrote, booted by firmware and a boot loader.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checks::{disk, first_boot, mounts, off, outlives_a_reboot};
use crate::harness::derived::Shared;
use crate::harness::image::Variant;
use crate::harness::machine::{Boot, Spec};
use crate::harness::{Checks, Image, Vm};
use crate::support::image::Layer;
use crate::support::reroot::PROGRAM;
use crate::support::skip::{say, scratch, skip};
use crate::support::tools::{command, run};

/// What upgrades of the installed machine follow.
const FOLLOWED: &str = "docker://registry.example/team/os:stable";
/// For a command that reads or links all of the system: without KVM and on a busy machine.
pub const SLOW: Duration = Duration::from_secs(400);
/// For the console, for speed without KVM, and against a timer that is late because the host is busy.
pub const ARGUMENTS: [&str; 5] = ["console=ttyS0", "quiet", "mitigations=off", "no_timer_check", "panic=1"];

/// Installs an image to a raw disk below `directory`, and makes that larger.
pub fn install(image: &Image, name: &str, directory: &Path, more: &[&str]) -> Spec {
    install_following(FOLLOWED, image, name, directory, more)
}

/// As [`install`], with what upgrades of the machine follow.
pub fn install_following(follows: &str, image: &Image, name: &str, directory: &Path, more: &[&str]) -> Spec {
    let started = Instant::now();
    let (disk, config) = (directory.join("disk.raw"), directory.join("config"));
    fs::create_dir(&config).unwrap();
    let mut install = command(PROGRAM);
    install.args(["--quiet", "install", "to-disk", "--image", &image.reference()]);
    install.args(["--target-imgref", follows, "--stateroot", "os", "--size", "3G"]);
    install.args(ARGUMENTS.iter().flat_map(|argument| ["--karg", argument])).args(more).arg(&disk);
    run(install.env("REROOT_CONFIG_ROOT", config));
    let file = fs::File::options().write(true).open(&disk).unwrap();
    file.set_len(file.metadata().unwrap().len() + (1 << 30)).unwrap();
    say(&format!("{name}: installed in {:.1} s", started.elapsed().as_secs_f64()));
    let boot = Boot::Uefi { variables: directory.join("variables") };
    Spec { name: name.into(), boot, disks: vec![disk], network: false }
}

#[test]
#[ignore = "make test-vm"]
fn two_deployments() {
    let image = match Image::build(Variant::Dracut) {
        Ok(image) => image,
        Err(reason) => return skip("vm::two_deployments", reason),
    };
    let directory = scratch();
    let spec = install(&image, "two_deployments", directory.path(), &["--filesystem", "xfs"]);
    // The running system has the layers below: only what is new is copied into it.
    let layer = Layer::new()
        .file("usr/lib/second", "second\n")
        .dir("usr/lib/reroot/kargs.d")
        .file("usr/lib/reroot/kargs.d/50-second.toml", "kargs = [\"second\"]\n");
    let second = image.with_layer(layer, directory.path(), Shared::LeftOut);

    let mut checks = Checks::after_login(Vm::start(&spec));
    mounts(&mut checks);
    disk(&mut checks);
    checks.vm.copy_in(second.layout(), "/var/tmp");
    checks.check("the running system takes a second deployment, and keeps /sysroot read-only", |vm| {
        let started = Instant::now();
        let deploy = "reroot switch --quiet --json oci:/var/tmp/derived:os";
        let report = vm.run_within(SLOW, deploy);
        assert_eq!(report.code, 0, "{report:?}");
        say(&format!("two_deployments: deployed in {:.1} s", started.elapsed().as_secs_f64()));
        let report: Value = serde_json::from_str(&report.output).unwrap();
        assert_eq!((&report["id"], &report["stateroot"]), (&2.into(), &"os".into()));
        assert_ne!(vm.run("touch /sysroot/written").code, 0);
    });
    checks.check("it comes into the menu at the shutdown", |vm| {
        assert_eq!(menu(vm), ["reroot-0000000001.conf"]);
    });
    checks.reboot();
    checks.check("the new deployment boots", |vm| {
        assert_eq!(booted(vm), 2);
        assert!(vm.ok("cat /proc/cmdline").split(' ').any(|argument| argument == "second"));
        assert_eq!(vm.ok("cat /usr/lib/second"), "second");
    });
    checks.check("the menu has both, the new one first", |vm| {
        // Until then its entry has counters.
        vm.run_within(SLOW, "systemctl is-system-running --wait");
        assert_eq!(menu(vm), ["reroot-0000000002.conf", "reroot-0000000001.conf"]);
        let entry = vm.ok("cat /boot/loader/entries/reroot-0000000002.conf");
        assert!(["root=UUID=", " second ", " console=ttyS0 "].iter().all(|a| entry.contains(a)), "{entry}");
    });
    checks.vm.ok("bootctl set-oneshot reroot-0000000001.conf");
    checks.reboot();
    checks.check("the old one boots by its entry", |vm| {
        assert_eq!(booted(vm), 1);
        assert!(!vm.ok("cat /proc/cmdline").contains("second"));
        assert_ne!(vm.run("ls /usr/lib/second").code, 0);
    });
    checks.check("a rollback is a new entry for the older deployment", |vm| {
        let ran = vm.run_within(SLOW, "reroot rollback");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(menu(vm), ["reroot-0000000003.conf", "reroot-0000000002.conf"]);
        let entry = vm.ok("cat /boot/loader/entries/reroot-0000000003.conf");
        assert!(entry.contains("reroot=/reroot/deploy/os/deploy/1"), "{entry}");
    });
    off(checks);
}

/// The entries of ours in the order of systemd-boot's menu.
fn menu(vm: &mut Vm) -> Vec<String> {
    let menu: Value = serde_json::from_str(&vm.ok("bootctl list --no-pager --json=short")).unwrap();
    // Without those that the loader has reported at the start and that are gone since.
    let there = menu.as_array().unwrap().iter().filter(|entry| entry["type"] == "type1");
    let ids = there.map(|entry| entry["id"].as_str().unwrap().to_owned());
    ids.filter(|id| id.starts_with("reroot-")).collect()
}

pub fn booted(vm: &mut Vm) -> u64 {
    let booted: Value = serde_json::from_str(&vm.ok("cat /run/reroot/booted.json")).unwrap();
    booted["id"].as_u64().unwrap()
}

/// A first boot by systemd-boot, of a machine that follows `follows`.
pub fn by_systemd_boot(checks: &mut Checks, follows: &str) {
    mounts(checks);
    first_boot(checks);
    disk(checks);
    checks.check("the firmware started systemd-boot, and that our entry", |vm| {
        let menu = vm.ok("bootctl list --no-pager --json=short");
        let menu: Value = serde_json::from_str(&menu).unwrap();
        let entry =
            menu.as_array().unwrap().iter().find(|e| e["isSelected"] == true).expect("a booted entry");
        assert_eq!(entry["id"], "reroot-0000000001.conf");
        assert!(entry["title"].as_str().unwrap().ends_with("(reroot:1)"), "{entry}");
        let arguments = vm.ok("cat /proc/cmdline");
        for argument in ARGUMENTS {
            assert!(arguments.split_whitespace().any(|a| a == argument), "{argument}: {arguments}");
        }
    });
    checks.check("the kernel on $BOOT is the deployment's", |vm| {
        vm.ok("cmp /boot/reroot/*/vmlinuz /usr/lib/modules/*/vmlinuz");
        vm.ok("cmp /boot/reroot/*/initrd /usr/lib/modules/*/initramfs.img");
    });
    checks.check("status shows what is booted and what upgrades follow", |vm| {
        let status: Value = serde_json::from_str(&vm.ok("reroot status --json")).unwrap();
        let deployment = &status["deployments"][0];
        assert_eq!((&deployment["id"], &deployment["stateroot"]), (&1.into(), &"os".into()));
        assert_eq!(deployment["image"]["reference"], follows);
        assert_eq!(deployment["slots"], serde_json::json!(["booted", "default"]));
        assert_eq!(status["problems"], serde_json::json!([]));
    });
    checks.check("the store came whole to the disk", |vm| {
        let ran = vm.run_within(SLOW, "reroot fsck");
        assert_eq!(ran.code, 0, "{ran:?}");
    });
}

/// `/var` is a partition.
#[test]
#[ignore = "make test-vm"]
fn separate_var() {
    let image = match Image::build(Variant::Dracut) {
        Ok(image) => image,
        Err(reason) => return skip("vm::separate_var", reason),
    };
    let directory = scratch();
    let spec = install(&image, "separate_var", directory.path(), &["--var-size", "512M"]);
    let mut checks = Checks::after_login(Vm::start(&spec));
    checks.check("/var is the partition, and writable", |vm| {
        assert_eq!(vm.ok("findmnt -no FSROOT /var"), "/");
        assert_ne!(vm.ok("findmnt -no SOURCE /var"), vm.ok("findmnt -no SOURCE /sysroot"));
        assert_eq!(vm.ok("findmnt -no OPTIONS /var").split(',').next(), Some("rw"));
        vm.ok("test -d /var/lib/dpkg && test ! -e /sysroot/reroot/deploy/os/var");
    });
    first_boot(&mut checks);
    outlives_a_reboot(&mut checks);
    checks.check("the partition is there after a reboot", |vm| {
        assert_eq!(vm.ok("findmnt -no FSROOT /var"), "/");
    });
    off(checks);
}
