//! Power cuts: what is left on a real file system when the power goes at any moment of a command.
//!
//! 1. [`record`]: the commands run on a file system whose block device logs every write and every flush ([`device`]).
//! 2. [`cut`], [`replay`]: from the log come the disks that a power cut could have left: at each flush, and with
//!    any part of the writes after it.
//! 3. [`check`]: each of them is read as GRUB does ([`loader`]), mounted (ext4 replays its journal), checked, the
//!    interrupted command runs again, and the result is checked. Nothing is booted: hundreds of states take seconds.
//! 4. Some of these recoveries are recorded in turn, and the power goes again.
//!
//! [`updater`] makes known mistakes, to prove that they are found; no result counts without that.
//!
//! `REROOT_POWERCUT_STATES` is the number of states for each recording, `REROOT_POWERCUT_SEED` repeats a choice of
//! lossy states (the recordings themselves differ a little each time). With `REROOT_POWERCUT_KEEP=DIR` the disks of
//! broken states are kept in that directory, as they were before the first mount.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at the disk themselves")]

mod check;
mod commands;
mod contents;
mod cut;
mod day_two;
mod device;
mod filesystem;
#[path = "../it/support/image.rs"]
#[allow(dead_code, reason = "another test's helper: not everything is used here")]
mod image;
mod images;
mod install;
mod loader;
mod log;
mod record;
mod replay;
mod updater;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use check::{Outcome, Workload, check_states};
use commands::Commands;
use day_two::DayTwo;
#[path = "../it/support/skip.rs"]
#[allow(dead_code)]
mod skip;

use filesystem::Filesystem;
use record::{Neighbour, record};
use updater::{Mistake, Updater};

/// States checked for each recording of reroot.
const STATES: u64 = 200;
/// States that are enough to see a toy updater fail.
const TEETH_STATES: usize = 120;

/// Tells the reader of a passing test: the harness hides what `eprintln!` says.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Lets one test at a time use the processors and loop devices; `None` where this machine cannot run them.
fn turn(test: &str, filesystem: Filesystem) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if let Some(obstacle) = device::obstacle().or_else(|| filesystem.obstacle()).or_else(loader::obstacle) {
        skip::skip(&format!("powercut::{test} ({filesystem:?})"), obstacle);
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// Records a workload and checks `states` disks that power cuts could have left. Then lets the power go again in the
/// middle of `recoveries` of the recoveries, and checks a quarter as many disks more.
fn cut_power(
    workload: &mut dyn Workload,
    filesystem: Filesystem,
    neighbour: Neighbour,
    states: usize,
    recoveries: usize,
) -> Result<Outcome> {
    device::with_own_mounts(|| {
        let seed = from_environment("REROOT_POWERCUT_SEED", 1);
        let recording = record(workload, filesystem, neighbour)?;
        let cuts = cut::cuts(&recording.log, states, seed);
        let mut outcome = check_states(&recording, workload, &cuts)?;
        for n in 0..recoveries {
            // In the middle of each of as many equal parts.
            let first = &cuts[(2 * n + 1) * cuts.len() / (2 * recoveries)];
            let recovery = recording.record_recovery(workload, first)?;
            let again = cut::cuts(&recovery.log, states / 4 / recoveries, seed);
            outcome.add_recovery(check_states(&recovery, workload, &again)?);
        }
        Ok(outcome)
    })
}

/// Fails with the broken states, if there are any.
fn require_sound(what: &str, outcome: &Outcome) {
    say(&format!("powercut: {what}: {outcome}"));
    let broken: Vec<_> = outcome.broken.iter().take(10).map(|broken| format!("\n  {broken}")).collect();
    assert!(broken.is_empty(), "{what}: {outcome}, such as:{}", broken.concat());
}

#[test]
fn a_correct_updater_survives_every_power_cut() {
    let Some(_turn) = turn("a_correct_updater_survives_every_power_cut", Filesystem::Ext4) else { return };
    for neighbour in [Neighbour::Quiet, Neighbour::Busy] {
        let mut updater = Updater(Mistake::None);
        let outcome = cut_power(&mut updater, Filesystem::Ext4, neighbour, TEETH_STATES, 2).unwrap();
        require_sound(&format!("a correct updater, {neighbour:?} ext4"), &outcome);
    }
}

#[test]
fn every_known_mistake_of_an_updater_is_found() {
    let Some(_turn) = turn("every_known_mistake_of_an_updater_is_found", Filesystem::Ext4) else { return };
    for (mistake, neighbour) in [
        (Mistake::NamesBeforeContent, Neighbour::Quiet),
        (Mistake::ReportsTooEarly, Neighbour::Quiet),
        (Mistake::RemovesTooEarly, Neighbour::Quiet),
        (Mistake::SyncsOnlyAtTheEnd, Neighbour::Busy),
    ] {
        let mut updater = Updater(mistake);
        let outcome = cut_power(&mut updater, Filesystem::Ext4, neighbour, TEETH_STATES, 0).unwrap();
        let broken = outcome.broken.first().unwrap_or_else(|| panic!("{mistake:?} was not found: {outcome}"));
        say(&format!("powercut: an updater that errs ({mistake:?}): {outcome}, such as:\n  {broken}"));
    }
}

#[test]
fn a_machines_life_survives_every_power_cut() {
    for filesystem in [Filesystem::Ext4, Filesystem::Btrfs] {
        let Some(_turn) = turn("a_machines_life_survives_every_power_cut", filesystem) else { continue };
        for neighbour in [Neighbour::Quiet, Neighbour::Busy] {
            let states = from_environment("REROOT_POWERCUT_STATES", STATES) as usize;
            let mut commands = Commands::new().unwrap();
            let outcome = cut_power(&mut commands, filesystem, neighbour, states, 3).unwrap();
            require_sound(&format!("init to prune, {neighbour:?} {filesystem:?}"), &outcome);
        }
    }
}

#[test]
fn an_upgrade_of_the_running_system_survives_every_power_cut() {
    let test = "an_upgrade_of_the_running_system_survives_every_power_cut";
    for filesystem in [Filesystem::Ext4, Filesystem::Btrfs] {
        let Some(_turn) = turn(test, filesystem) else { continue };
        let states = from_environment("REROOT_POWERCUT_STATES", STATES) as usize;
        let outcome = cut_power(&mut DayTwo::new().unwrap(), filesystem, Neighbour::Busy, states, 3).unwrap();
        require_sound(&format!("staging, finalization, health, {filesystem:?}"), &outcome);
    }
}
