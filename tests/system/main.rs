//! The built program against the world: a real registry, a real Debian system, signals, failing system calls, small
//! disks, damaged stores.
//!
//! What needs root or a program that is not installed is skipped by name. `REROOT_SEED` repeats a random choice;
//! every test that chooses prints its seed.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at the disk themselves")]

mod crash;
mod debian;
mod kill;
mod random;
mod real_image;
mod registry;
#[path = "../it/support/mod.rs"]
mod support;
mod syscalls;
mod workload;
