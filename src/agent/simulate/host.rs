//! One machine of the fleet.

use super::releases::{Number, digest};
use crate::agent::machine::{Agent, Observation};

#[derive(Debug, Clone, Default)]
pub struct Host {
    pub agent: Agent,
    pub booted: Number,
    pub staged: Option<Number>,
    /// A bit for each release that did not boot here.
    pub failed: u64,
    /// No new release boots here.
    pub is_broken: bool,
    pub is_down: bool,
    /// Its place in a rollout, 0 to 1.
    pub wariness: f64,
    /// For its own dice.
    pub random: u64,
}

impl Host {
    pub fn observation(&self) -> Observation {
        Observation {
            booted: digest(self.booted),
            on_trial: false,
            staged: self.staged.map(digest),
            no_rollback: None,
        }
    }

    pub fn has_failed(&self, number: Number) -> bool {
        self.failed & (1 << number) != 0
    }
}

/// The next number of a sequence (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>): small, and the same everywhere.
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 to 1, without 1.
pub fn next_share(state: &mut u64) -> f64 {
    (next_random(state) >> 11) as f64 / (1u64 << 53) as f64
}
