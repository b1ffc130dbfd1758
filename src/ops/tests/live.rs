//! What changes the mounts of the running system: a soft reboot, and a writable `/usr`. Each in a mount namespace with a
//! process 1 of its own, where the configuration root is the root of a system that seems to run. Needs root.

use std::fs;
use std::io::Write;
use std::process::Command;

use super::super::soft_reboot::{self, SoftReboot};
use super::super::usr_overlay;
use super::support::*;
use crate::sysroot::{DeploymentKey, EventKind};

const WORLD: &str = "REROOT_TEST_WORLD";
const VERB: &str = "REROOT_TEST_VERB";
/// Where the running system's root is, when not `host`.
const ROOT: &str = "REROOT_TEST_ROOT";

/// What the script begins with: deployment 1 is booted from the sysroot, with everything shared as systemd has it.
const BEGIN: &str = r#"
set -eu
cd "$REROOT_TEST_WORLD"
rm -f host/sysroot
mkdir -p host/run host/sysroot host/proc host/usr/lib/systemd/system host/var/tmp
: > host/usr/lib/systemd/system/systemd-soft-reboot.service
echo of-the-image > host/usr/file
printf '%s' 'BOOT_IMAGE=/vmlinuz quiet reroot=/reroot/deploy/default/deploy/1' > host/proc/cmdline
mount --bind host host
mount --make-rshared host
mount -t tmpfs run host/run
mkdir host/run/reroot
mount --bind root host/sysroot
mount -o remount,bind,ro host/sysroot
cat > host/run/reroot/booted.json << 'END'
{"version":1,"path":"/reroot/deploy/default/deploy/1","stateroot":"default","id":1,"device":1,"inode":1,
 "transientEtc":false,"transientRoot":false}
END
# Of /proc/self/mountinfo: the place, whether it can be written, how it propagates.
mounts() {
    awk -v top="$PWD/host/run/" 'index($5, top) == 1 { print substr($5, length(top)), substr($6, 1, 2), $7 != "-" }' \
        /proc/self/mountinfo | grep -v '^/reroot$' || :
}
verb() { REROOT_TEST_VERB="$1" "$EXE" --exact ops::tests::live::child --nocapture | sed -n 's/^> //p'; }
"#;

/// The process that acts; by itself it does nothing.
#[test]
fn child() {
    let (Ok(path), Ok(verb)) = (std::env::var(WORLD), std::env::var(VERB)) else { return };
    let mut world = World::open(path.into());
    if let Ok(root) = std::env::var(ROOT) {
        world.env.config_root = root.into();
    }
    // The physical root of what runs.
    let sysroot = crate::sysroot::Sysroot::open("/".as_ref(), &world.env).unwrap();
    let context = world.context();
    let locked = || sysroot.lock(context.wait).unwrap();
    let observed = sysroot.observe().unwrap();
    let number = |key: &Option<DeploymentKey>| key.as_ref().map_or(0, |key| key.id.get());
    let said = match verb.split_once(' ') {
        Some(("prepare", n)) => {
            let key = DeploymentKey { stateroot: Default::default(), id: n.parse().unwrap() };
            format!("{:?}", soft_reboot::prepare(&locked(), &key, &context).map_err(|e| e.to_string()))
        }
        Some(("capability", n)) => {
            let key = DeploymentKey { stateroot: Default::default(), id: n.parse().unwrap() };
            let target = observed.deployment(&key).unwrap();
            match soft_reboot::capability(&sysroot, target, &world.env).unwrap() {
                SoftReboot::Capable => "capable".into(),
                SoftReboot::NotCapable(reason) => reason,
            }
        }
        _ => match verb.as_str() {
            "cancel" => format!("cancelled {}", soft_reboot::cancel(&sysroot, &context).unwrap()),
            "settle" => format!("settled {}", soft_reboot::settle(&locked(), &context).unwrap()),
            "observe" => {
                format!("booted {} prepared {}", number(&observed.booted), number(&observed.prepared))
            }
            "overlay" => match usr_overlay::usr_overlay(&sysroot, &context) {
                Ok(_) => "made".into(),
                Err(error) => error.to_string(),
            },
            "is-active" => format!("active {}", usr_overlay::is_active(&sysroot).unwrap()),
            other => panic!("{other}"),
        },
    };
    // libtest writes the test's name without ending the line.
    println!("\n> {said}");
}

/// Runs a script in a world of deployments 1 and 2 with the same kernel, and 3 with another; gives what it printed.
fn live(script: &str) -> Option<(World, String)> {
    let programs = ["unshare", "mount", "awk"];
    let found = |name: &&str| ["/usr/bin", "/bin"].iter().any(|d| fs::exists(format!("{d}/{name}")).unwrap());
    if !rustix::process::geteuid().is_root() || !programs.iter().all(found) {
        let _ = writeln!(std::io::stderr(), "SKIP ops::tests::live: needs root, unshare, mount and awk");
        return None;
    }
    let mut world = World::new();
    for n in 1..=3 {
        let kernel = if n == 3 { "another kernel" } else { "kernel" };
        let mut layer = base();
        layer.retain(|(path, _)| !path.ends_with("vmlinuz"));
        layer.push(("usr/lib/modules/6.12.1/vmlinuz", Item::File(kernel)));
        layer.extend(["sysroot/", "boot/", "run/"].map(|path| (path, Item::Dir(0o755))));
        layer.push(("usr/name", Item::Text(format!("of {n}"))));
        world.image("stable", &format!("13.{n}"), "2025-11-01T00:00:00Z", vec![layer]);
        world.deploy("stable");
    }
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "sh", "-c"])
        .arg(format!("{BEGIN}\n{script}"))
        .env("EXE", std::env::current_exe().unwrap())
        .env(WORLD, world.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    Some((world, String::from_utf8(output.stdout).unwrap()))
}

#[test]
fn a_soft_reboot_goes_over_to_what_was_prepared() {
    let script = r#"
verb 'capability 1'
verb 'capability 2'
verb 'capability 3'
verb 'prepare 3'
verb 'prepare 2'
mounts
# None of it is mounted in the physical root as well, with which it would go.
grep -c " $PWD/host/sysroot/" /proc/self/mountinfo || :
cat host/run/nextroot/usr/name; echo
ls host/run/nextroot/sysroot/reroot/deploy/default/deploy
touch host/run/nextroot/etc/mine host/run/nextroot/var/mine
ls host/run/reroot
verb observe
# What systemd does: /run comes along.
mount --rbind host/run host/run/nextroot/run
export REROOT_TEST_ROOT="$REROOT_TEST_WORLD/host/run/nextroot"
verb observe
verb cancel
verb settle
verb observe
verb settle
ls host/run/reroot
"#;
    let Some((world, said)) = live(script) else { return };
    insta::assert_snapshot!(said, @"
    it is running already
    capable
    it has another kernel or initramfs
    Ok(())
    Ok(())
    /nextroot ro 1
    /nextroot/etc rw 1
    /nextroot/var rw 1
    /nextroot/sysroot ro 1
    0
    of 2
    1
    1.json
    1.origin
    2
    2.json
    2.origin
    3
    3.json
    3.origin
    booted.json
    nextroot.json
    booted 1 prepared 2
    booted 2 prepared 0
    cancelled false
    settled true
    booted 2 prepared 0
    settled false
    booted.json
    ");
    assert!(world.deployments().join("2/etc/mine").exists());
    assert!(world.root().join("reroot/deploy/default/var/mine").exists());
    let events: Vec<_> = world.sysroot().history(None).unwrap().events;
    let event = events.last().unwrap();
    assert_eq!((&event.event, event.id.get()), (&EventKind::SoftRebooted, 2));
    assert_eq!(event.image_version.as_deref(), Some("13.2"));
}

#[test]
fn what_was_prepared_is_taken_back_without_a_trace() {
    let script = r#"
verb cancel
verb 'prepare 2'
verb cancel
mounts
ls host/run/reroot
verb observe
# A process that was killed has left these.
mkdir host/run/reroot/next
mount -t tmpfs left host/run/reroot/next
mkdir host/run/reroot/next/new
verb 'prepare 2'
mounts | wc -l
verb cancel
mount -t tmpfs other host/run/nextroot
verb 'prepare 2'
verb cancel
umount host/run/nextroot
unshare --mount --propagation slave sh -c '
    REROOT_TEST_VERB="prepare 2" "$EXE" --exact ops::tests::live::child --nocapture' | sed -n 's/^> //p'
mounts
"#;
    let Some((_, said)) = live(script) else { return };
    insta::assert_snapshot!(said, @r#"
    cancelled false
    Ok(())
    cancelled true
    booted.json
    booted 1 prepared 0
    Ok(())
    4
    cancelled true
    Err("something that is not reroot's is mounted at /run/nextroot; unmount it first")
    cancelled false
    Err("this process has mounts of its own, which the system does not see; run it outside of a container or sandbox: `nsenter --target 1 --mount reroot …`")
    "#);
}

#[test]
fn usr_can_be_written_until_it_is_unmounted() {
    let script = r#"
verb overlay
mount --bind host/usr host/usr
mount -o remount,bind,ro host/usr
verb is-active
verb overlay
verb is-active
verb overlay
echo mine > host/usr/file
cat host/usr/file
stat -c '%a' host/var/tmp/*
tail -n 1 host/run/tmpfiles.d/*
umount host/usr
verb is-active
cat host/usr/file
verb overlay
"#;
    let Some((_, said)) = live(script) else { return };
    insta::assert_snapshot!(said, @"
    /usr can be written already: this system does not keep it read-only
    active false
    made
    active true
    /usr can be written already, until the next boot
    mine
    700
    x /var/tmp/reroot-usr-overlay-*
    active false
    of-the-image
    made
    ");
}
