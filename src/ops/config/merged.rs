//! All files of the configuration together.

use super::Fragment;
use crate::ops::drop_in::{DropIn, Placed};

/// The last value of each key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    pub retain: Option<Placed<u64>>,
    pub reserve_percent: Option<Placed<u64>>,
    pub boot_tries: Option<Placed<u64>>,
    pub health_check_timeout: Option<Placed<u64>>,
    pub prune_after_boot: Option<bool>,
}

impl Merged {
    /// Adds a file; what it sets replaces what earlier files set. `fragment` is what `file` says.
    pub fn add(&mut self, fragment: Fragment, file: &DropIn) {
        let place = |value| file.place(value);
        let Fragment { retain, reserve_percent, boot_tries, health_check_timeout, prune_after_boot } =
            fragment;
        self.retain = retain.map(place).or(self.retain.take());
        self.reserve_percent = reserve_percent.map(place).or(self.reserve_percent.take());
        self.boot_tries = boot_tries.map(place).or(self.boot_tries.take());
        self.health_check_timeout = health_check_timeout.map(place).or(self.health_check_timeout.take());
        self.prune_after_boot = prune_after_boot.map(toml::Spanned::into_inner).or(self.prune_after_boot);
    }
}
