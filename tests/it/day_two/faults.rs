//! What may go wrong around an upgrade of the running system: the old one is as it was, and the next run finishes.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::machine::{Loader, Machine, os};
use crate::support::faulty_registry::{Fault, FaultyRegistry};
use crate::support::image::{Blob, Compress, Image, Layer};
use crate::support::reroot::{PROGRAM, Ran};
use crate::support::tools;

/// Version `n` with a layer that takes more than one read to fetch.
fn image(n: u32) -> Image {
    let noise =
        (0..200_000u64).flat_map(|i| (i * u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    os(n, Layer::new().file("usr/noise", noise.collect::<Vec<u8>>()))
}

/// Version 1 of a registry's `stable` runs, and version 2 is out; gives the path of its large layer.
fn from_registry(loader: Loader) -> (Machine, FaultyRegistry, String) {
    let machine = Machine::installed(loader);
    let registry = FaultyRegistry::start();
    registry.push("stable", &image(1));
    machine.ok(&["deploy", &registry.reference("stable")]);
    machine.boot();
    let built = registry.push("stable", &image(2));
    (machine, registry, format!("/blobs/{}", built.layers[1].digest()))
}

#[test]
fn a_registry_that_fails_in_the_middle_changes_nothing_and_the_next_upgrade_goes_on() {
    for loader in Loader::ALL {
        let (machine, registry, blob) = from_registry(loader);
        registry.fail(&blob, [Fault::status(404)]);
        machine.refused(&["upgrade"], 1, &[&registry.address.to_string()]);
        assert_eq!(machine.order(), "1:booted+default");
        machine.assert_sound("without the registry");
        // Other bytes are fetched again.
        registry.fail(&blob, [Fault::Body(b"something else".to_vec()), Fault::CutAfter(1000)]);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 2);
        machine.assert_sound("with the registry");
    }
}

#[test]
fn an_upgrade_from_a_registry_that_is_gone_says_so_and_what_is_staged_stays() {
    let (machine, registry, _) = from_registry(Loader::Grub);
    machine.ok(&["upgrade"]);
    let address = registry.address.to_string();
    drop(registry);
    machine.refused(&["upgrade"], 1, &[&address]);
    assert_eq!(machine.order(), "2:staged 1:booted+default");
    assert_eq!(machine.reboot(), 2);
    machine.ok(&["rollback"]);
    assert_eq!(machine.reboot(), 1);
    machine.assert_sound("without a registry");
}

/// Starts a command.
fn spawn(machine: &Machine, arguments: &[&str]) -> Child {
    // Whoever started the tests may have had the signal ignored, and children inherit that.
    let mut command = tools::command("env");
    command.args(["--default-signal=INT", PROGRAM]);
    machine.reroot.prepare(&mut command);
    command.arg("--quiet").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait(child: Child) -> Ran {
    Ran::of(&child.wait_with_output().unwrap())
}

#[test]
fn ctrl_c_in_the_middle_of_a_download_leaves_the_machine_as_it_was() {
    for loader in Loader::ALL {
        let (machine, registry, blob) = from_registry(loader);
        registry.fail(&blob, [Fault::StallAfter(100_000)]);
        let child = spawn(&machine, &["upgrade"]);
        while registry.seen(&blob).is_empty() {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(Signal::INT.as_raw()));
        assert_eq!(machine.order(), "1:booted+default");
        assert_eq!(machine.settled("interrupted"), [1]);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 2);
        machine.assert_sound("after all");
    }
}

#[test]
fn what_a_killed_download_left_is_swept_by_the_next_boots_command() {
    let machine = Machine::outdated(Loader::Grub);
    for point in ["pull.objects-staged", "deploy.checked-out"] {
        let mut command = machine.reroot.command(["upgrade"]);
        let ran = command.env("REROOT_CRASHPOINT", format!("{point}=abort")).output().unwrap();
        assert!(ran.status.signal().is_some(), "{point}");
    }
    let left = || {
        let staging = fs::read_dir(machine.reroot.sysroot.join("reroot/repo/staging")).unwrap();
        let deploy = fs::read_dir(machine.deployments()).unwrap();
        let scratch =
            deploy.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp-"));
        (staging.count(), scratch.count())
    };
    assert_ne!(left(), (0, 0));
    assert_eq!(machine.cut_power(), 1);
    machine.ok(&["upgrade"]);
    assert_eq!(left(), (0, 0));
    assert_eq!(machine.reboot(), 2);
    machine.assert_sound("swept");
}

#[test]
fn a_held_lock_is_told_and_nothing_is_done() {
    let machine = Machine::outdated(Loader::SystemdBoot);
    machine.ok(&["upgrade"]);
    let lock =
        fs::File::options().read(true).write(true).open(machine.reroot.sysroot.join("reroot/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for arguments in [
        vec!["deploy", &machine.stable()],
        vec!["finalize-staged"],
        vec!["unstage"],
        vec!["rollback"],
        vec!["kargs", "--append", "quiet"],
        vec!["prune"],
    ] {
        machine.refused(&arguments, 4, &["is locked", &format!("pid {}", std::process::id())]);
    }
    assert_eq!(machine.order(), "2:staged 1:booted+default");
    drop(lock);
    assert_eq!(machine.reboot(), 2);
}

#[test]
fn of_many_upgrades_at_once_one_deployment_is_staged() {
    for wait_for_it in [true, false] {
        let mut machine = Machine::running(Loader::Grub);
        for n in 2..=3 {
            machine.publish(&format!("v{n}"), n, Layer::new());
        }
        let flag = if wait_for_it { "--wait" } else { "--quiet" };
        let (second, third) = (machine.layout.reference("v2"), machine.layout.reference("v3"));
        let children: Vec<_> = [&second, &third, &second, &third]
            .map(|image| {
                let mut arguments = vec!["switch", image];
                arguments.extend(wait_for_it.then_some(flag));
                spawn(&machine, &arguments)
            })
            .into();
        let codes: Vec<_> = children.into_iter().map(|child| wait(child).code.unwrap()).collect();
        let allowed: &[i32] = if wait_for_it { &[0] } else { &[0, 4] };
        assert!(codes.iter().all(|code| allowed.contains(code)) && codes.contains(&0), "{codes:?}");
        let order = machine.order();
        assert_eq!(order.matches("staged").count(), 1, "{order}");
        let staged: u64 = order.split(':').next().unwrap().parse().unwrap();
        assert_eq!(order, format!("{staged}:staged 1:booted+default"));
        assert_eq!(machine.reboot(), staged);
        machine.assert_sound("after many at once");
    }
}

#[test]
fn a_finalization_beside_an_upgrade_leaves_one_of_both() {
    let machine = Machine::outdated(Loader::Grub);
    machine.ok(&["upgrade"]);
    let children = [vec!["finalize-staged", "--wait"], vec!["kargs", "--append", "quiet", "--wait"]]
        .map(|arguments| spawn(&machine, &arguments));
    for child in children {
        let ran = wait(child);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let booted = machine.reboot();
    assert!(booted == 3, "{booted}");
    machine.ok(&["prune"]);
    machine.assert_sound("both");
}

#[test]
fn a_clock_that_was_set_back_changes_no_order() {
    for loader in Loader::ALL {
        let mut machine = Machine::outdated(loader);
        let far = 4_000_000_000u64;
        let set_back = |machine: &Machine, id: u64| {
            let mut record = machine.record(id);
            record["created"] = far.into();
            fs::write(machine.deployments().join(format!("{id}.json")), record.to_string()).unwrap();
            let history = machine.reroot.sysroot.join("reroot/history.jsonl");
            let text = fs::read_to_string(&history).unwrap();
            let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            let later = text.replace(&format!("\"time\":{}", last["time"]), &format!("\"time\":{far}"));
            fs::write(&history, later).unwrap();
        };
        set_back(&machine, 1);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 2);
        set_back(&machine, 2);
        machine.release(3);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.order(), "3:staged 2:booted+default 1:rollback");
        assert_eq!(machine.reboot(), 3);
        machine.ok(&["prune", "--retain", "2"]);
        assert_eq!(machine.order(), "3:booted+default 2:rollback");
        machine.ok(&["history"]);
        machine.ok(&["rollback"]);
        assert_eq!(machine.reboot(), 2);
        machine.assert_sound("set back");
    }
}

#[test]
fn an_image_from_the_future_is_not_replaced_by_todays_without_a_word() {
    let mut machine = Machine::running(Loader::Grub);
    machine.layout.tag("stable", &os(2, Layer::new()).created("2126-01-01T00:00:00Z"));
    machine.ok(&["upgrade"]);
    machine.reboot();
    machine.release(3);
    machine.refused(&["upgrade"], 1, &["2126-01-01T00:00:00Z", "2026-01-03T00:00:00Z", "--allow-downgrade"]);
    machine.ok(&["upgrade", "--allow-downgrade"]);
    assert_eq!(machine.reboot(), 3);
}

#[test]
fn a_boot_directory_that_is_not_there_stops_an_upgrade_before_anything_is_written() {
    for loader in Loader::ALL {
        let machine = Machine::outdated(loader);
        let (boot, aside) = (machine.boot_dir(), machine.path().join("aside"));
        fs::rename(&boot, &aside).unwrap();
        machine.refused(&["upgrade"], 1, &["boot"]);
        fs::rename(&aside, &boot).unwrap();
        machine.ok(&["upgrade"]);
        // Gone at the shutdown.
        fs::rename(&boot, &aside).unwrap();
        let ran = machine.run(&["finalize-staged"]);
        assert!(ran.code != Some(0) && ran.stderr.contains("boot"), "{}", ran.stderr);
        fs::rename(&aside, &boot).unwrap();
        assert_eq!(machine.settled("without $BOOT"), [1]);
        assert_eq!(machine.reboot(), 2);
        machine.assert_sound("with $BOOT");
    }
}

#[test]
fn a_layer_that_lies_is_refused_and_nothing_is_staged() {
    let mut machine = Machine::running(Loader::Grub);
    let mut blob = Blob::of_tar(&Layer::new().file("usr/lie", "x").tar(), Compress::Gzip);
    blob.diff_id = format!("sha256:{}", "3".repeat(64));
    machine.layout.tag("stable", &os(2, Layer::new()).blob(blob));
    machine.refused(&["upgrade"], 5, &["sha256:3333"]);
    machine.assert_sound("refused");
}
