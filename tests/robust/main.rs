//! The program under attack: killed, out of space, failing system calls, damaged files, many at once.
//!
//! Everything here runs the real binary on real images ([`samples`]) and asks the same of it afterwards
//! ([`scenario`]): `fsck` is clean, the deployments that were there are byte for byte what they were, and the
//! same command finishes the job.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests prepare their own files")]

mod bit_rot;
mod boot;
mod boot_once;
mod boot_room;
mod concurrency;
mod crash_points;
mod foreign_images;
mod full_disk;
mod kernel_arguments;
mod kill;
mod ladder;
mod link_limit;
mod listing;
mod samples;
mod scenario;
mod small_disk;
mod staged_room;
#[path = "../it/support/mod.rs"]
mod support;
mod world;
