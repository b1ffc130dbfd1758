//! The life of an installed machine: upgrades from a registry, with the changes of `/etc` up to the shutdown, and
//! rollbacks.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::checks::{off, running};
use crate::harness::derived::Shared;
use crate::harness::image::Variant;
use crate::harness::machine::Spec;
use crate::harness::{Checks, Image, Published, Vm};
use crate::installed::{SLOW, booted, by_systemd_boot, install_following};
use crate::support::image::Layer;
use crate::support::skip::{say, scratch, skip};

/// Which loader of the image is installed.
pub fn bootloader(variant: Variant) -> &'static str {
    match variant {
        Variant::Dracut => "systemd-boot",
        Variant::InitramfsTools => "grub",
    }
}

/// An installed machine that runs version 1 of an image and follows a registry, on its first boot.
pub struct Host {
    pub checks: Checks,
    pub registry: Published,
    /// Version 1.
    pub image: Image,
    pub directory: TempDir,
}

impl Host {
    /// Installs an image with a layer on top, and boots it; nothing where that cannot be done.
    pub fn start(name: &str, variant: Variant, first: Layer) -> Option<Self> {
        let directory = scratch();
        let made = Image::build(variant).and_then(|image| Ok((image, Published::start(directory.path())?)));
        let (image, registry) = match made {
            Ok(made) => made,
            Err(reason) => {
                skip(&format!("vm::{name}"), reason);
                return None;
            }
        };
        let image = image.version("1", first, directory.path(), Shared::Linked);
        let checks = boot_installed(name, &image, variant, &registry, directory.path());
        Some(Self { checks, registry, image, directory })
    }

    /// One more machine with the same image, on its first boot as well, that may use the registry.
    pub fn another(&self, name: &str, variant: Variant) -> Checks {
        let directory = self.directory.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        let mut checks = boot_installed(name, &self.image, variant, &self.registry, &directory);
        self.registry.configure(&mut checks.vm);
        checks.check("the first boot is complete", settled);
        checks
    }

    /// Lets the machine use the registry, and settle.
    pub fn configure(&mut self) {
        self.registry.configure(&mut self.checks.vm);
        self.checks.check("the first boot is complete", settled);
    }

    /// Publishes version 1 with a layer on top.
    pub fn publish(&self, version: &str, layer: Layer) -> Image {
        let image = self.image.version(version, layer, self.directory.path(), Shared::Linked);
        self.registry.push(&image);
        image
    }
}

fn boot_installed(
    name: &str,
    image: &Image,
    variant: Variant,
    registry: &Published,
    directory: &Path,
) -> Checks {
    let options = ["--bootloader", bootloader(variant)];
    let spec = install_following(&registry.reference(), image, name, directory, &options);
    Checks::after_login(Vm::start(&Spec { network: true, ..spec }))
}

/// No unit has failed, and ours have nothing to complain of.
pub fn settled(vm: &mut Vm) {
    running(vm);
    let warnings = vm.ok("journalctl -b -q -o short-monotonic -p warning -u 'reroot-*'");
    assert_eq!(warnings, "");
    for unit in
        ["reroot-finalize-staged.service", "reroot-boot-complete.service", "reroot-status-updated.path"]
    {
        assert_eq!(vm.run(&format!("systemctl is-active {unit}")).output.trim(), "active", "{unit}");
    }
}

/// Files of ours in the boot menu.
pub fn entries(vm: &mut Vm) -> Vec<String> {
    vm.ok("ls /boot/loader/entries").lines().map(str::to_owned).collect()
}

/// What happened to a deployment, oldest first.
pub fn events(vm: &mut Vm, id: u64) -> Vec<String> {
    let history: Value = serde_json::from_str(&vm.ok("reroot history --json")).unwrap();
    let of = history["events"].as_array().unwrap().iter().filter(|event| event["id"] == id);
    of.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// Runs a command that must end with this code, says how long it took, and gives what it printed.
pub fn timed(vm: &mut Vm, code: i32, command: &str) -> String {
    let started = std::time::Instant::now();
    let ran = vm.run_within(SLOW, command);
    say(&format!("{}: {command}: {:.1} s", vm.spec.name, started.elapsed().as_secs_f64()));
    assert_eq!(ran.code, code, "{command}: {}", ran.output);
    ran.output
}

#[test]
fn day_two_systemd_boot() {
    day_two("day_two_systemd_boot", Variant::Dracut);
}

#[test]
#[ignore = "make test-vm"]
fn day_two_grub() {
    day_two("day_two_grub", Variant::InitramfsTools);
}

const DEFAULTS: &str = "etc/day-two";

fn defaults(version: &str, names: &[&str]) -> Layer {
    let layer = Layer::new().dir(DEFAULTS).file("usr/lib/day-two", version);
    names.iter().fold(layer, |layer, name| layer.file(format!("{DEFAULTS}/{name}"), version))
}

/// What is in the files of `/etc` that this is about; `-` is one that does not exist, `/` a directory.
fn etc(vm: &mut Vm) -> String {
    let names = "untouched local both deleted in-the-way added late of-2";
    vm.ok(&format!(
        "cd /etc/day-two && for name in {names}; do \
         if [ -d $name ]; then echo $name:/; elif [ -e $name ]; then echo $name:$(cat $name); else echo $name:-; fi; \
         done | paste -sd ' '"
    ))
}

fn day_two(name: &str, variant: Variant) {
    let first = defaults("1", &["untouched", "local", "both", "deleted", "in-the-way"]);
    let Some(mut host) = Host::start(name, variant, first) else { return };
    let second = defaults("2", &["untouched", "both", "new", "in-the-way/file"]);
    host.publish("2", second.dir(format!("{DEFAULTS}/in-the-way")));
    if variant == Variant::Dracut {
        by_systemd_boot(&mut host.checks, &host.registry.reference());
    }
    host.configure();
    let checks = &mut host.checks;
    let identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";
    let before = checks.vm.ok(identity);

    checks.check("an upgrade that cannot merge /etc is refused before anything is made", |vm| {
        vm.ok(
            "cd /etc/day-two && rm deleted && for f in local both in-the-way added; do echo mine > $f; done",
        );
        vm.ok("echo data > /var/lib/day-two");
        timed(vm, 0, "reroot upgrade --check");
        let said = timed(vm, 1, "reroot upgrade --quiet 2>&1");
        assert!(said.contains("/etc/day-two/in-the-way"), "{said}");
        assert_ne!(vm.run("ls /run/reroot/staged.json || ls /run/reboot-required").code, 0);
        vm.ok("test ! -e /sysroot/reroot/deploy/os/deploy/2");
    });
    checks.check("with a strategy it is staged, and not in the menu", |vm| {
        let menu = entries(vm);
        timed(vm, 0, "reroot upgrade --quiet --etc-strategy keep-local");
        vm.ok("ls /run/reroot/staged.json /run/reboot-required");
        assert_eq!(entries(vm), menu);
        let status: Value = serde_json::from_str(&vm.ok("reroot status --json")).unwrap();
        assert_eq!(status["deployments"][0]["slots"][0], "staged", "{status}");
        assert_eq!(events(vm, 2), ["staged"]);
        vm.ok("systemctl is-active reroot-finalize-staged-hold.service");
        // After what was staged, and before the shutdown.
        vm.ok("echo late > /etc/day-two/late");
    });
    checks.reboot();

    let on_two = "untouched:2 local:mine both:mine deleted:- in-the-way:mine added:mine late:late of-2:-";
    checks.check("the new version boots", |vm| {
        assert_eq!((booted(vm), vm.ok("cat /usr/lib/day-two").as_str()), (2, "2"));
        settled(vm);
    });
    checks.check("it has the changes of /etc up to the shutdown, and the same /var and identity", |vm| {
        assert_eq!(etc(vm), on_two);
        assert_eq!(vm.ok("cat /var/lib/day-two"), "data");
        assert_eq!(vm.ok(identity), before);
    });
    checks.check("it was finalized by the unit, booted on trial, and found good", |vm| {
        assert_eq!(events(vm, 2), ["staged", "finalized", "booted", "marked-good"]);
        let stopped = vm.ok("journalctl -q -b -1 -o cat -u reroot-finalize-staged.service");
        assert!(stopped.contains("Stopped reroot-finalize-staged.service"), "{stopped}");
        assert!(vm.ok("cat /proc/cmdline").contains("rd.emergency=reboot"));
        counted(vm, variant);
        assert_ne!(vm.run("ls /run/reroot/staged.json || ls /run/reboot-required").code, 0);
    });
    checks.check("a rollback goes back to the version before", |vm| {
        vm.ok("echo 2 > /etc/day-two/of-2 && echo more >> /var/lib/day-two");
    });
    checks.reboot_by(|vm| vm.reboot_with("reroot rollback --apply"));

    checks.check("which has its own /etc, and the same /var", |vm| {
        assert_eq!((booted(vm), vm.ok("cat /usr/lib/day-two").as_str()), (1, "1"));
        let own = "untouched:1 local:mine both:mine deleted:- in-the-way:mine added:mine late:late of-2:-";
        assert_eq!(etc(vm), own);
        assert_eq!(vm.ok("cat /var/lib/day-two"), "data\nmore");
        assert!(!vm.ok("cat /proc/cmdline").contains("rd.emergency=reboot"));
        settled(vm);
    });
    checks.check("twice is back", |vm| {
        timed(vm, 0, "reroot rollback");
    });
    checks.reboot();

    checks.check("to the newer version as it was left", |vm| {
        assert_eq!(booted(vm), 2);
        assert_eq!(etc(vm), on_two.replace("of-2:-", "of-2:2"));
        assert_eq!(vm.ok("cat /var/lib/day-two"), "data\nmore");
        assert_eq!(vm.ok(identity), before);
        settled(vm);
    });
    off(host.checks);
}

/// What the loader and the end of the boot have made of a trial of three attempts.
fn counted(vm: &mut Vm, variant: Variant) {
    match variant {
        Variant::Dracut => {
            let variable =
                "/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
            let path = vm.ok(&format!("cat {variable} | tail -c +5 | tr -d '\\000'"));
            assert!(path.contains("reroot-0000000002+2-1.conf"), "{path}");
            assert_eq!(entries(vm), ["reroot-0000000001.conf", "reroot-0000000002.conf"]);
        }
        Variant::InitramfsTools => {
            let environment = vm.ok("cat /boot/loader/grubenv");
            assert!(environment.contains("reroot_entry=reroot-0000000002\n"), "{environment}");
            assert!(environment.contains("reroot_left=2\n"), "{environment}");
            // It is good, and counted no more.
            assert_eq!(vm.run("grep -c 'save_env .*reroot_left' /boot/loader/grub.cfg").output.trim(), "0");
        }
    }
}
