//! The built program against the world: a real registry, and a real Debian system in it.
//!
//! What needs root or a program that is not installed is skipped by name.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at the disk themselves")]

mod debian;
mod install;
mod install_configuration;
mod install_filesystem;
mod install_interrupted;
mod install_var;
mod real_image;
mod rechunked;
#[path = "../it/support/mod.rs"]
mod support;
