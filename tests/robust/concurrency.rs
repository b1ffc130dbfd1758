//! Many at once, and one that stands still with the lock in its hand.

use std::collections::BTreeSet;
use std::fs;
use std::process::Child;
use std::sync::Mutex;

use rustix::process::{Pid, Signal, WaitOptions};
use serde_json::Value;

use crate::kill::draw;
use crate::samples::SAMPLES;
use crate::support::skip::say;
use crate::world::{Ran, World};

const PROCESSES: u64 = 8;
const STEPS: u64 = 8;
const SEED: u64 = 0x7265_726f_6f74_0002;

#[test]
fn eight_at_once_with_any_verb_wait_for_each_other_and_agree() {
    let start = std::time::Instant::now();
    let world = World::new();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    let made = Mutex::new(vec![1]);
    say(&format!("concurrency: seed {SEED:#x}"));
    std::thread::scope(|scope| {
        for process in 0..PROCESSES {
            let (world, made) = (&world, &made);
            scope.spawn(move || {
                for step in 0..STEPS {
                    let random = draw(SEED, process * STEPS + step);
                    one_step(world, random, made);
                }
            });
        }
    });
    world.succeed(&["fsck"]);
    let made = made.into_inner().unwrap();
    let unique: BTreeSet<u64> = made.iter().copied().collect();
    assert_eq!(unique.len(), made.len(), "a number was given twice: {made:?}");
    assert!(world.ids().iter().all(|id| unique.contains(id)), "{:?} of {made:?}", world.ids());
    world.succeed(&["prune"]);
    world.succeed(&["fsck"]);
    assert!(world.leftovers().is_empty(), "{:?}", world.leftovers());
    let steps = PROCESSES * STEPS;
    say(&format!("concurrency: {steps} commands, {} deployments in {:?}", made.len(), start.elapsed()));
}

/// Runs one command. Those that name a deployment may come too late for it, or find it protected.
fn one_step(world: &World, random: u64, made: &Mutex<Vec<u64>>) {
    let image = SAMPLES.small(1 + (random >> 8) as u32 % 4);
    let id = {
        let made = made.lock().unwrap();
        made[(random >> 16) as usize % made.len()].to_string()
    };
    let (args, may_fail): (&[&str], _) = match random % 10 {
        0..3 => (&["deploy", "--json", &image], false),
        3 => (&["image", "pull", &image], false),
        4 => (&["prune", "--retain", "2"], false),
        5 => (&["rollback"], true),
        6 => (&["undeploy", &id], true),
        7 => (&["pin", &id], true),
        8 => (&["unpin", &id], true),
        _ => (&["status"], false),
    };
    let ran = world.run(&[args, &["--wait"]].concat());
    assert!(ran.code == Some(0) || may_fail && matches!(ran.code, Some(1 | 2)), "{args:?}: {ran}");
    assert!(!ran.stderr.contains("panicked"), "{args:?}: {ran}");
    if args[0] == "deploy" {
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let id = report["id"].as_u64().or_else(|| report["deployment"]["id"].as_u64());
        made.lock().unwrap().push(id.unwrap_or_else(|| panic!("no id: {report}")));
    }
}

/// True when the kernel says that the process holds a lock for writing (proc_locks(5)).
fn holds_a_lock(pid: u32) -> bool {
    let pid = pid.to_string();
    fs::read_to_string("/proc/locks").unwrap().lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"FLOCK") && fields.get(3) == Some(&"WRITE") && fields.get(4) == Some(&&*pid)
    })
}

/// A deploy that is stopped while it holds the lock alone.
fn stopped_holder(world: &World) -> Child {
    for _ in 0..50 {
        let mut child = world.command(&["deploy", &SAMPLES.medium(1)]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        while child.try_wait().unwrap().is_none() {
            if holds_a_lock(child.id()) {
                let _ = rustix::process::kill_process(pid, Signal::STOP);
                break;
            }
            std::thread::yield_now();
        }
        // Returns at once when the child has ended in the meantime.
        let stopped = rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED);
        if matches!(stopped, Ok(Some((_, status))) if status.stopped()) {
            if holds_a_lock(child.id()) {
                return child;
            }
            rustix::process::kill_process(pid, Signal::CONT).unwrap();
            child.wait().unwrap();
        }
    }
    panic!("a deploy could not be stopped while it holds the lock");
}

fn assert_refused(ran: &Ran, pid: u32) {
    assert_eq!(ran.code, Some(4), "{ran}");
    assert!(ran.stderr.contains(&format!("pid {pid} ")), "{pid} is not named: {ran}");
}

#[test]
fn who_stands_still_with_the_lock_is_named_to_the_others() {
    let world = World::new();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    let mut holder = stopped_holder(&world);
    let before = world.ids();
    assert_refused(&world.run(&["prune"]), holder.id());
    assert_refused(&world.run(&["deploy", &SAMPLES.small(2), "--wait=1"]), holder.id());
    assert_refused(&world.run(&["fsck"]), holder.id());
    assert_eq!(world.ids(), before, "status does not wait");
    rustix::process::kill_process(Pid::from_child(&holder), Signal::CONT).unwrap();
    assert!(holder.wait().unwrap().success());
    world.succeed(&["prune"]);
    world.succeed(&["fsck"]);
}

#[test]
fn a_lock_dies_with_its_holder() {
    let world = World::new();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    let mut holder = stopped_holder(&world);
    holder.kill().unwrap();
    holder.wait().unwrap();
    world.succeed(&["deploy", &SAMPLES.small(2)]);
    world.succeed(&["fsck"]);
    world.succeed(&["prune"]);
    assert!(world.leftovers().is_empty(), "{:?}", world.leftovers());
}
