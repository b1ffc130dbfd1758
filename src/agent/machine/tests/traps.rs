//! Whatever happens: no rule is broken, and when everything works again the update arrives.

use proptest::prelude::*;

use super::*;

/// What may happen to a host, chosen by a few numbers.
fn answer(ask: &Ask, choice: u8, n: u8) -> Event {
    match (ask, choice % 4) {
        (_, 0) => failed("fault"),
        (Ask::Observe, 1) => Event::Observed(Observation { on_trial: n.is_multiple_of(2), ..calm() }),
        (Ask::Observe, 2) => Event::Observed(Observation {
            staged: Some(digest(n)),
            no_rollback: n.is_multiple_of(2).then(|| "none".into()),
            ..calm()
        }),
        (Ask::Observe, _) => staged(n),
        (Ask::Check, 1) => Event::Found(Found::Nothing),
        (Ask::Check, 2) => match n {
            0 => Event::Found(Found::Refused("old".into())),
            1 => Event::Found(Found::TooYoung(start())),
            _ => Event::Found(Found::Foreign("9".into())),
        },
        (Ask::Check, _) => found(n),
        (Ask::ReleaseLock | Ask::Unstage | Ask::Finalize(_), _) | (_, 1 | 2) => Event::Done,
        _ => Event::No("no".into()),
    }
}

/// What a world in which everything works answers.
fn good_answer(ask: &Ask, host: &Host) -> Event {
    match ask {
        Ask::Observe => Event::Observed(Observation {
            staged: host.agent.memory.staged.as_ref().map(|target| target.digest),
            ..calm()
        }),
        Ask::Check => found(7),
        _ => Event::Done,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_state_is_a_trap_and_no_rule_is_broken(
        happenings in proptest::collection::vec((0u8..8, 0u8..4, 0u8..4), 1..120),
        policy in 0u8..4,
        lock: bool,
    ) {
        let mut host = Host::new();
        host.rules.lock = lock;
        host.rules.policy = [Policy::None, Policy::Check, Policy::Stage, Policy::Apply][policy as usize];
        host.wait();
        // What the lock server may believe, and what was seen last.
        let (mut held, mut seen_staged) = (false, None);
        for (what, choice, n) in happenings {
            let asked = host.ask.clone();
            match (what, &asked) {
                (0, _) => host.step(Event::UpdateNow),
                (1, _) => {
                    host.closed = (choice < 2).then_some(Closed { until: None });
                    host.step(Event::Changed);
                }
                (2, _) => {
                    host.hold = (choice < 2).then(|| Hold { until: None, reason: "hold".into() });
                    host.step(Event::Changed);
                }
                (3, _) => host.pass(HOUR * u32::from(choice)),
                (_, None) => host.wait(),
                (_, Some(ask)) => {
                    let event = answer(ask, choice, n);
                    match (ask, &event) {
                        (Ask::ReleaseLock, Event::Done) | (Ask::AcquireLock, Event::No(_)) => held = false,
                        (Ask::Observe, Event::Observed(seen)) => {
                            seen_staged = seen.staged.filter(|_| seen.no_rollback.is_none());
                        }
                        _ => {}
                    }
                    host.step(event);
                }
            }
            held |= host.ask == Some(Ask::AcquireLock);
            prop_assert_eq!(host.agent.state.until().is_some(), host.ask.is_none(), "{:?}", &host.agent);
            prop_assert!(!held || host.agent.memory.lock, "a lock is forgotten: {:?}", &host.agent);
            if let Some(until) = host.agent.state.until() {
                let longest = SignedDuration::from_hours(2) + SignedDuration::from_mins(10);
                prop_assert!(until <= host.now.max(start()) + longest, "it waits for ever: {:?}", &host.agent);
            }
            if let (State::Idle { .. }, false) = (&host.agent.state, host.agent.memory.staged.is_some()) {
                prop_assert!(!host.agent.memory.lock);
            }
            if let (Some(Ask::Finalize(target)), true) = (&host.ask, host.ask != asked) {
                prop_assert!(host.hold.is_none());
                prop_assert!(host.closed.is_none() || host.agent.memory.urgent);
                prop_assert!(host.rules.policy == Policy::Apply || host.agent.memory.urgent);
                prop_assert!(held || !lock);
                prop_assert_eq!(seen_staged, Some(target.digest));
            }
        }

        // From here on everything works.
        (host.closed, host.hold, host.rules.policy) = (None, None, Policy::Apply);
        for _ in 0..60 {
            match host.ask.clone() {
                Some(ask) => {
                    let event = good_answer(&ask, &host);
                    host.step(event);
                }
                None if matches!(host.agent.state, State::Rebooting { .. }) => return Ok(()),
                None => host.wait(),
            }
        }
        prop_assert!(false, "a trap: {:?}", &host.agent);
    }
}
