//! The N-th system call of a kind fails or is the last one: every N, or evenly spread ones where there are many.
//!
//! SQLite's I/O error tests work like this. strace(1) puts the error in the place of the call ("Tampering" there);
//! its counters are per thread.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::scenario::{Scenario, Size};
use crate::support::skip::{say, skip};
use crate::world::Ran;

/// At most so many N are tried of one call, fault and command.
const STEPS: usize = 10;
const AT_ONCE: usize = 2;

/// What ends the process at the call: the worst there is, and somebody who presses Ctrl-C.
const SIGNALS: [&str; 2] = ["KILL", "INT"];

/// Calls and the faults that file systems make of them, or [`SIGNALS`].
const FAULTS: [(&str, &[&str]); 18] = [
    ("write", &["ENOSPC", "EIO"]),
    ("fsync", &["EIO", "KILL"]),
    ("fdatasync", &["EIO"]),
    ("syncfs", &["EIO", "ENOSPC", "KILL"]),
    ("rename", &["EIO"]),
    ("renameat", &["EIO", "ENOSPC", "KILL", "INT"]),
    ("renameat2", &["EIO", "EROFS", "KILL"]),
    ("linkat", &["EMLINK", "EDQUOT", "INT"]),
    ("mkdirat", &["EMLINK", "ENOSPC", "EROFS"]),
    ("openat", &["EMFILE", "EROFS"]),
    ("unlinkat", &["EIO", "EROFS", "KILL"]),
    ("fchown", &["EDQUOT"]),
    ("fchmod", &["EIO"]),
    ("fchownat", &["EDQUOT"]),
    ("fsetxattr", &["ENOSPC"]),
    ("utimensat", &["EIO"]),
    ("symlinkat", &["ENOSPC"]),
    ("ftruncate", &["EIO"]),
];

/// One run: the fault at the N-th call.
struct Case {
    scenario: usize,
    call: &'static str,
    fault: &'static str,
    nth: usize,
}

/// How often the busiest thread of an undisturbed run makes the call.
fn calls(scenario: &Scenario, call: &str) -> usize {
    let world = scenario.world();
    let log = world.root.join("strace");
    let trace = format!("trace=?{call}");
    let args = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", &trace, "-o"];
    let ran =
        world.under(&[&args[..], &[log.to_str().unwrap()]].concat(), &scenario.args()).output().unwrap();
    assert!(ran.status.success(), "{}, tracing {call}: {}", scenario.name, Ran::of(ran));
    let mut threads = std::collections::HashMap::<String, usize>::new();
    for line in fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(&format!(" {call}("))) {
        *threads.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
    }
    threads.into_values().max().unwrap_or(0)
}

/// N = 1, 2, … or evenly spread from the first to the last.
fn steps(count: usize) -> Vec<usize> {
    let steps = count.min(STEPS);
    let mut nths: Vec<usize> = (0..steps).map(|step| 1 + step * (count - 1) / (steps - 1).max(1)).collect();
    nths.dedup();
    nths
}

fn run(scenario: &Scenario, case: &Case) {
    let Case { call, fault, nth, .. } = case;
    let world = scenario.world();
    let what = format!("{fault} at {call} {nth}");
    let effect = if SIGNALS.contains(fault) { format!("signal={fault}") } else { format!("error={fault}") };
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{effect}:when={nth}");
    let args = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", &trace, "-e", &inject];
    let log = world.root.join("strace");
    let wrapper = [&args[..], &["-o", log.to_str().unwrap()]].concat();
    let ran = Ran::of(world.under(&wrapper, &scenario.args()).output().unwrap());
    // 127 is the dynamic loader's, before there is a program.
    if ran.code.is_some() && ran.code != Some(127) {
        scenario.assert_honest(&world, &ran, &what);
    }
    scenario.assert_intact(&world, &what);
    scenario.assert_finishes(&world, &what);
}

fn strace_works() -> Result<(), String> {
    match Command::new("strace").args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "true"]).output() {
        Err(error) => Err(format!("strace: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
    }
}

#[test]
fn a_command_in_which_any_system_call_fails_breaks_nothing_and_says_so() {
    if let Err(reason) = strace_works() {
        return skip("N-th system call fails", &reason);
    }
    let start = Instant::now();
    let scenarios = [
        Scenario::pull(Size::Small),
        Scenario::deploy(Size::Small),
        Scenario::prune(Size::Small),
        Scenario::stage(Size::Small),
        Scenario::finalize(Size::Small),
    ];
    let mut cases = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        for (call, faults) in FAULTS {
            let count = calls(scenario, call);
            for fault in faults {
                cases.extend(steps(count).into_iter().map(|nth| Case { scenario: index, call, fault, nth }));
            }
        }
    }
    for call in ["write", "fsync", "syncfs", "renameat", "linkat", "unlinkat", "fchown"] {
        assert!(cases.iter().any(|case| case.call.starts_with(call)), "no command calls {call} any more");
    }
    let (next, failures) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = &scenarios[case.scenario];
                    let outcome =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(scenario, case)));
                    if outcome.is_err() {
                        let Case { call, fault, nth, .. } = case;
                        failures.lock().unwrap().push(format!("{}: {fault} at {call} {nth}", scenario.name));
                    }
                }
            });
        }
    });
    say(&format!("system calls: {} faults in {:?}", cases.len(), start.elapsed()));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} faults: {failures:#?}", failures.len(), cases.len());
}
