//! The settings that operations use.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::super::{Error, Result};
use super::Merged;
use crate::repo::Reserve;

/// Checked settings; what nobody set has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How many deployments of each stateroot, counted in boot order, prune keeps at least.
    pub retain: NonZeroUsize,
    /// The share of the file system that a pull leaves free.
    pub reserve: Reserve,
    /// How often the boot loader tries a new deployment before it falls back; `None` when boots are not counted.
    pub boot_tries: Option<NonZeroU32>,
    /// How long one health check may take.
    pub health_check_timeout: Duration,
    /// Whether a prune follows when a new deployment has turned out well.
    pub prune_after_boot: bool,
}

/// More is a typing mistake.
const MOST_RETAINED: u64 = 1000;
/// With more than half of the disk held back, the disk is too small anyway.
const MOST_RESERVED: u64 = 50;
/// Nobody waits for more boots that fail.
const MOST_TRIES: u64 = 20;
/// A boot that takes longer is not waited for by anybody.
const LONGEST_CHECK_SECONDS: u64 = 3600;

impl Default for Config {
    fn default() -> Self {
        Self {
            retain: NonZeroUsize::new(3).expect("3 is not 0"),
            reserve: Reserve::default(),
            boot_tries: NonZeroU32::new(3),
            // Checks wait for services that start slowly; the limit is for those that hang.
            health_check_timeout: Duration::from_secs(300),
            prune_after_boot: true,
        }
    }
}

impl TryFrom<Merged> for Config {
    type Error = Error;

    fn try_from(merged: Merged) -> Result<Self> {
        let default = Self::default();
        let Merged { retain, reserve_percent, boot_tries, health_check_timeout, prune_after_boot } = merged;
        let retain = match retain {
            Some(retain) => NonZeroUsize::new(retain.within("retain", 1..=MOST_RETAINED)? as usize),
            None => None,
        };
        let reserve = match reserve_percent {
            Some(percent) => Reserve { percent: percent.within("reserve-percent", 0..=MOST_RESERVED)? as u8 },
            None => default.reserve,
        };
        let boot_tries = match boot_tries {
            Some(tries) => NonZeroU32::new(tries.within("boot-tries", 0..=MOST_TRIES)? as u32),
            None => default.boot_tries,
        };
        let health_check_timeout = match health_check_timeout {
            Some(seconds) => {
                Duration::from_secs(seconds.within("health-check-timeout", 1..=LONGEST_CHECK_SECONDS)?)
            }
            None => default.health_check_timeout,
        };
        Ok(Self {
            retain: retain.unwrap_or(default.retain),
            reserve,
            boot_tries,
            health_check_timeout,
            prune_after_boot: prune_after_boot.unwrap_or(default.prune_after_boot),
        })
    }
}
