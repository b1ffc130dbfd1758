//! What each deployment is for, computed from what was observed and never stored.

use std::fmt;

use serde::Serialize;

use super::{Deployment, DeploymentKey, HealthState, Observed};
use crate::names::StaterootName;

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
    /// What `rollback` would make first: after the default, the next of the same stateroot that is not bad.
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
        let default = observed.finalized().next();
        let rollback = default
            .and_then(|first| Self::rollback_of(observed, &first.record.stateroot))
            .map(Deployment::key);
        Self {
            booted: observed.booted.clone(),
            staged: observed.staged.clone(),
            default: default.map(Deployment::key),
            rollback,
        }
    }

    /// What `rollback` would make first in a stateroot: after its first, the next that is not known to be bad.
    pub fn rollback_of<'o>(observed: &'o Observed, stateroot: &StaterootName) -> Option<&'o Deployment> {
        let in_stateroot = observed.finalized().filter(|d| d.record.stateroot == *stateroot);
        in_stateroot.skip(1).find(|d| d.record.health.state != HealthState::Bad)
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

#[cfg(test)]
mod tests {
    use super::super::testing::{key, observed};
    use super::*;

    #[track_caller]
    fn shown(observed: &Observed) -> String {
        let slots = Slots::of(observed);
        let lines: Vec<_> = observed
            .deployments
            .iter()
            .map(|d| {
                let slots: Vec<_> = slots.of_deployment(d).iter().map(Slot::to_string).collect();
                format!("{}{}: {}", &d.record.stateroot.as_str()[..1], d.record.id, slots.join("+"))
            })
            .collect();
        lines.join(", ")
    }

    #[test]
    fn on_a_sysroot_that_is_not_booted_the_order_decides() {
        assert_eq!(shown(&observed("")), "");
        assert_eq!(shown(&observed("default:1")), "d1: default");
        assert_eq!(
            shown(&observed("default:2 default:1 default:3!")),
            "d2: default, d1: rollback, d3: pinned"
        );
    }

    #[test]
    fn rollback_stays_in_the_stateroot() {
        assert_eq!(shown(&observed("a:1 b:1 a:2")), "a1: default, b1: , a2: rollback");
    }

    #[test]
    fn booted_and_staged_are_what_the_running_system_says() {
        let mut running = observed("default:3 default:2! default:1");
        running.booted = Some(key("default", 2));
        assert_eq!(shown(&running), "d3: default, d2: booted+rollback+pinned, d1: ");
        let mut staging = observed("default:3~ default:2! default:1 default:4~");
        staging.booted = Some(key("default", 2));
        staging.staged = Some(key("default", 3));
        assert_eq!(shown(&staging), "d3: staged, d2: booted+default+pinned, d1: rollback, d4: ");
    }
}
