//! Without a new kernel, and without a new deployment: soft reboots and a writable `/usr`.

use crate::checks::off;
use crate::day_two::{Host, events, settled, timed};
use crate::harness::image::Variant;
use crate::installed::booted;
use crate::support::image::Layer;

#[test]
#[ignore = "make test-vm"]
fn soft_reboot() {
    let layer = |version: &str| Layer::new().file("usr/lib/version", version);
    let Some(mut host) = Host::start("soft_reboot", Variant::Dracut, layer("1")) else { return };
    host.publish("2", layer("2"));
    host.configure();
    let checks = &mut host.checks;
    let kernel = "cat /proc/sys/kernel/random/boot_id";
    let mut before = String::new();

    checks.check("/usr can be written for a while", |vm| {
        before = vm.ok(kernel);
        assert_ne!(vm.run("touch /usr/lib/tried").code, 0);
        timed(vm, 0, "reroot usr-overlay");
        vm.ok("echo tried > /usr/lib/tried && echo changed > /usr/lib/version");
        assert_ne!(vm.run("touch /tried").code, 0);
        assert_eq!(vm.ok("cat /sysroot/reroot/deploy/os/deploy/1/usr/lib/version"), "1");
    });
    checks.check("another deployment with the same kernel is gone over to", |vm| {
        vm.ok("echo local > /etc/local && echo data > /var/data");
    });
    checks.reboot_by(|vm| {
        vm.soft_reboot("reroot upgrade --quiet --soft-reboot required", "grep -qx 2 /usr/lib/version");
    });
    checks.check("it runs, and the kernel is the one from before", |vm| {
        settled(vm);
        assert_eq!(booted(vm), 2);
        assert_eq!(vm.ok(kernel), before);
        assert!(vm.ok("cat /proc/cmdline").contains("reroot=/reroot/deploy/os/deploy/1"));
        assert_eq!(vm.ok("cat /etc/local /var/data"), "local\ndata");
        assert_ne!(vm.run("touch /usr/lib/tried").code, 0);
        assert_eq!(vm.ok("findmnt -no FSROOT /"), "/reroot/deploy/os/deploy/2");
        let events = events(vm, 2);
        assert!(events.iter().any(|event| event == "soft-rebooted"), "{events:?}");
        assert_eq!(events.last().map(String::as_str), Some("marked-good"), "{events:?}");
    });
    checks.reboot();
    checks.check("a reboot boots it as well", |vm| {
        assert_eq!(booted(vm), 2);
        settled(vm);
    });
    checks.reboot_by(|vm| vm.reboot_with("reroot boot-once 1 --apply"));
    checks.check("the older one has nothing of what was tried in its /usr", |vm| {
        assert_eq!(booted(vm), 1);
        assert_eq!(
            vm.ok("cat /usr/lib/version; echo; ls /usr/lib/tried 2> /dev/null || echo gone"),
            "1\ngone"
        );
        assert_eq!(vm.run("ls -d /var/tmp/reroot-usr-overlay-*").code, 2);
        settled(vm);
    });
    checks.reboot();
    checks.check("once, and then the default again", |vm| {
        assert_eq!(booted(vm), 2);
        settled(vm);
    });
    off(host.checks);
}
