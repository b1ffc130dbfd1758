#![doc = "Atomic, numbered deployments of a Linux system from bootable OCI images."]

pub mod boot;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod digest;
pub mod env;
pub mod fsx;
pub mod initramfs;
#[cfg(feature = "cli")]
pub mod layer;
#[cfg(feature = "cli")]
pub mod memory;
pub mod names;
#[cfg(feature = "cli")]
pub mod oci;
#[cfg(feature = "cli")]
pub mod ops;
#[cfg(feature = "cli")]
pub mod packages;
pub mod parallel;
pub mod progress;
#[cfg(feature = "cli")]
pub mod repo;
#[cfg(feature = "cli")]
pub mod sysroot;
