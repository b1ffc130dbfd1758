//! The lints. A file for each part of a system; a lint is a constant with its function below it.

pub mod directories;
pub mod etc;
pub mod identity;
pub mod initramfs;
pub mod kernel;
pub mod layers;
pub mod leftovers;
pub mod names;
pub mod packages;
pub mod quadlet;
pub mod readable;
pub mod secrets;
pub mod setuid;
pub mod times;
mod tmpfiles;
pub mod units;
pub mod users;
pub mod var;
