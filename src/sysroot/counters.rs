//! `counters.json`: numbers that only grow, so that none is given out twice.
//!
//! The file is made durable before a number from it becomes visible. If it is lost, counting goes on after the
//! highest number that is still to be seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::VERSION;
use super::{DeploymentId, DeploymentKey};
use crate::names::StaterootName;

/// The next numbers to give out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    pub version: u32,
    pub next_order: u64,
    pub next_id: BTreeMap<StaterootName, DeploymentId>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { version: VERSION, next_order: 1, next_id: BTreeMap::new() }
    }
}

impl Counters {
    /// The number of the next deployment of a stateroot.
    pub fn next_id(&self, stateroot: &StaterootName) -> DeploymentId {
        self.next_id.get(stateroot).copied().unwrap_or(DeploymentId::FIRST)
    }

    /// Takes note of a deployment number that is or was in use.
    pub fn saw_id(&mut self, key: &DeploymentKey) {
        let next = self.next_id(&key.stateroot).max(key.id.next());
        self.next_id.insert(key.stateroot.clone(), next);
    }

    /// Takes note of a boot order that is or was in use.
    pub fn saw_order(&mut self, order: u64) {
        self.next_order = self.next_order.max(order.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{parse_state, print_state};
    use super::*;

    const COUNTERS_V1: &str = include_str!("../../fixtures/state/v1/counters.json");

    #[test]
    fn version_1_reads_for_ever() {
        let counters: Counters = parse_state(COUNTERS_V1.as_bytes(), "counters.json").unwrap();
        assert_eq!(counters.next_order, 13);
        assert_eq!(counters.next_id(&"default".parse().unwrap()).get(), 8);
        assert_eq!(String::from_utf8(print_state(&counters)).unwrap(), COUNTERS_V1);
    }

    proptest::proptest! {
        #[test]
        fn no_number_is_given_out_twice(removals in proptest::collection::vec(0..4_usize, 1..40)) {
            let stateroot: StaterootName = "a".parse().unwrap();
            let (mut counters, mut given, mut present) = (Counters::default(), Vec::new(), Vec::new());
            for removed in removals {
                let id = counters.next_id(&stateroot);
                proptest::prop_assert!(given.iter().all(|other| *other < id));
                given.push(id);
                present.push(id);
                // What a publication and a removal write.
                counters.saw_id(&DeploymentKey { stateroot: stateroot.clone(), id });
                for _ in 0..removed {
                    if let Some(id) = present.pop() {
                        counters.saw_id(&DeploymentKey { stateroot: stateroot.clone(), id });
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_seen_is_never_given_out() {
        let mut counters = Counters::default();
        let stateroot: StaterootName = "a".parse().unwrap();
        for number in [3, 1] {
            let id = DeploymentId::new(number).unwrap();
            counters.saw_id(&DeploymentKey { stateroot: stateroot.clone(), id });
            counters.saw_order(number);
        }
        assert_eq!(counters.next_id(&stateroot).get(), 4);
        assert_eq!(counters.next_order, 4);
        assert_eq!(counters.next_id(&"b".parse().unwrap()), DeploymentId::FIRST);
    }
}
