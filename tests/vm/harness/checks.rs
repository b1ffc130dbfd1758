//! Many checks on one boot: a boot is dear, and one thing that is wrong should not hide the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::machine::Vm;
use crate::support::skip::say;

/// A machine and what was found on it.
#[derive(Debug)]
pub struct Checks {
    pub vm: Vm,
    started: Instant,
    count: usize,
    failed: Vec<String>,
}

impl Checks {
    /// Takes a machine that was just started, and waits for its login.
    pub fn after_login(vm: Vm) -> Self {
        let started = Instant::now();
        let mut checks = Self { vm, started, count: 0, failed: Vec::new() };
        checks.vm.wait_for_login();
        say(&format!("{}: login after {} s", checks.vm.spec.name, started.elapsed().as_secs()));
        checks
    }

    /// Does one check; it fails by a panic, which is told at the end.
    pub fn check(&mut self, what: &str, check: impl FnOnce(&mut Vm)) {
        self.count += 1;
        if catch_unwind(AssertUnwindSafe(|| check(&mut self.vm))).is_err() {
            self.failed.push(what.to_owned());
        }
    }

    /// Reboots, when all was good so far: what is wrong may be why the machine would not come back.
    pub fn reboot(&mut self) {
        self.reboot_by(Vm::reboot);
    }

    /// As [`Checks::reboot`], in another way.
    pub fn reboot_by(&mut self, reboot: impl FnOnce(&mut Vm)) {
        assert!(self.failed.is_empty(), "{}: {:#?}", self.vm.spec.name, self.failed);
        let started = Instant::now();
        reboot(&mut self.vm);
        say(&format!("{}: up again after {} s", self.vm.spec.name, started.elapsed().as_secs()));
    }

    /// Gives the machine back when all checks were good.
    pub fn done(self) -> Vm {
        let Self { vm, started, count, failed } = self;
        let name = &vm.spec.name;
        assert!(failed.is_empty(), "{name}: {} of {count} checks failed: {failed:#?}", failed.len());
        say(&format!("{name}: {count} checks after {} s", started.elapsed().as_secs()));
        vm
    }
}
