//! Power cuts: what is left on a real ext4 when the power goes at any moment of a command.
//!
//! 1. [`record`]: the commands run on an ext4 whose block device logs every write and every flush ([`device`]).
//! 2. [`cut`], [`replay`]: from the log come the disks that a power cut could have left: at each flush, and with
//!    any part of the writes after it.
//! 3. [`check`]: each of them is mounted (ext4 replays its journal), checked, the interrupted command runs again,
//!    and the result is checked. Nothing is booted: hundreds of states take seconds.
//!
//! [`updater`] makes known mistakes, to prove that they are found; no result counts without that.
//!
//! `REROOT_POWERCUT_STATES` is the number of states for each recording, `REROOT_POWERCUT_SEED` repeats a choice of
//! lossy states (the recordings themselves differ a little each time). With `REROOT_POWERCUT_KEEP=DIR` the disks of
//! broken states are kept in that directory, as they were before the first mount.

// A test of what is on disk looks at the disk itself, not through the crate's `fsx`.
#![allow(clippy::disallowed_methods)]

mod check;
mod cut;
mod device;
mod filesystem;
mod log;
mod record;
mod replay;
mod updater;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use check::{Outcome, Workload, check_states};
use filesystem::Filesystem;
use record::{Neighbour, record};
use updater::{Mistake, Updater};

/// States that are enough to see a toy updater fail.
const TEETH_STATES: usize = 120;

/// Tells the reader of a passing test: the harness hides what `eprintln!` says.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Lets one test at a time use the processors and loop devices; `None` where this machine cannot run them.
fn turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if let Some(obstacle) = device::obstacle() {
        say(&format!("skipped: powercut::{test}: {obstacle}"));
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

fn cut_power(
    workload: &mut dyn Workload,
    filesystem: Filesystem,
    neighbour: Neighbour,
    states: usize,
) -> Result<Outcome> {
    let recording = record(workload, filesystem, neighbour)?;
    let cuts = cut::cuts(&recording.log, states, from_environment("REROOT_POWERCUT_SEED", 1));
    check_states(&recording, workload, &cuts)
}

#[test]
fn a_correct_updater_survives_every_power_cut() {
    let Some(_turn) = turn("a_correct_updater_survives_every_power_cut") else { return };
    for neighbour in [Neighbour::Quiet, Neighbour::Busy] {
        let outcome =
            cut_power(&mut Updater(Mistake::None), Filesystem::Ext4, neighbour, TEETH_STATES).unwrap();
        say(&format!("correct updater, {neighbour:?}: {outcome}"));
        assert!(outcome.broken.is_empty(), "{}", outcome.broken[0]);
    }
}

#[test]
fn every_known_mistake_of_an_updater_is_found() {
    let Some(_turn) = turn("every_known_mistake_of_an_updater_is_found") else { return };
    for (mistake, neighbour) in [
        (Mistake::NamesBeforeContent, Neighbour::Quiet),
        (Mistake::ReportsTooEarly, Neighbour::Quiet),
        (Mistake::RemovesTooEarly, Neighbour::Quiet),
        (Mistake::SyncsOnlyAtTheEnd, Neighbour::Busy),
    ] {
        let outcome = cut_power(&mut Updater(mistake), Filesystem::Ext4, neighbour, TEETH_STATES).unwrap();
        say(&format!("{mistake:?}: {outcome}"));
        let broken = outcome.broken.first().unwrap_or_else(|| panic!("{mistake:?} was not found"));
        say(&format!("  such as: {broken}"));
    }
}

mod store;
#[test]
fn the_store_survives_every_power_cut() {
    let Some(_turn) = turn("the_store_survives_every_power_cut") else { return };
    for (fs, neighbour) in [
        (Filesystem::Ext4, Neighbour::Quiet),
        (Filesystem::Ext4, Neighbour::Busy),
        (Filesystem::Btrfs, Neighbour::Quiet),
        (Filesystem::Btrfs, Neighbour::Busy),
    ] {
        let outcome = cut_power(
            &mut store::Store,
            fs,
            neighbour,
            from_environment("REROOT_POWERCUT_STATES", 200) as usize,
        )
        .unwrap();
        say(&format!("the store, {fs:?} {neighbour:?}: {outcome}"));
        for broken in outcome.broken.iter().take(10) {
            say(&format!("  such as: {broken}"));
        }
    }
}
