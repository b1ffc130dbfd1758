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
        // Pins are kept beside the policy, not instead of what it would keep.
        let counted =
            observed.of_stateroot(&key.stateroot).filter(|d| !d.record.pinned && d.record.finalized);
        let before = counted.take_while(|d| !d.is(&key)).count();
        let mut reasons: Vec<Reason> =
            slots.of_deployment(deployment).into_iter().map(Reason::from).collect();
        // A soft reboot would go over to it.
        if observed.prepared.as_ref() == Some(&key) {
            reasons.push(Reason::Staged);
        }
        if before < policy.retain.get() && !deployment.record.pinned && deployment.record.finalized {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sysroot::Problem;
    use crate::sysroot::testing::{key, observed};

    fn policy(retain: usize) -> Policy {
        Policy { retain: NonZeroUsize::new(retain).unwrap() }
    }

    /// What is removed, in order, as `stateroot:id`.
    fn removed(observed: &Observed, retain: usize) -> Vec<String> {
        let plan = decide(observed, &policy(retain)).unwrap();
        plan.remove.iter().map(|r| format!("{}:{}", r.key.stateroot, r.key.id)).collect()
    }

    #[test]
    fn the_first_of_each_stateroot_stay() {
        for (deployments, retain, expected) in [
            ("", 1, &[][..]),
            ("a:1", 1, &[]),
            ("a:3 a:2 a:1", 3, &[]),
            ("a:4 a:3 a:2 a:1", 2, &["a:1", "a:2"]),
            // The rollback stays whatever the policy says.
            ("a:3 a:2 a:1", 1, &["a:1"]),
            // Boot order counts, not age.
            ("a:1 a:4 a:3 a:2", 2, &["a:2", "a:3"]),
            ("a:4 a:3! a:2 a:1!", 1, &["a:2"]),
            ("a:3 b:2 a:2 b:1 a:1", 1, &["a:1", "b:1"]),
        ] {
            assert_eq!(removed(&observed(deployments), retain), expected, "{deployments} {retain}");
        }
    }

    #[test]
    fn what_runs_or_waits_stays() {
        let mut observed = observed("a:6~ a:5 a:4 a:3 a:2 a:1");
        observed.booted = Some(key("a", 2));
        observed.staged = Some(key("a", 6));
        // Six is staged, five boots next, four is where a rollback goes, two runs.
        assert_eq!(removed(&observed, 1), ["a:1", "a:3"]);
        // Nobody will finalize it any more.
        observed.staged = None;
        assert_eq!(removed(&observed, 1), ["a:1", "a:3", "a:6"]);
    }

    #[test]
    fn every_kept_deployment_has_its_reasons() {
        let plan = decide(&observed("a:3 a:2 a:1!"), &policy(2)).unwrap();
        let reasons: Vec<_> = plan.keep.into_iter().map(|k| k.reasons).collect();
        assert_eq!(
            reasons,
            [
                vec![Reason::Default, Reason::Retained],
                vec![Reason::Rollback, Reason::Retained],
                vec![Reason::Pinned]
            ]
        );
    }

    #[test]
    fn nothing_is_removed_by_guesswork() {
        for (kind, refused) in [
            (ProblemKind::DamagedRecord, true),
            (ProblemKind::NewerRecord, true),
            (ProblemKind::DamagedRunState, true),
            (ProblemKind::BadOrigin, false),
            (ProblemKind::MissingDirectory, false),
            (ProblemKind::UnknownName, false),
            (ProblemKind::DamagedState, false),
        ] {
            let mut observed = observed("a:1");
            observed.problems.push(Problem {
                kind,
                path: "/x".into(),
                message: "x is damaged".into(),
                deployment: None,
            });
            assert_eq!(decide(&observed, &policy(1)).is_err(), refused, "{kind:?}");
        }
    }

    prop_compose! {
        fn any_observed()(
            words in prop::collection::btree_set((0..3_u8, 1..20_u64), 0..20),
            pins in prop::collection::vec(any::<bool>(), 20),
            booted in any::<prop::sample::Index>(),
            staged in any::<prop::sample::Index>(),
            running in any::<bool>(),
            order in any::<u64>(),
        ) -> Observed {
            let mut words: Vec<String> = words
                .iter()
                .zip(&pins)
                .map(|((s, id), pin)| format!("{}:{id}{}", (b'a' + s) as char, if *pin { "!" } else { "" }))
                .collect();
            words.sort_by_key(|w| Sha256::of(format!("{order}{w}").as_bytes()));
            let mut observed = observed(&words.join(" "));
            if running && !observed.deployments.is_empty() {
                let at = |index: prop::sample::Index| index.get(&observed.deployments).key();
                let (booted, staged) = (at(booted), at(staged));
                observed.booted = Some(booted);
                observed.staged = Some(staged);
            }
            observed
        }
    }

    proptest! {
        #[test]
        fn what_is_held_is_never_pruned(observed in any_observed(), retain in 1..5_usize) {
            let plan = decide(&observed, &policy(retain)).unwrap();
            let slots = Slots::of(&observed);
            prop_assert_eq!(plan.keep.len() + plan.remove.len(), observed.deployments.len());
            for removal in &plan.remove {
                let deployment = observed.deployment(&removal.key).unwrap();
                prop_assert!(slots.of_deployment(deployment).is_empty());
                prop_assert!(!plan.keep.iter().any(|k| k.key == removal.key));
            }
            for kept in &plan.keep {
                let deployment = observed.deployment(&kept.key).unwrap();
                prop_assert!(plan.roots.contains(&deployment.record.image.digest));
            }
            for stateroot in &observed.stateroots {
                let kept = plan.keep.iter().filter(|k| k.key.stateroot == *stateroot).count();
                prop_assert!(kept >= retain.min(observed.of_stateroot(stateroot).count()));
            }
        }

        #[test]
        fn deciding_again_after_a_prune_removes_nothing(observed in any_observed(), retain in 1..5_usize) {
            let plan = decide(&observed, &policy(retain)).unwrap();
            let mut after = observed.clone();
            after.deployments.retain(|d| plan.keep.iter().any(|k| d.is(&k.key)));
            prop_assert!(decide(&after, &policy(retain)).unwrap().remove.is_empty());
        }
    }
}
