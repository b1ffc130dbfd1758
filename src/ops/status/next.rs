//! What boots next, and why that: pure.

use std::collections::BTreeMap;

use super::report::{NextBoot, Why};
use crate::boot::file_name::Tries;
use crate::sysroot::{Deployment, DeploymentKey, HealthState, Observed};

/// What the next reboot brings. `counted` is what the loader has counted, by boot order; `once` what it was told to boot
/// at the next start.
pub fn next(
    observed: &Observed,
    counted: &BTreeMap<u64, Tries>,
    once: Option<&DeploymentKey>,
) -> Option<NextBoot> {
    let ordinary = by_order(observed, counted)?;
    let special = |deployment: &DeploymentKey, why, then| NextBoot {
        deployment: deployment.clone(),
        why,
        instead_of: None,
        reason: None,
        then,
    };
    if let Some(prepared) = &observed.prepared {
        return Some(special(prepared, Why::SoftReboot, None));
    }
    if let Some(once) = once.filter(|once| !ordinary.is(once)) {
        return Some(special(once, Why::Once, Some(ordinary.key())));
    }
    let (why, instead_of) = why(observed, counted, ordinary);
    let reason = instead_of.filter(|_| why == Why::FellBack).map(reason);
    let instead_of = instead_of.map(Deployment::key);
    Some(NextBoot { instead_of, reason, ..special(&ordinary.key(), why, None) })
}

/// The first that the loader does not pass over. What is staged counts, unless it is locked: a shutdown comes before.
fn by_order<'o>(observed: &'o Observed, counted: &BTreeMap<u64, Tries>) -> Option<&'o Deployment> {
    let waits =
        |d: &&Deployment| !observed.staged_is_locked && observed.staged.as_ref().is_some_and(|key| d.is(key));
    let mut bootable = observed.deployments.iter().filter(|d| d.record.finalized || waits(d));
    let first = bootable.clone().next();
    bootable.find(|d| !is_given_up(observed, counted, d)).or(first)
}

/// True for one whose tries are used up. Of what runs that is the last one, which may still turn out well.
fn is_given_up(observed: &Observed, counted: &BTreeMap<u64, Tries>, deployment: &Deployment) -> bool {
    let record = &deployment.record;
    let runs = observed.booted.as_ref().is_some_and(|key| deployment.is(key));
    let is_exhausted = counted.get(&record.order).is_some_and(|tries| tries.is_exhausted());
    is_exhausted && !runs && record.health.state != HealthState::Good
}

/// Why `next` boots, and which newer one of its stateroot does not for that.
fn why<'o>(
    observed: &'o Observed,
    counted: &BTreeMap<u64, Tries>,
    next: &Deployment,
) -> (Why, Option<&'o Deployment>) {
    if !next.record.finalized {
        return (Why::Staged, None);
    }
    let newer = || {
        let record = &next.record;
        observed
            .finalized()
            .filter(move |d| d.record.stateroot == record.stateroot && d.record.id > record.id)
    };
    let is_bad =
        |d: &&Deployment| d.record.health.state == HealthState::Bad || is_given_up(observed, counted, d);
    match (newer().next(), newer().find(|d| !is_bad(d))) {
        (None, _) => (Why::Newest, None),
        (Some(_), Some(usable)) => (Why::RolledBack, Some(usable)),
        (Some(bad), None) => (Why::FellBack, Some(bad)),
    }
}

fn reason(failed: &Deployment) -> String {
    let last = failed.record.health.failures.last();
    last.map_or_else(|| "its boots did not complete".into(), |failure| failure.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysroot::FailedBoot;
    use crate::sysroot::testing::{key, observed};

    /// As [`observed`] of stateroot `a`; `*` runs, `b` is bad, `0` has no tries left.
    fn world(text: &str) -> (Observed, BTreeMap<u64, Tries>) {
        let words: Vec<&str> = text.split(' ').collect();
        let plain: Vec<String> =
            words.iter().map(|w| format!("a:{}", w.replace(['*', 'b', '0'], ""))).collect();
        let mut observed = observed(&plain.join(" "));
        let mut counted = BTreeMap::new();
        for (word, deployment) in words.iter().zip(&mut observed.deployments) {
            if word.contains('*') {
                observed.booted = Some(key("a", deployment.record.id.get()));
            }
            if word.contains('b') {
                let reason = "it burns".to_string();
                deployment.record.health.failed(FailedBoot { time: 1, boot_id: "x".into(), reason });
                deployment.record.health.state = HealthState::Bad;
            }
            if word.contains('0') {
                counted.insert(deployment.record.order, Tries { left: 0, done: 3 });
            }
        }
        (observed, counted)
    }

    fn shown(next: Option<NextBoot>) -> String {
        let Some(next) = next else { return "nothing".into() };
        let why = serde_json::to_value(next.why).unwrap();
        let mut text = format!("{} {}", next.deployment.id, why.as_str().unwrap());
        next.instead_of.iter().for_each(|key| text += &format!(" from {}", key.id));
        next.reason.iter().for_each(|reason| text += &format!(": {reason}"));
        next.then.iter().for_each(|key| text += &format!(" then {}", key.id));
        text
    }

    #[test]
    fn what_boots_next_and_why() {
        for (text, staged, expected) in [
            ("1", None, "1 newest"),
            ("2 1*", None, "2 newest"),
            ("2~ 1*", Some(2), "2 staged"),
            // Lost at a power cut.
            ("2~ 1*", None, "1 newest"),
            ("1* 2~", Some(2), "1 newest"),
            ("1 2*", None, "1 rolled-back from 2"),
            ("1 3b 2*", None, "1 rolled-back from 2"),
            ("1* 2b", None, "1 fell-back from 2: it burns"),
            ("1* 3b 2b", None, "1 fell-back from 3: it burns"),
            // The loader fell back, and nobody has written that down yet.
            ("20 1*", None, "1 fell-back from 2: its boots did not complete"),
            // The last try runs.
            ("2*0 1", None, "2 newest"),
            ("20 10", None, "2 newest"),
        ] {
            let (mut observed, counted) = world(text);
            observed.staged = staged.map(|id| key("a", id));
            assert_eq!(shown(next(&observed, &counted, None)), expected, "{text}");
        }
        assert_eq!(next(&Observed::default(), &BTreeMap::new(), None), None);
    }

    #[test]
    fn a_locked_one_waits_and_other_stateroots_are_not_newer() {
        let (mut observed, counted) = world("2~ 1*");
        observed.staged = Some(key("a", 2));
        observed.staged_is_locked = true;
        assert_eq!(shown(next(&observed, &counted, None)), "1 newest");
        let two = crate::sysroot::testing::observed("a:1 b:7");
        assert_eq!(shown(next(&two, &BTreeMap::new(), None)), "1 newest");
    }

    #[test]
    fn what_was_asked_for_once_comes_before_the_order() {
        let (mut observed, counted) = world("2* 1");
        assert_eq!(shown(next(&observed, &counted, Some(&key("a", 1)))), "1 once then 2");
        assert_eq!(shown(next(&observed, &counted, Some(&key("a", 2)))), "2 newest");
        observed.prepared = Some(key("a", 1));
        assert_eq!(shown(next(&observed, &counted, Some(&key("a", 1)))), "1 soft-reboot");
    }
}
