//! Which deployments stay: a pure decision over what was observed.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use serde::Serialize;

use super::{Error, Result};
use crate::digest::Sha256;
use crate::sysroot::{DeploymentKey, Observed, ProblemKind, Slot, Slots};

/// How much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The first so many deployments of each stateroot in boot order stay.
    pub retain: NonZeroUsize,
}

/// Why a deployment stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    Booted,
    Staged,
    /// Boots first.
    Default,
    /// What `rollback` would go to.
    Rollback,
    Pinned,
    /// Among the first that the policy retains.
    Retained,
}

impl From<Slot> for Reason {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::Booted => Reason::Booted,
            Slot::Staged => Reason::Staged,
            Slot::Default => Reason::Default,
            Slot::Rollback => Reason::Rollback,
            Slot::Pinned => Reason::Pinned,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    #[serde(flatten)]
    pub key: DeploymentKey,
    pub reasons: Vec<Reason>,
}

/// A deployment that goes: nothing holds it, and `retain` others of its stateroot boot before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    #[serde(flatten)]
    pub key: DeploymentKey,
    pub retain: NonZeroUsize,
}

/// What a prune does. Executing it needs no further decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In boot order.
    pub keep: Vec<Kept>,
    /// Removed one after another, the last in boot order first.
    pub remove: Vec<Removed>,
    /// The manifests that the kept deployments need: roots of the gc that follows.
    pub roots: BTreeSet<Sha256>,
}

/// Decides what a prune does. Refuses when what is in use cannot be known: better too much than too little.
pub fn decide(observed: &Observed, policy: &Policy) -> Result<Plan> {
    check_run_state(observed)?;
    let unknown = [ProblemKind::DamagedRecord, ProblemKind::NewerRecord];
    if let Some(problem) = observed.problems.iter().find(|p| unknown.contains(&p.kind)) {
        return Err(refusal(problem.kind, &problem.message));
    }
    let slots = Slots::of(observed);
    let mut plan = Plan { keep: Vec::new(), remove: Vec::new(), roots: BTreeSet::new() };
    for deployment in &observed.deployments {
        let key = deployment.key();
        let before = observed.of_stateroot(&key.stateroot).take_while(|d| !d.is(&key)).count();
        let mut reasons: Vec<Reason> =
            slots.of_deployment(deployment).into_iter().map(Reason::from).collect();
        if before < policy.retain.get() {
            reasons.push(Reason::Retained);
        }
        if reasons.is_empty() {
            plan.remove.push(Removed { key, retain: policy.retain });
        } else {
            plan.roots.insert(deployment.record.image.digest);
            plan.keep.push(Kept { key, reasons });
        }
    }
    plan.remove.reverse();
    Ok(plan)
}

/// Fails when it is not known what is booted or staged.
pub(super) fn check_run_state(observed: &Observed) -> Result<()> {
    let unknown = |p: &&crate::sysroot::Problem| p.kind == ProblemKind::DamagedRunState;
    match observed.problems.iter().find(unknown) {
        Some(problem) => Err(refusal(problem.kind, &problem.message)),
        None => Ok(()),
    }
}

fn refusal(kind: ProblemKind, message: &str) -> Error {
    let message = format!("nothing is removed while it is unknown what is in use: {message}");
    match kind {
        ProblemKind::NewerRecord => Error::incompatible(message),
        _ => Error::corrupt(message),
    }
}
