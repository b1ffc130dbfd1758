//! SIGKILL at random moments (kill(2) cannot be caught: what a crash of the process or the OOM killer does).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::scenario::{Scenario, Size};
use crate::support::skip::say;

const KILLS: u32 = 200;
/// Change it to try other moments; the moments also depend on the machine.
const SEED: u64 = 0x7265_726f_6f74_0001;
const AT_ONCE: u32 = 2;

/// A number that depends on the seed and on how many were drawn before (splitmix64, public domain).
pub fn draw(seed: u64, nth: u64) -> u64 {
    let mut z = seed.wrapping_add(nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The median of five undisturbed runs.
fn duration(scenario: &Scenario) -> Duration {
    let mut durations: Vec<Duration> = (0..5)
        .map(|_| {
            let world = scenario.world();
            let start = Instant::now();
            world.succeed(&scenario.args());
            start.elapsed()
        })
        .collect();
    durations.sort();
    durations[2]
}

/// Kills one run; true when it was still running.
fn kill_once(scenario: &Scenario, nth: u32, moment: Duration) -> bool {
    let world = scenario.world();
    let mut child = world.command(&scenario.args()).spawn().unwrap();
    std::thread::sleep(moment);
    child.kill().unwrap();
    let killed = child.wait().unwrap().code().is_none();
    let what = format!("kill {nth} after {moment:?} (seed {SEED:#x})");
    scenario.assert_intact(&world, &what);
    if !killed {
        scenario.assert_done(&world, &what);
    }
    scenario.assert_finishes(&world, &what);
    killed
}

#[test]
fn a_command_that_is_killed_at_any_moment_breaks_nothing_and_is_finished_by_the_next() {
    let scenarios: Vec<(Scenario, Duration)> = [
        Scenario::pull(Size::Medium),
        Scenario::deploy(Size::Medium),
        Scenario::prune(Size::Medium),
        Scenario::stage(Size::Medium),
        Scenario::finalize(Size::Medium),
    ]
    .into_iter()
    .map(|scenario| {
        let duration = duration(&scenario);
        (scenario, duration)
    })
    .collect();
    for (scenario, duration) in &scenarios {
        say(&format!("kill: {} takes {duration:?}; seed {SEED:#x}", scenario.name));
    }
    let (next, killed) = (AtomicU32::new(0), AtomicU32::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= KILLS {
                        return;
                    }
                    let (scenario, duration) = &scenarios[nth as usize % scenarios.len()];
                    let part = draw(SEED, nth.into()) as f64 / u64::MAX as f64;
                    if kill_once(scenario, nth, duration.mul_f64(1.1 * part)) {
                        killed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let killed = killed.into_inner();
    say(&format!("kill: {killed} of {KILLS} runs were killed before they ended, in {:?}", start.elapsed()));
    assert!(killed >= KILLS / 2, "only {killed} of {KILLS} were killed in time");
}
