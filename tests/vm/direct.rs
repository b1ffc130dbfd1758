//! Boots without firmware and boot loader: the initramfs and the running system.

use std::fs;

use serde_json::Value;

use crate::harness::image::Variant;
use crate::harness::{Checks, Image, Vm};
use crate::support::skip::{scratch, skip};

#[test]
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
    checks
        .vm
        .ok("echo local > /etc/kept && echo local > /var/kept && systemctl disable --quiet fstrim.timer");
    let identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";
    let before = checks.vm.ok(identity);
    checks.vm.reboot();
    checks.check("/etc, /var and the identity of the machine outlive a reboot", |vm| {
        assert_eq!(vm.ok("cat /etc/kept /var/kept"), "local\nlocal");
        assert_eq!(vm.ok(identity), before);
        assert_eq!(vm.run("systemctl is-enabled fstrim.timer").output.trim(), "disabled");
    });
    let vm = checks.done();
    vm.power_off();
}

/// What the initramfs has made.
fn mounts(checks: &mut Checks) {
    let deployment = "/reroot/deploy/os/deploy/1";
    checks.check("the root is the deployment, and read-only", |vm| {
        assert_eq!(vm.ok("findmnt -no FSROOT /"), deployment);
        assert!(is_read_only(vm, "/"), "{}", vm.ok("findmnt -no OPTIONS /"));
        for path in ["/written", "/usr/written", "/usr/bin/reroot"] {
            let ran = vm.run(&format!("touch {path}"));
            assert!(ran.code != 0 && ran.output.contains("Read-only file system"), "{path}: {ran:?}");
        }
    });
    checks.check("/etc and /var are writable", |vm| {
        assert_eq!(vm.ok("findmnt -no FSROOT /etc"), format!("{deployment}/etc"));
        assert_eq!(vm.ok("findmnt -no FSROOT /var"), "/reroot/deploy/os/var");
        for path in ["/etc", "/var"] {
            assert!(!is_read_only(vm, path), "{path}");
        }
        vm.ok(
            "touch /etc/written /var/written /root/written /home/written /usr/local/bin/written /tmp/written",
        );
    });
    checks.check("the physical root is at /sysroot, and read-only", |vm| {
        assert_eq!(vm.ok("findmnt -no FSROOT /sysroot"), "/");
        assert!(is_read_only(vm, "/sysroot"));
        assert_ne!(vm.run("touch /sysroot/written").code, 0);
        assert_eq!(vm.ok("stat -c %a /sysroot/reroot"), "700");
    });
    checks.check("the running system knows what was booted", |vm| {
        let booted: Value = serde_json::from_str(&vm.ok("cat /run/reroot/booted.json")).unwrap();
        assert_eq!(booted["version"], 1);
        assert_eq!(booted["path"], deployment);
        assert_eq!((&booted["stateroot"], &booted["id"]), (&"os".into(), &1.into()));
        assert_eq!((&booted["transientEtc"], &booted["transientRoot"]), (&false.into(), &false.into()));
        let identity = vm.ok("stat -c '%d %i' /");
        assert_eq!(identity, format!("{} {}", booted["device"], booted["inode"]));
    });
}

/// A machine finds its feet by itself.
fn first_boot(checks: &mut Checks) {
    checks.check("no unit has failed", |vm| {
        let state = vm.run("systemctl is-system-running --wait").output;
        assert_eq!(state.trim(), "running", "{}", vm.ok("systemctl --failed --no-legend --plain"));
    });
    checks.check("machine-id and host keys are made", |vm| {
        assert_eq!(vm.ok("cat /etc/machine-id").len(), 32);
        vm.ok("test -s /etc/ssh/ssh_host_ed25519_key && systemctl is-active ssh.service");
    });
    checks.check("the first boot has changed nothing else in /etc", |vm| {
        let changed = vm.run("diff -rq --no-dereference /usr/etc /etc").output;
        let expected = ["machine-id", "ssh_host_", "written", ".updated", ".pwd.lock"];
        let other: Vec<_> =
            changed.lines().filter(|line| !expected.iter().any(|part| line.contains(part))).collect();
        assert!(other.is_empty(), "{other:#?}");
    });
    checks.check("the directories behind the links of the root exist", |vm| {
        vm.ok("cd / && ls -d home/. root/. srv/. opt/. mnt/. usr/local/bin/. tmp/. boot/. efi/.");
        assert_eq!(vm.ok("stat -c %a /root/."), "700");
        assert!(vm.ok("dpkg-query -f '${Version}' -W systemd").starts_with("257"));
    });
    checks.check("the console has its own login prompt", |vm| {
        assert!(vm.console().contains("login: "));
    });
}

fn is_read_only(vm: &mut Vm, path: &str) -> bool {
    vm.ok(&format!("findmnt -no VFS-OPTIONS {path}")).split(',').any(|option| option == "ro")
}
