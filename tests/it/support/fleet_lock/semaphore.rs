//! Who holds slots.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The holders of one group's slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Semaphore {
    pub holders: BTreeSet<String>,
}

impl Semaphore {
    /// Gives a slot to whoever has none. The error is that there is none left.
    pub fn lock(&mut self, id: &str, slots: usize) -> Result<(), ()> {
        if !self.holders.contains(id) && self.holders.len() >= slots {
            return Err(());
        }
        self.holders.insert(id.into());
        Ok(())
    }

    /// Takes back a slot, if there is one.
    pub fn unlock(&mut self, id: &str) {
        self.holders.remove(id);
    }
}

#[test]
fn slots_are_owned_and_counted_once() {
    let mut semaphore = Semaphore::default();
    assert_eq!(semaphore.lock("a", 1), Ok(()));
    assert_eq!(semaphore.lock("a", 1), Ok(()));
    assert_eq!(semaphore.lock("b", 1), Err(()));
    semaphore.unlock("b");
    assert_eq!(semaphore.lock("b", 1), Err(()));
    semaphore.unlock("a");
    semaphore.unlock("a");
    assert_eq!(semaphore.lock("b", 1), Ok(()));
}
