//! Many upgrades: what is kept, whether it boots, and what it takes.

use serde_json::Value;

use crate::checks::off;
use crate::day_two::{Host, settled, timed};
use crate::harness::Vm;
use crate::harness::image::Variant;
use crate::installed::booted;
use crate::support::image::Layer;
use crate::support::skip::say;

/// How much of its own each version brings.
const OWN: usize = 3 << 20;

#[test]
#[ignore = "make test-vm"]
fn five_upgrades() {
    let layer = |version: u8| {
        // Not to be compressed by the file system, and not the same in two versions.
        let mut state = u32::from(version).wrapping_mul(2_654_435_761) | 1;
        let content: Vec<u8> = (0..OWN)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as u8
            })
            .collect();
        Layer::new().file("usr/lib/own", content).file("usr/lib/version", version.to_string())
    };
    let Some(mut host) = Host::start("five_upgrades", Variant::Dracut, layer(1)) else { return };
    host.configure();
    host.checks
        .vm
        .ok("mkdir -p /etc/reroot/config.d && echo 'retain = 4' > /etc/reroot/config.d/50-retain.toml");
    for version in 2..=6 {
        host.publish(&version.to_string(), layer(version));
        let checks = &mut host.checks;
        checks.check("the upgrade is staged", |vm| drop(timed(vm, 0, "reroot upgrade --quiet")));
        checks.reboot();
        checks.check("the end of the boot prunes", |vm| {
            settled(vm);
            let newest = u64::from(version);
            assert_eq!(booted(vm), newest);
            let kept: Vec<u64> = (newest.saturating_sub(3).max(1)..=newest).rev().collect();
            assert_eq!(deployments(vm), kept);
        });
    }

    let checks = &mut host.checks;
    checks.check("the disk has what status says", |vm| {
        let status = status(vm);
        for deployment in status["deployments"].as_array().unwrap() {
            let unique = deployment["uniqueBytes"].as_u64().unwrap() as usize;
            // With its copy of /etc.
            assert!((OWN..OWN + (2 << 20)).contains(&unique), "{deployment:#}");
            // Files, an inode once. What was made in /etc since then is not in the number.
            let root = format!("/sysroot{}", deployment["path"].as_str().unwrap());
            let sum = vm.ok(&format!(
                "find {root} -xdev -path {root}/var -prune -o -type f -printf '%i %s\\n' | sort -u | awk '{{ sum += $2 }} END {{ print sum }}'"
            ));
            let (sum, size) = (sum.parse::<u64>().unwrap(), deployment["sizeBytes"].as_u64().unwrap());
            say(&format!("five_upgrades: deployment {}: {size} bytes, find says {sum}", deployment["id"]));
            assert!(size.abs_diff(sum) * 200 < size, "{size} {sum}");
        }
        assert_eq!(vm.run("ls /sysroot/reroot/deploy/os/deploy | grep -c '^[0-9]*$'").output.trim(), "4");
        timed(vm, 0, "reroot fsck --quiet");
    });
    for id in [5, 4, 3] {
        checks.reboot_by(|vm| vm.reboot_with(&format!("reroot boot-once {id} --apply")));
        checks.check("each that is kept boots, once", |vm| {
            assert_eq!(booted(vm), id);
            assert_eq!(vm.ok("cat /usr/lib/version"), id.to_string());
            settled(vm);
            assert_eq!(deployments(vm), [6, 5, 4, 3]);
        });
    }
    checks.reboot();
    checks.check("the default is what it was", |vm| {
        assert_eq!(booted(vm), 6);
        settled(vm);
    });
    off(host.checks);
}

fn status(vm: &mut Vm) -> Value {
    serde_json::from_str(&vm.ok("reroot status --json")).unwrap()
}

/// In boot order.
fn deployments(vm: &mut Vm) -> Vec<u64> {
    status(vm)["deployments"].as_array().unwrap().iter().map(|d| d["id"].as_u64().unwrap()).collect()
}
