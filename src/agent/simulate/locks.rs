//! The lock server: so many hosts of a group have their turn at the same time.

use std::collections::BTreeSet;

use super::plan::LockPlan;

#[derive(Debug)]
pub struct Locks {
    plan: LockPlan,
    groups: Vec<BTreeSet<u32>>,
    /// The most that held it at the same time, in one group.
    pub most: usize,
}

impl Locks {
    pub fn new(plan: LockPlan) -> Self {
        Self { plan, groups: vec![BTreeSet::new(); plan.groups as usize], most: 0 }
    }

    /// Who has it gets it again.
    pub fn acquire(&mut self, host: u32) -> bool {
        let group = self.group(host);
        let holders = &mut self.groups[group];
        if holders.contains(&host) {
            return true;
        }
        if holders.len() >= self.plan.slots as usize {
            return false;
        }
        holders.insert(host);
        self.most = self.most.max(holders.len());
        true
    }

    pub fn release(&mut self, host: u32) {
        let group = self.group(host);
        self.groups[group].remove(&host);
    }

    /// All that hold one.
    pub fn held(&self) -> usize {
        self.groups.iter().map(BTreeSet::len).sum()
    }

    fn group(&self, host: u32) -> usize {
        (host % self.plan.groups) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_slots_in_each_group_and_whoever_has_one_keeps_it() {
        let mut locks = Locks::new(LockPlan { slots: 1, groups: 2 });
        assert!(locks.acquire(0) && locks.acquire(0) && locks.acquire(1) && !locks.acquire(2));
        assert_eq!((locks.held(), locks.most), (2, 1));
        locks.release(0);
        locks.release(0);
        assert!(locks.acquire(2));
    }
}
