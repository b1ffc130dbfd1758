//! The built program against the world: a real registry, a real Debian system, signals, failing system calls, small
//! disks, damaged stores.
//!
//! What needs root or a program that is not installed is skipped by name. `REROOT_SEED` repeats a random choice;
//! every test that chooses prints its seed.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at the disk themselves")]

mod bitrot;
mod concurrency;
mod crash;
mod debian;
mod kill;
mod loopback;
mod memory;
mod random;
mod real_image;
mod registry;
mod small_disk;
#[path = "../it/support/mod.rs"]
mod support;
mod syscalls;
mod workload;
