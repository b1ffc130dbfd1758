//! What every booted image of ours is, however it came to its kernel.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::machine::Boot;
use crate::harness::{Checks, Vm};
use crate::installed::SLOW;
use crate::support::boot_menu;
use crate::support::raw_disk::RawDisk;
use crate::support::skip::say;

/// What the initramfs has made.
pub fn mounts(checks: &mut Checks) {
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
        say(&format!("{}: reroot-prepare-root took {} ms", vm.spec.name, booted["millis"]));
    });
}

/// What a boot loader's partition is for the running system, and what the size of the disk means to it.
pub fn disk(checks: &mut Checks) {
    checks.check("$BOOT is mounted without an fstab", |vm| {
        assert_eq!(vm.run("cat /etc/fstab").output.lines().filter(|line| line.starts_with('/')).count(), 0);
        vm.ok("ls /boot/loader/entries/reroot-0000000001*.conf && test -w /boot");
    });
    let size = checks.vm.spec.disks[0].metadata().unwrap().len();
    checks.check("the root has grown to the end of the disk", |vm| {
        let grow = "systemctl is-active reroot-grow-root.service";
        assert_eq!(vm.run(grow).output.trim(), "active", "{}", vm.ok("journalctl -b -u reroot-grow-root"));
        assert_eq!(vm.ok("cat /sys/class/block/vda/size"), (size / 512).to_string());
        let root = "/sys/class/block/$(basename $(findmnt -no SOURCE --nofsroot /sysroot))";
        let end: u64 = vm.ok(&format!("echo $(($(cat {root}/start) + $(cat {root}/size)))")).parse().unwrap();
        assert!(end * 512 > size - (1 << 20), "{}", vm.ok("journalctl -b -u reroot-grow-root"));
        let length: u64 = vm.ok(&format!("cat {root}/size")).parse().unwrap();
        let usable: u64 = vm.ok("findmnt -bno SIZE /sysroot").parse().unwrap();
        // What a file system needs for itself; ext4 has the most.
        assert!(usable > length * 512 / 100 * 93, "{usable} of {}", length * 512);
        assert_ne!(vm.run("touch /sysroot/written").code, 0);
    });
}

/// Switches the machine off, and looks at what it has left on its disk.
pub fn off(checks: Checks) {
    let vm = checks.done();
    for sign in ["FAT-fs (", "EXT4-fs error", "Corruption", "BTRFS error", "Oops"] {
        assert!(!vm.console().contains(sign), "{}: {sign} on the console", vm.spec.name);
    }
    let spec = vm.spec.clone();
    vm.power_off();
    if !matches!(spec.boot, Boot::Direct { .. }) {
        let disk = RawDisk::open(&spec.disks[0]);
        let menu = boot_menu::check_settled(&disk.root(), &disk.boot(), &spec.name);
        say(&format!("{}: all {} entries of the menu can be booted", spec.name, menu.len()));
    }
}

/// The boot has come to its end, and no unit has failed.
pub fn running(vm: &mut Vm) {
    let state = vm.run_within(SLOW, "systemctl is-system-running --wait").output;
    if state.trim() != "running" {
        let failed = vm.ok("systemctl --failed --no-legend --plain");
        let journal = vm.ok("journalctl -b -q -o short-monotonic -p warning | tail -n 60");
        panic!("{}: {failed}\n{journal}", state.trim());
    }
}

/// A machine finds its feet by itself.
pub fn first_boot(checks: &mut Checks) {
    checks.check("no unit has failed", running);
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
    checks.check("systemd finds nothing wrong with our units, and they say where to read more", |vm| {
        let units = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/system")).unwrap();
        let mut paths: Vec<String> = units
            .map(|unit| {
                format!("/usr/lib/systemd/system/{}", unit.unwrap().file_name().into_string().unwrap())
            })
            .collect();
        paths.push("/usr/lib/dracut/modules.d/90reroot/reroot-prepare-root.service".into());
        // The initramfs has a unit that mounts the root; it is of no matter which.
        let verified = vm.run(&format!(
            "mkdir -p /run/verify && cd /run/verify && printf '[Mount]\nWhat=/dev/x\nWhere=/sysroot\n' > sysroot.mount\n\
             SYSTEMD_UNIT_PATH=/run/verify: systemd-analyze verify --man=no {}",
            paths.join(" ")
        ));
        assert_eq!((verified.code, verified.output.as_str()), (0, ""));
        vm.ok(&format!("for unit in {}; do grep -q ^Documentation= $unit || exit; done", paths.join(" ")));
    });
    checks.check("the console has its own login prompt", |vm| {
        assert!(vm.console().contains("login: "));
    });
}

/// Reboots.
pub fn outlives_a_reboot(checks: &mut Checks) {
    checks.vm.ok("echo local > /etc/kept && echo local > /var/kept");
    let identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";
    let before = checks.vm.ok(identity);
    checks.reboot();
    checks.check("/etc, /var and the identity of the machine outlive a reboot", |vm| {
        assert_eq!(vm.ok("cat /etc/kept /var/kept"), "local\nlocal");
        assert_eq!(vm.ok(identity), before);
    });
}

fn is_read_only(vm: &mut Vm, path: &str) -> bool {
    vm.ok(&format!("findmnt -no VFS-OPTIONS {path}")).split(',').any(|option| option == "ro")
}
