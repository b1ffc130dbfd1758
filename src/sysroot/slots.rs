//! What each deployment is for, computed from what was observed and never stored.

use std::fmt;

use serde::Serialize;

use super::{Deployment, DeploymentKey, Observed};

/// A role of a deployment. It may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// Is running now.
    Booted,
    /// Becomes bootable at the next shutdown.
    Staged,
    /// First in boot order.
    Default,
    /// What `rollback` would make first: after the default, the next of the same stateroot.
    Rollback,
    /// Kept until it is unpinned.
    Pinned,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Slot::Booted => "booted",
            Slot::Staged => "staged",
            Slot::Default => "default",
            Slot::Rollback => "rollback",
            Slot::Pinned => "pinned",
        })
    }
}

/// The slots of every deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    booted: Option<DeploymentKey>,
    staged: Option<DeploymentKey>,
    default: Option<DeploymentKey>,
    rollback: Option<DeploymentKey>,
}

impl Slots {
    /// Assigns the slots. A staged deployment is not bootable yet, so it is neither default nor rollback.
    pub fn of(observed: &Observed) -> Self {
        let bootable = |d: &&Deployment| !observed.staged.as_ref().is_some_and(|key| d.is(key));
        let mut order = observed.deployments.iter().filter(bootable);
        let default = order.next();
        let rollback = default
            .and_then(|first| order.find(|d| d.record.stateroot == first.record.stateroot))
            .map(Deployment::key);
        Self {
            booted: observed.booted.clone(),
            staged: observed.staged.clone(),
            default: default.map(Deployment::key),
            rollback,
        }
    }

    /// The slots of one deployment, in a fixed order.
    pub fn of_deployment(&self, deployment: &Deployment) -> Vec<Slot> {
        let holds = |key: &Option<DeploymentKey>| key.as_ref().is_some_and(|key| deployment.is(key));
        [
            (holds(&self.booted), Slot::Booted),
            (holds(&self.staged), Slot::Staged),
            (holds(&self.default), Slot::Default),
            (holds(&self.rollback), Slot::Rollback),
            (deployment.record.pinned, Slot::Pinned),
        ]
        .into_iter()
        .filter_map(|(holds, slot)| holds.then_some(slot))
        .collect()
    }
}
