//! The N-th system call of a kind fails: for N = 1, 2, … until a run sees no failure.
//!
//! strace(1) makes the failure (`-e inject`). It counts for each thread by itself, so N ends early. Whatever happens,
//! the command may fail or cope, but the store is sound, no deployment is lost, and the same command then succeeds.

use std::fs;
use std::process::{Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::reroot::{PROGRAM, Ran};
use crate::support::skip::{say, scratch_in_memory, skip};
use crate::support::tools::{command, missing};
use crate::workload::{From, Machine, VERBS, Verb};

/// What may fail and how. Alternatives of one call that differ by C library and kernel are one line.
const FAULTS: &[(&str, &str)] = &[
    ("write,writev,pwrite64", "ENOSPC"),
    ("write,writev,pwrite64", "EIO"),
    ("read,pread64", "EIO"),
    ("fsync,fdatasync", "EIO"),
    ("syncfs,sync_file_range", "EIO"),
    ("rename,renameat,renameat2", "EIO"),
    ("rename,renameat,renameat2", "ENOSPC"),
    ("link,linkat", "ENOSPC"),
    ("link,linkat", "EMLINK"),
    ("mkdir,mkdirat", "ENOSPC"),
    ("mkdir,mkdirat", "EROFS"),
    ("open,openat,openat2", "EMFILE"),
    ("open,openat,openat2", "EIO"),
    ("open,openat,openat2", "EROFS"),
    ("unlink,unlinkat,rmdir", "EIO"),
    ("unlink,unlinkat,rmdir", "EROFS"),
    ("symlink,symlinkat,mknod,mknodat", "EDQUOT"),
    ("ftruncate,fallocate", "ENOSPC"),
    ("chmod,fchmod,fchmodat,fchmodat2", "EPERM"),
    ("chown,fchown,fchownat", "EPERM"),
    ("setxattr,fsetxattr,lsetxattr,setxattrat", "ENOSPC"),
    ("getxattr,fgetxattr,lgetxattr,listxattr,flistxattr,llistxattr", "EIO"),
    ("utimensat", "EIO"),
    ("flock,fcntl", "ENOLCK"),
    ("stat,lstat,fstat,newfstatat,statx", "EIO"),
    ("statfs,fstatfs", "EIO"),
    ("getdents64", "EIO"),
    ("copy_file_range,ioctl,sendfile", "EIO"),
    ("clone,clone3", "EAGAIN"),
];

/// Runs at most for one fault and verb: after the first ones N grows by a quarter each time.
const RUNS: usize = 20;

#[test]
fn a_command_survives_the_failure_of_every_system_call() {
    let name = "a_command_survives_the_failure_of_every_system_call";
    if let Some(missing) = missing(&["strace"]) {
        return skip(name, missing);
    }
    // Nothing here is about the disk, and a thousand machines are copied.
    let machine = Machine::new_in(scratch_in_memory(), 30, From::Directory);
    let probe = machine.copy("probe");
    if !strace(&probe, Verb::Prune, "write", "EIO", 60_000).0.status.success() {
        return skip(name, "strace may not trace here");
    }
    drop(probe);

    let jobs: Vec<_> = FAULTS.iter().flat_map(|fault| VERBS.map(|verb| (*fault, verb))).collect();
    let next = AtomicUsize::new(0);
    let runs = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (jobs, next, runs, machine, failures) = (&jobs, &next, &runs, &machine, &failures);
            scope.spawn(move || {
                while let Some((fault, verb)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let climb = || climb(machine, *fault, *verb, worker);
                    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(climb)) {
                        Ok(count) => drop(runs.fetch_add(count, Ordering::Relaxed)),
                        Err(panic) => failures.lock().unwrap().push(message(&*panic)),
                    }
                }
            });
        }
    });
    say(&format!("system calls: {} runs with one that failed", runs.load(Ordering::Relaxed)));
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} series failed:\n{}",
        failures.len(),
        jobs.len(),
        failures.join("\n\n")
    );
}

/// One fault in one verb, for growing N. Returns the number of runs.
fn climb(machine: &Machine, (calls, error): (&str, &str), verb: Verb, worker: usize) -> usize {
    let mut n = 1;
    for runs in 0..RUNS {
        let copy = machine.copy(&format!("syscall-{worker}"));
        let (output, injected) = strace(&copy, verb, calls, error, n);
        if injected == 0 {
            return runs;
        }
        let ran = Ran::of(&output);
        let when = format!("when call {n} of {calls} in {verb:?} failed with {error}");
        assert_ne!(ran.code, Some(101), "a panic {when}: {}", ran.stderr);
        assert!(ran.code.is_some(), "killed {when}: {}", ran.stderr);
        if ran.code != Some(0) {
            assert!(!ran.stderr.trim().is_empty(), "no message {when}");
        } else if calls.contains("sync") {
            // The kernel forgets what it could not write: nothing may be reported as done after that.
            panic!("success {when}");
        }
        copy.check(verb, &when);
        copy.finish(verb, &when);
        n += 1 + n / 4;
    }
    RUNS
}

/// Runs a verb with the N-th of some calls failing, and counts the failures that were made.
fn strace(
    copy: &crate::workload::Copy<'_>,
    verb: Verb,
    calls: &str,
    error: &str,
    n: usize,
) -> (Output, usize) {
    let log = copy.directory().join("strace");
    // The names with a question mark may be unknown to this architecture.
    let calls = calls.split(',').map(|call| format!("?{call}")).collect::<Vec<_>>().join(",");
    let mut strace = command("strace");
    strace.args(["-f", "-q", "--seccomp-bpf", "-o"]).arg(&log);
    strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error={error}:when={n}")]);
    strace.arg(PROGRAM);
    copy.reroot.prepare(&mut strace);
    let output = strace.args(copy.arguments(verb)).stdout(Stdio::piped()).output().unwrap();
    let injected = fs::read_to_string(&log).map_or(0, |log| log.matches("(INJECTED)").count());
    (output, injected)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
