//! The machine as the agent sees it.

use super::machine::Observation;
use crate::digest::Sha256;
use crate::ops::{Error, Result};
use crate::sysroot::{Deployment, HealthState, Observed};

/// What decisions need to know of a machine.
pub fn observation(observed: &Observed) -> Result<Observation> {
    let booted = booted(observed)?;
    let record = &booted.record;
    let on_trial = record.health.state == HealthState::Untried && record.tries.is_some();
    let good = |deployment: &Deployment| match deployment.record.health.state {
        HealthState::Good => true,
        HealthState::Untried => deployment.record.tries.is_none(),
        HealthState::Bad => false,
    };
    let has_rollback = observed.finalized().any(good);
    let no_rollback = (!has_rollback)
        .then(|| "no deployment has proved itself that the machine could fall back to; `reroot mark-good` says that the running one has".into());
    Ok(Observation { booted: record.image.digest, on_trial, staged: staged(observed), no_rollback })
}

/// The deployment that runs. An error where none does: there is nothing to update.
pub fn booted(observed: &Observed) -> Result<&Deployment> {
    let booted = observed.booted.as_ref().ok_or_else(|| {
        Error::incompatible("the running system was not booted from a deployment: there is nothing to update")
    })?;
    observed.deployment(booted).ok_or_else(|| Error::corrupt(format!("{booted} runs and has no record")))
}

/// The image that is staged.
pub fn staged(observed: &Observed) -> Option<Sha256> {
    let key = observed.staged.as_ref()?;
    Some(observed.deployment(key)?.record.image.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysroot::testing::{key, observed};

    #[test]
    fn a_machine_needs_something_good_to_fall_back_to() {
        for (state, tries, others, on_trial, has_rollback) in [
            (HealthState::Good, Some(3), HealthState::Bad, false, true),
            (HealthState::Untried, None, HealthState::Bad, false, true),
            (HealthState::Untried, Some(3), HealthState::Good, true, true),
            (HealthState::Untried, Some(3), HealthState::Bad, true, false),
            (HealthState::Bad, Some(3), HealthState::Bad, false, false),
        ] {
            let mut observed = observed("a:2 a:1");
            observed.booted = Some(key("a", 2));
            for (deployment, state) in observed.deployments.iter_mut().zip([state, others]) {
                deployment.record.health.state = state;
                deployment.record.tries = tries.and_then(std::num::NonZeroU32::new);
            }
            let seen = observation(&observed).unwrap();
            assert_eq!((seen.on_trial, seen.no_rollback.is_none()), (on_trial, has_rollback), "{state:?}");
        }
    }

    #[test]
    fn a_machine_that_runs_from_no_deployment_has_nothing_to_update() {
        assert!(observation(&observed("a:1")).is_err());
    }
}
