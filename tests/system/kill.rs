//! SIGKILL at random moments of pull, deploy and prune.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::support::skip::say;
use crate::workload::{From, Machine, VERBS, Verb};

const MOMENTS: u64 = 200;

#[test]
fn a_command_killed_at_any_moment_loses_nothing_and_can_be_run_again() {
    let mut random = Random::seeded("kill");
    let machine = Machine::new(400, From::Registry);
    let durations = VERBS.map(|verb| {
        let copy = machine.copy(&format!("time-{verb:?}"));
        let start = Instant::now();
        copy.run(verb).ok();
        start.elapsed()
    });
    let mut killed = 0;
    for moment in 0..MOMENTS {
        let verb = VERBS[moment as usize % VERBS.len()];
        // A little beyond the usual end: the last steps are the ones that count.
        let longest = durations[VERBS.iter().position(|v| *v == verb).unwrap()].mul_f64(1.1);
        let delay = Duration::from_nanos(random.below(longest.as_nanos() as u64));
        killed += u64::from(kill_once(&machine, verb, delay, moment));
    }
    say(&format!(
        "kill: {killed} of {MOMENTS} runs were killed before they ended ({VERBS:?}: {durations:?})"
    ));
    assert!(killed > MOMENTS / 2, "only {killed} of {MOMENTS} runs were killed before they ended");
}

/// Whether the signal came before the end.
fn kill_once(machine: &Machine, verb: Verb, delay: Duration, moment: u64) -> bool {
    let copy = machine.copy("killed");
    let mut process = copy.command(verb).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    process.kill().unwrap();
    let status = process.wait().unwrap();
    let when = format!("when {verb:?} was killed after {delay:?} (moment {moment})");
    assert!(status.success() || status.signal() == Some(9), "{status} {when}");
    copy.check(verb, &when);
    copy.finish(verb, &when);
    !status.success()
}
