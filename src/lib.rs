#![doc = "Atomic, numbered deployments of a Linux system from bootable OCI images."]

pub mod boot;
pub mod cli;
pub mod digest;
pub mod env;
pub mod fsx;
pub mod layer;
pub mod memory;
pub mod names;
pub mod oci;
pub mod ops;
pub mod packages;
pub mod parallel;
pub mod progress;
pub mod repo;
pub mod sysroot;
