//! What is simulated.
//!
//! ```toml
//! hosts = 10000
//! days = 30
//! start = "2026-03-02T00:00:00Z"   # a Monday; windows and daylight saving time go by it
//! seed = 1                         # another one gives other hosts and another order
//! config = "fleet.toml"            # the agent's configuration, a file beside this one; default: an agent without any
//! download = "10m"                 # fetching and staging a release
//! reboot = "3m"                    # one restart
//! broken = 0.001                   # share of the hosts on which no new release boots
//! busy = 0.05                      # how often somebody is logged in
//!
//! [lock]                           # the lock server, when the configuration asks one
//! slots = 20                       # hosts that may be down at the same time, in each group
//! groups = 1
//!
//! [[release]]
//! version = "2"
//! at = "1d"                        # after the start
//! rollout = "3d"                   # from the first host to the last; only where the configuration follows a graph
//! share = 0.01                     # that is offered it at once
//! bad = false                      # it does not boot: hosts fall back after `tries` restarts
//! stop-at = 0.005                  # when so many of the fleet have failed, somebody stops the rollout ...
//! stop-after = "1h"                # ... so much later
//! ```

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::agent::config;
use crate::ops::{Error, Result};
use crate::sysroot::line_of;

/// More do not fit into the memory of a small machine.
const MOST_HOSTS: u32 = 1_000_000;
const MOST_DAYS: u32 = 366;
/// Which of them failed on a host is kept in a number.
const MOST_RELEASES: usize = 60;

/// A fleet, and what is released to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    pub hosts: u32,
    pub days: u32,
    pub start: Timestamp,
    #[serde(default = "one")]
    pub seed: u64,
    /// A file of the agent's configuration, from the directory of the plan.
    pub config: Option<String>,
    #[serde(default = "minutes::<10>", deserialize_with = "duration")]
    pub download: Duration,
    #[serde(default = "minutes::<3>", deserialize_with = "duration")]
    pub reboot: Duration,
    /// Restarts of a release that does not boot, before the loader falls back.
    #[serde(default = "three")]
    pub tries: u32,
    #[serde(default)]
    pub broken: f64,
    #[serde(default)]
    pub busy: f64,
    #[serde(default)]
    pub lock: LockPlan,
    #[serde(default, rename = "release")]
    pub releases: Vec<ReleasePlan>,
}

/// The lock server.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LockPlan {
    pub slots: u32,
    pub groups: u32,
}

impl Default for LockPlan {
    fn default() -> Self {
        Self { slots: 1, groups: 1 }
    }
}

/// One release.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReleasePlan {
    pub version: String,
    /// Since the start.
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    #[serde(default, deserialize_with = "duration")]
    pub rollout: Duration,
    #[serde(default)]
    pub share: f64,
    #[serde(default)]
    pub bad: bool,
    pub stop_at: Option<f64>,
    #[serde(default, deserialize_with = "duration")]
    pub stop_after: Duration,
}

impl Plan {
    /// Parses a plan; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text).map_err(|error| {
            Error::invalid(format!("{file}:{}: {}", line_of(text, error.span()), error.message()))
        })?;
        plan.check().map_err(|problem| Error::invalid(format!("{file}: {problem}")))?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        let within = |key: &str, value: u32, most: u32| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("`{key}` is {value}, but must be 1 to {most}")),
        };
        within("hosts", self.hosts, MOST_HOSTS)?;
        within("days", self.days, MOST_DAYS)?;
        within("tries", self.tries, 20)?;
        within("lock.slots", self.lock.slots, MOST_HOSTS)?;
        within("lock.groups", self.lock.groups, MOST_HOSTS)?;
        let share = |key: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(format!("`{key}` is {value}, but must be 0 to 1")),
        };
        share("broken", self.broken)?;
        share("busy", self.busy)?;
        if self.releases.len() > MOST_RELEASES {
            return Err(format!("it has {} releases; {MOST_RELEASES} are possible", self.releases.len()));
        }
        for release in &self.releases {
            share("share", release.share)?;
            share("stop-at", release.stop_at.unwrap_or_default())?;
        }
        if !self.releases.is_sorted_by_key(|release| release.at) {
            return Err("the releases must be in the order of `at`".into());
        }
        Ok(())
    }
}

fn one() -> u64 {
    1
}

fn three() -> u32 {
    3
}

fn minutes<const N: u64>() -> Duration {
    Duration::from_secs(60 * N)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = || format!("{text:?} is no length of time, such as 90s, 5m, 1h 30m or 2d");
    config::parse_duration(&text).ok_or_else(|| serde::de::Error::custom(expected()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "hosts = 1\ndays = 1\nstart = \"2026-03-02T00:00:00Z\"\n";

    #[test]
    fn what_is_left_out_has_a_default() {
        let plan = Plan::parse(LEAST, "plan").unwrap();
        assert_eq!((plan.seed, plan.tries, plan.download.as_secs(), plan.lock.slots), (1, 3, 600, 1));
        let release = "[[release]]\nversion = \"2\"\nat = \"1d\"\n";
        let plan = Plan::parse(&format!("{LEAST}{release}"), "plan").unwrap();
        assert_eq!((plan.releases[0].at.as_secs(), plan.releases[0].rollout.as_secs()), (86400, 0));
    }

    #[test]
    fn mistakes_are_named() {
        let release = |at: &str| format!("[[release]]\nversion = \"2\"\nat = \"{at}\"\n");
        for (more, expected) in [
            ("slots = 3\n".into(), "plan:4: unknown field `slots`"),
            ("broken = 1.5\n".into(), "plan: `broken` is 1.5, but must be 0 to 1"),
            ("tries = 0\n".into(), "plan: `tries` is 0, but must be 1 to 20"),
            (release("soon"), "plan:6: \"soon\" is no length of time, such as 90s, 5m, 1h 30m or 2d"),
            (release("2d") + &release("1d"), "plan: the releases must be in the order of `at`"),
        ] {
            let error = Plan::parse(&format!("{LEAST}{more}"), "plan").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
