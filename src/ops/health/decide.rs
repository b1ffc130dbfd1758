//! What follows from how a boot turned out: pure.

use std::collections::BTreeMap;

use crate::boot::file_name::Tries;
use crate::sysroot::{Deployment, HealthState, Observed};

/// What the loader counted, by boot order.
pub type Counted = BTreeMap<u64, Tries>;

/// What is to be done about the booted deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Nothing,
    /// It is good from now on.
    MarkGood,
    /// It failed on trial: the machine restarts, and the loader tries again or falls back.
    Retry,
    /// It failed, and a restart would help nobody.
    Report,
}

/// Those that the loader gave up before it came to what is booted: the first in boot order, as far as their attempts are used
/// up. One that was chosen in the menu, or for one boot, is behind others that have attempts left, or are not counted.
///
/// All stateroots count: the loader does not know of them.
pub fn given_up<'o>(observed: &'o Observed, counted: &Counted) -> Vec<&'o Deployment> {
    let Some(booted) = &observed.booted else { return Vec::new() };
    let is_given_up = |d: &&Deployment| !d.is(booted) && is_exhausted(d, counted);
    let given_up: Vec<_> = observed.finalized().take_while(is_given_up).collect();
    // A booted one that is not in boot order says nothing about others.
    if observed.finalized().any(|d| d.is(booted)) { given_up } else { Vec::new() }
}

fn is_exhausted(deployment: &Deployment, counted: &Counted) -> bool {
    let record = &deployment.record;
    record.health.state != HealthState::Good
        && counted.get(&record.order).is_some_and(|tries| tries.is_exhausted())
}

/// Whether a boot that turned out well makes the booted deployment good. One that is known to be bad was chosen by somebody
/// who looks at it; only where it boots by itself its boots count again.
pub fn of_success(observed: &Observed, booted: &Deployment) -> Decision {
    match booted.record.health.state {
        HealthState::Good => Decision::Nothing,
        HealthState::Bad if !is_first(observed, booted) => Decision::Nothing,
        HealthState::Bad | HealthState::Untried => Decision::MarkGood,
    }
}

/// What a failure leads to; it is among those of `booted` already. `tries` is what the loader counted for it.
pub fn of_failure(
    observed: &Observed,
    booted: &Deployment,
    tries: Option<Tries>,
    counted: &Counted,
) -> Decision {
    let record = &booted.record;
    let on_trial = match record.health.state {
        HealthState::Good => false,
        HealthState::Untried => true,
        HealthState::Bad => is_first(observed, booted),
    };
    let Some(most) = record.tries.filter(|_| on_trial) else { return Decision::Report };
    // GRUB has counted nothing yet for one that has just become the first.
    let is_last = tries.is_some_and(Tries::is_exhausted);
    let is_other = |d: &Deployment| {
        !d.is(&booted.key()) && d.record.health.state != HealthState::Bad && !is_exhausted(d, counted)
    };
    let helps = !is_last || observed.finalized().any(is_other);
    // Not for ever, whatever the loader does.
    let is_bounded = !record.health.failed_more_often_than(most.get() as usize);
    if helps && is_bounded { Decision::Retry } else { Decision::Report }
}

fn is_first(observed: &Observed, deployment: &Deployment) -> bool {
    observed.finalized().next().is_some_and(|first| first.is(&deployment.key()))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::sysroot::FailedBoot;
    use crate::sysroot::testing::{key, observed};

    /// Deployments in boot order, each with its health (`g`ood, `u`ntried, `b`ad), then `*` when it is booted, `c` when its
    /// attempts are counted, and the attempts left; `~` when it is not finalized.
    fn world(text: &str) -> (Observed, Counted) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let names: Vec<String> = (0..words.len())
            .map(|i| format!("os:{}{}", words.len() - i, if words[i].contains('~') { "~" } else { "" }))
            .collect();
        let (mut observed, mut counted) = (observed(&names.join(" ")), Counted::new());
        for (word, deployment) in words.iter().zip(&mut observed.deployments) {
            let record = &mut deployment.record;
            record.health.state = match &word[..1] {
                "g" => HealthState::Good,
                "u" => HealthState::Untried,
                _ => HealthState::Bad,
            };
            record.tries = NonZeroU32::new(if word.contains('c') { 3 } else { 0 });
            if let Some(left) = word.chars().find_map(|c| c.to_digit(10)) {
                counted.insert(record.order, Tries { left, done: 3 - left });
            }
            if word.contains('*') {
                observed.booted = Some(key("os", record.id.get()));
            }
        }
        (observed, counted)
    }

    #[test]
    fn what_the_loader_gave_up_is_told_from_what_somebody_chose() {
        for (text, expected) in [
            // The usual: the new one used up its attempts.
            ("uc0 g*", &[2][..]),
            ("uc0 uc0 g*", &[3, 2]),
            ("uc0 uc*2 g", &[3]),
            // Killed before the order changed.
            ("bc0 g*", &[2]),
            // The last attempt is running.
            ("uc*0 g", &[]),
            // Chosen in the menu or for one boot.
            ("uc2 g*", &[]),
            ("uc3 g*", &[]),
            ("g g*", &[]),
            ("u g*", &[]),
            ("g uc0 g*", &[]),
            // Good ones fail for other reasons, and old counters mean nothing.
            ("gc0 g*", &[]),
            ("g* uc0", &[]),
            ("uc0~ g*", &[]),
            // What is behind one that was not given up was chosen, but the first was tried all the same.
            ("uc0 uc2 g*", &[3]),
            // Nothing is booted from here.
            ("uc0 g", &[]),
            ("uc0 g*~", &[]),
        ] {
            let (observed, counted) = world(text);
            let ids: Vec<u64> = given_up(&observed, &counted).iter().map(|d| d.record.id.get()).collect();
            assert_eq!(ids, expected, "{text}");
        }
    }

    #[test]
    fn the_loader_does_not_know_stateroots() {
        let mut mixed = observed("new:1 os:2 os:1");
        mixed.booted = Some(key("os", 2));
        let counted = Counted::from([(3, Tries { left: 0, done: 3 })]);
        assert_eq!(given_up(&mixed, &counted)[0].key(), key("new", 1));
    }

    #[test]
    fn a_boot_that_turned_out_well() {
        for (text, expected) in [
            ("uc*2 g", Decision::MarkGood),
            ("uc*0 g", Decision::MarkGood),
            ("u*", Decision::MarkGood),
            ("g uc*2", Decision::MarkGood),
            ("g* g", Decision::Nothing),
            ("bc*2 g", Decision::MarkGood),
            ("g b*", Decision::Nothing),
        ] {
            let (observed, _) = world(text);
            let booted = observed.deployment(observed.booted.as_ref().unwrap()).unwrap();
            assert_eq!(of_success(&observed, booted), expected, "{text}");
        }
    }

    #[test]
    fn a_boot_that_failed() {
        for (text, failures, expected) in [
            // On trial: again, and at the end to another one.
            ("uc*2 g", 1, Decision::Retry),
            ("uc*0 g", 3, Decision::Retry),
            ("uc*0 u", 1, Decision::Retry),
            ("g uc*2", 1, Decision::Retry),
            ("uc* g", 1, Decision::Retry),
            // Alone, it is tried again and then left running, so that somebody can look.
            ("uc*1", 2, Decision::Retry),
            ("uc*0", 3, Decision::Report),
            ("uc*0 bc0", 3, Decision::Report),
            ("uc*0 uc0", 3, Decision::Report),
            ("uc*0 g~", 3, Decision::Report),
            // The loader does not count, or does not fall back.
            ("uc*2 g", 4, Decision::Report),
            ("uc*0 g", 4, Decision::Report),
            // Not on trial.
            ("g* g", 1, Decision::Report),
            ("gc*0 g", 1, Decision::Report),
            ("u* g", 1, Decision::Report),
            ("g bc*2", 1, Decision::Report),
            ("bc*2 g", 1, Decision::Retry),
        ] {
            let (mut observed, counted) = world(text);
            let booted = observed.booted.clone().unwrap();
            let deployment = observed.deployments.iter_mut().find(|d| d.is(&booted)).unwrap();
            for boot in 0..failures {
                deployment.record.health.failed(FailedBoot {
                    time: 0,
                    boot_id: boot.to_string(),
                    reason: String::new(),
                });
            }
            let deployment = observed.deployment(&booted).unwrap();
            let tries = counted.get(&deployment.record.order).copied();
            assert_eq!(of_failure(&observed, deployment, tries, &counted), expected, "{text}, {failures}");
        }
    }
}
