//! Real boots: the image that the Containerfile makes, in QEMU without KVM.
//!
//! A scenario is one test function: it boots one machine, sometimes more than once, and checks many things on it.
//! `make test-vm SCENARIO=…` runs one; `target/vm/<scenario>.console` has what its console said. Those that
//! `make test` leaves to `make test-vm` are marked `ignore`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at the disk themselves")]

mod builder;
mod by_itself;
mod by_turns;
mod checks;
#[path = "../powercut/cut.rs"]
#[allow(dead_code)]
mod cut;
mod day_two;
#[path = "../powercut/device.rs"]
#[allow(dead_code)]
mod device;
mod direct;
mod falls_back;
mod grub;
mod harness;
mod installed;

#[path = "../powercut/log.rs"]
#[allow(dead_code)]
mod log;
mod missing;
mod power_cut;
#[path = "../powercut/replay.rs"]
#[allow(dead_code)]
mod replay;
mod retained;
mod soft_reboot;
#[path = "../it/support/mod.rs"]
mod support;
mod transient;
