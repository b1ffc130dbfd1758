//! What the boots of a deployment showed.

use serde::{Deserialize, Serialize};

/// Whether a deployment has proved itself. Kept in its record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub state: HealthState,
    /// Why it failed, oldest first: a line for each boot that could write one. A kernel that panics writes nothing; the
    /// boot that found out wrote that down then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedBoot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// No boot of it has completed yet.
    #[default]
    Untried,
    /// A boot completed with all required checks passed, or somebody said so.
    Good,
    /// All its tries failed, or somebody said so.
    Bad,
}

/// A boot that reached the running system and failed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedBoot {
    /// Seconds since the epoch.
    pub time: u64,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot_id: String,
    pub reason: String,
}

/// No record keeps more failures.
const MOST_FAILURES: usize = 10;

impl Health {
    /// True for what needs no place in a record.
    pub fn is_unknown(&self) -> bool {
        self.state == HealthState::Untried && self.failures.is_empty()
    }

    /// Whether more boots have failed than the loader was to try, as far as they are kept: it does not count, or does not
    /// fall back.
    pub fn failed_more_often_than(&self, tries: usize) -> bool {
        self.failures.len() > tries.min(MOST_FAILURES - 1)
    }

    /// Takes note of a failed boot. Of one boot, the last reason counts.
    pub fn failed(&mut self, boot: FailedBoot) {
        self.failures.retain(|known| known.boot_id != boot.boot_id);
        self.failures.push(boot);
        let excess = self.failures.len().saturating_sub(MOST_FAILURES);
        self.failures.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_fails_once_and_the_list_stays_short() {
        let boot =
            |id: usize, reason: &str| FailedBoot { time: 1, boot_id: id.to_string(), reason: reason.into() };
        let mut health = Health::default();
        assert!(health.is_unknown());
        health.failed(boot(1, "first"));
        health.failed(boot(1, "second"));
        assert_eq!(health.failures, [boot(1, "second")]);
        for id in 2..20 {
            health.failed(boot(id, "x"));
        }
        assert_eq!(health.failures.len(), MOST_FAILURES);
        assert_eq!(health.failures.last().unwrap().boot_id, "19");
    }
}
