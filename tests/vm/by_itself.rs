//! A machine that nobody types commands into: the timer follows a tag that moves.

use serde_json::Value;

use crate::checks::off;
use crate::day_two::{Host, events, settled};
use crate::falls_back::Fault;
use crate::harness::image::Variant;
use crate::installed::booted;
use crate::support::image::Layer;
use crate::support::skip::say;

/// Nobody waits a quarter of an hour here.
const SOON: &str = "mkdir -p /etc/systemd/system/reroot-update.timer.d && \
    printf '[Timer]\\nOnActiveSec=\\nOnActiveSec=5s\\nRandomizedDelaySec=0\\n' \
    > /etc/systemd/system/reroot-update.timer.d/50-soon.conf && systemctl daemon-reload";

#[test]
#[ignore = "make test-vm"]
fn a_timer_updates_and_stays_with_what_works() {
    let name = "a_timer_updates_and_stays_with_what_works";
    let layer = |version: &str| Layer::new().file("usr/lib/version", version);
    let Some(mut host) = Host::start(name, Variant::Dracut, layer("1")) else { return };
    host.configure();
    host.publish("2", layer("2"));
    host.checks.check("the timer is off until somebody wants it", |vm| {
        assert_eq!(vm.run("systemctl is-enabled reroot-update.timer").output.trim(), "disabled");
        vm.ok("mkdir -p /etc/reroot/config.d && echo 'boot-tries = 1' > /etc/reroot/config.d/50-once.toml");
        vm.ok(SOON);
    });
    host.checks.reboot_by(|vm| vm.reboot_with("systemctl enable --now reroot-update.timer"));
    host.checks.check("it brings the next version, which turns out well", |vm| {
        assert_eq!((booted(vm), vm.ok("cat /usr/lib/version").as_str()), (2, "2"));
        settled(vm);
        assert_eq!(events(vm, 2), ["staged", "finalized", "booted", "marked-good"]);
        say(&format!("# journalctl -u reroot-update\n{}", vm.ok("journalctl -q -o short -u reroot-update")));
    });
    host.checks.check("and finds nothing more", |vm| {
        vm.ok("systemctl start reroot-update.service && reroot agent status");
        assert_eq!(vm.run("ls /run/reroot/staged.json").code, 2);
    });
    host.checks.check("the agent is a service that says what it does, and in the journal as well", |vm| {
        vm.ok("mkdir -p /etc/reroot/agent.d && echo 'agent.jitter = \"0\"' > /etc/reroot/agent.d/50-test.toml");
        vm.ok("systemctl start reroot-agent.service");
        let is_idle = "for n in $(seq 60); do systemctl show -P StatusText reroot-agent | grep -q ^idle && exit; sleep 1; done; exit 1";
        vm.ok(is_idle);
        assert_ne!(vm.ok("systemctl show -P WatchdogUSec reroot-agent"), "infinity");
        vm.ok("systemctl reload reroot-agent.service && systemctl is-active reroot-agent.service");
        let started = vm.ok("journalctl -q -b -o cat MESSAGE_ID=7b87e4959ba14a56923fdbd6b3840415 -u reroot-agent");
        assert_eq!(started, "the agent runs");
        let status: Value = serde_json::from_str(&vm.ok("reroot agent status --json")).unwrap();
        assert_eq!(status["running"], true, "{status:#}");
        vm.ok("systemctl stop reroot-agent.service");
        assert_eq!(vm.run("systemctl is-failed reroot-agent.service").output.trim(), "inactive");
    });
    host.publish("3", layer("3"));
    let kernel = "cat /proc/sys/kernel/random/boot_id";
    let before = host.checks.vm.ok(kernel);
    host.checks.reboot_by(|vm| {
        vm.ok("echo 'reboot.soft = \"auto\"' > /etc/reroot/agent.d/60-soft.toml");
        vm.soft_reboot("systemctl start reroot-agent.service", "grep -qx 3 /usr/lib/version");
    });
    host.checks.check("where the kernel stays, the agent goes over without restarting it", |vm| {
        settled(vm);
        assert_eq!((booted(vm), vm.ok(kernel)), (3, before));
        let events = events(vm, 3);
        assert!(events.contains(&"soft-rebooted".to_owned()), "{events:?}");
        assert_eq!(events.last().map(String::as_str), Some("marked-good"), "{events:?}");
        vm.ok("rm /etc/reroot/agent.d/60-soft.toml");
    });
    let bad = Fault::Panic.layer(&host.image);
    host.publish("4", bad);
    host.checks.reboot_by(|vm| {
        vm.restart_until(
            "systemctl start reroot-update.service",
            "findmnt -no FSROOT / | grep -q '/deploy/3$'",
        );
    });
    host.checks.check("a bad version falls back, and is not installed again", |vm| {
        assert_eq!((booted(vm), vm.ok("cat /usr/lib/version").as_str()), (3, "3"));
        assert!(events(vm, 4).contains(&"fell-back".to_owned()), "{:?}", events(vm, 4));
        vm.ok("systemctl start reroot-update.service");
        let status: Value = serde_json::from_str(&vm.ok("reroot status --json")).unwrap();
        assert_eq!(status["deployments"][0]["id"], 3, "{status:#}");
        assert_eq!(vm.run("ls /run/reroot/staged.json").code, 2);
        let journal = vm.ok("journalctl -q -b -o cat -u reroot-update");
        assert!(journal.contains("is neither staged nor running"), "{journal}");
    });
    off(host.checks);
}
