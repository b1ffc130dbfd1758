//! Images that do not work: the machine comes back by itself to what it ran before, and says why.

use serde_json::Value;

use crate::checks::{off, running};
use crate::day_two::{Host, entries, events, timed};
use crate::harness::derived::archive_of;
use crate::harness::image::Variant;
use crate::harness::{Image, Vm};
use crate::installed::booted;
use crate::support::image::Layer;
use crate::support::skip::say;

/// What is wrong with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A unit that starts early ends the kernel.
    Panic,
    /// The program that mounts the deployment fails.
    Initramfs,
    /// A required check says no.
    Health,
    /// A file system that the machine needs cannot be mounted.
    Emergency,
}

impl Fault {
    pub fn layer(self, image: &Image) -> Layer {
        let units = "usr/lib/systemd/system";
        match self {
            Self::Panic => Layer::new()
                .dir(format!("{units}/sysinit.target.wants"))
                .symlink(format!("{units}/sysinit.target.wants/panic.service"), "../panic.service")
                .file(
                    format!("{units}/panic.service"),
                    "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh -c 'echo c > /proc/sysrq-trigger'\n",
                ),
            Self::Initramfs => {
                let (path, mut content) = image.file("/initramfs.img");
                let program = "usr/lib/reroot/reroot-prepare-root";
                content.resize(content.len().next_multiple_of(512), 0);
                let broken = "#!/bin/sh\necho this initramfs is broken > /dev/kmsg\nexit 1\n";
                Layer::new().file(path, [content, archive_of(program, 0o755, broken)].concat())
            }
            Self::Health => Layer::new()
                .dir("usr/lib/reroot/health.d/required")
                .script("usr/lib/reroot/health.d/required/10-no", "#!/bin/sh\necho nothing works\nexit 1\n"),
            Self::Emergency => Layer::new()
                .dir(format!("{units}/local-fs.target.requires"))
                .symlink(format!("{units}/local-fs.target.requires/var-lib-none.mount"), "../var-lib-none.mount")
                .file(
                    format!("{units}/var-lib-none.mount"),
                    "[Unit]\nBefore=local-fs.target\n[Mount]\nWhat=none\nWhere=/var/lib/none\nType=no-such-type\n",
                ),
        }
    }

    /// What the history says about it.
    fn reason(self) -> &'static str {
        match self {
            Self::Panic | Self::Initramfs => "its only boot did not complete",
            Self::Health => "10-no",
            Self::Emergency => "emergency mode",
        }
    }

    /// What the console says.
    fn on_console(self) -> &'static str {
        match self {
            Self::Panic => "sysrq triggered crash",
            // What dracut says; the kernel is told to be quiet.
            Self::Initramfs => "Boot has failed",
            Self::Health => "",
            Self::Emergency => "",
        }
    }
}

#[test]
fn falls_back_from_a_panic_systemd_boot() {
    falls_back("falls_back_from_a_panic_systemd_boot", Variant::Dracut, Fault::Panic);
}

#[test]
#[ignore = "make test-vm"]
fn falls_back_from_an_initramfs_systemd_boot() {
    falls_back("falls_back_from_an_initramfs_systemd_boot", Variant::Dracut, Fault::Initramfs);
}

#[test]
#[ignore = "make test-vm"]
fn falls_back_from_a_failed_check_systemd_boot() {
    falls_back("falls_back_from_a_failed_check_systemd_boot", Variant::Dracut, Fault::Health);
}

#[test]
#[ignore = "make test-vm"]
fn falls_back_from_emergency_mode_systemd_boot() {
    falls_back("falls_back_from_emergency_mode_systemd_boot", Variant::Dracut, Fault::Emergency);
}

#[test]
#[ignore = "make test-vm"]
fn falls_back_from_a_panic_grub() {
    falls_back("falls_back_from_a_panic_grub", Variant::InitramfsTools, Fault::Panic);
}

#[test]
#[ignore = "make test-vm"]
fn falls_back_from_a_failed_check_grub() {
    falls_back("falls_back_from_a_failed_check_grub", Variant::InitramfsTools, Fault::Health);
}

fn falls_back(name: &str, variant: Variant, fault: Fault) {
    let Some(mut host) = Host::start(name, variant, Layer::new().file("usr/lib/version", "1")) else {
        return;
    };
    host.publish("2", fault.layer(&host.image));
    host.configure();
    let checks = &mut host.checks;
    checks.check("the upgrade is staged, and is to be tried once", |vm| {
        vm.ok("mkdir -p /etc/reroot/config.d && echo 'boot-tries = 1' > /etc/reroot/config.d/50-once.toml");
        timed(vm, 0, "reroot upgrade --quiet");
    });
    checks.reboot_by(|vm| vm.reboot_until("findmnt -no FSROOT / | grep -q '/deploy/1$'"));
    let console = checks.vm.console_since_reboot();
    checks.check("the machine is back, whoever looked on", |vm| {
        assert_eq!(booted(vm), 1);
        assert!(console.contains(fault.on_console()), "{console}");
        running(vm);
    });
    checks.check("what works is the default, for good", |vm| {
        let status: Value = serde_json::from_str(&vm.ok("reroot status --json")).unwrap();
        let first = &status["deployments"][0];
        assert_eq!((&first["id"], &first["slots"]), (&1.into(), &serde_json::json!(["booted", "default"])));
        let menu = entries(vm);
        assert!(menu.contains(&"reroot-0000000003.conf".to_owned()), "{menu:?}");
    });
    checks.check("history and journal say why", |vm| {
        let history: Value = serde_json::from_str(&vm.ok("reroot history --json")).unwrap();
        let fell_back = history["events"].as_array().unwrap().iter().find(|e| e["event"] == "fell-back");
        let fell_back = fell_back.unwrap_or_else(|| panic!("{history:#}"));
        assert_eq!(fell_back["id"], 2);
        let reason = fell_back["reason"].as_str().unwrap();
        assert!(reason.contains(fault.reason()), "{reason}");
        assert_eq!(&events(vm, 2)[..2], ["staged", "finalized"]);
        let journal = vm.ok("journalctl -q -b -o cat -u reroot-boot-complete.service");
        assert!(
            journal.contains(&format!("the boot loader gave up deployment 2 of stateroot os: {reason}")),
            "{journal}"
        );
        say(&format!("{name}: {reason}"));
    });
    checks.check("the image is not installed again", |vm| {
        let said = timed(vm, 1, "reroot upgrade --quiet 2>&1");
        assert!(said.contains("failed on this machine") && said.contains("sha256:"), "{said}");
        assert_ne!(vm.run("ls /run/reroot/staged.json").code, 0);
    });
    checks.check("people are told", shown);
    off(host.checks);
}

/// What a person sees, for whoever reads the output of the tests.
fn shown(vm: &mut Vm) {
    for command in ["reroot status", "reroot history"] {
        let shown = vm.ok(command);
        say(&format!("# {command}\n{shown}"));
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    }
}
