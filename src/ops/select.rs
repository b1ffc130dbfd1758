//! Finding the deployment that a number means.

use super::{Error, Result};
use crate::fsx;
use crate::names::StaterootName;
use crate::sysroot::{Deployment, DeploymentId, DeploymentKey, Observed, ProblemKind, Sysroot};

/// The key of deployment `id` in `stateroot`, or in the current stateroot when none is named. The deployment
/// need not be readable: something is there under this number.
pub(super) fn key(
    observed: &Observed,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
) -> Result<DeploymentKey> {
    let key =
        DeploymentKey { stateroot: stateroot.cloned().unwrap_or_else(|| observed.current_stateroot()), id };
    let damaged = observed.problems.iter().any(|p| p.deployment.as_ref() == Some(&key));
    if damaged || observed.deployment(&key).is_some() {
        return Ok(key);
    }
    let elsewhere: Vec<&str> = observed
        .deployments
        .iter()
        .filter(|d| d.record.id == id && stateroot.is_none())
        .map(|d| d.record.stateroot.as_str())
        .collect();
    Err(Error::not_found(match elsewhere.as_slice() {
        [] => format!("{key} does not exist"),
        others => format!("{key} does not exist, but stateroot {} has one", others.join(", ")),
    }))
}

/// The key of a deployment that was there once: its number was given out.
pub(super) fn former(
    observed: &Observed,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
) -> Option<DeploymentKey> {
    let stateroot = stateroot.cloned().unwrap_or_else(|| observed.current_stateroot());
    let given_out = id < observed.counters.next_id(&stateroot);
    given_out.then_some(DeploymentKey { stateroot, id })
}

/// As [`key`], for a deployment whose record reads back.
pub(crate) fn deployment<'o>(
    observed: &'o Observed,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
) -> Result<&'o Deployment> {
    let key = key(observed, id, stateroot)?;
    observed.deployment(&key).ok_or_else(|| {
        let problem = observed.problems.iter().find(|p| p.deployment.as_ref() == Some(&key));
        Error::corrupt(problem.map_or_else(|| format!("{key} is damaged"), |p| p.message.clone()))
    })
}

/// Refuses while what runs cannot be read: a new deployment begins with its kernel arguments and its `/etc`, and those of
/// another one would take their place without a word.
pub(super) fn check_running(observed: &Observed) -> Result<()> {
    let booted = observed.booted.as_ref();
    let is_hit = |p: &&crate::sysroot::Problem| match p.kind {
        ProblemKind::DamagedRunState => booted.is_none(),
        ProblemKind::DamagedRecord | ProblemKind::NewerRecord => {
            booted.is_some() && p.deployment.as_ref() == booted
        }
        _ => false,
    };
    let Some(problem) = observed.problems.iter().find(is_hit) else { return Ok(()) };
    let message = match booted {
        Some(key) => format!(
            "a new deployment begins with the /etc of {key}, which runs: {}; `reroot rollback N` boots another one",
            problem.message
        ),
        None => format!("nothing is deployed while it is unknown what runs: {}", problem.message),
    };
    Err(match problem.kind {
        ProblemKind::NewerRecord => Error::incompatible(message),
        _ => Error::corrupt(message),
    })
}

/// The deployment that `upgrade` starts from: the first of the stateroot in boot order, staged or not. A staged one whose
/// origin is lost is none to start from: nothing has booted it, and the next one replaces it.
pub(super) fn merge_deployment<'o>(
    observed: &'o Observed,
    stateroot: &StaterootName,
) -> Result<&'o Deployment> {
    observed
        .deployments
        .iter()
        .filter(|d| d.record.finalized || d.origin.is_some())
        .find(|d| d.record.stateroot == *stateroot && !observed.is_abandoned(d))
        .ok_or_else(|| Error::not_found(format!("stateroot {stateroot} has no deployment to start from")))
}

/// The root directory of a deployment.
pub(crate) fn open_deployment(sysroot: &Sysroot, deployment: &Deployment) -> Result<fsx::Dir> {
    let record = &deployment.record;
    let open = || {
        let stateroot = fsx::open_subdir(sysroot.deploy(), record.stateroot.as_str())?;
        fsx::open_subdir(&fsx::open_subdir(&stateroot, "deploy")?, &record.id.to_string())
    };
    open().map_err(Error::io(format!("opening {}", deployment.path())))
}
