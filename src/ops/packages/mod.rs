//! Packages of a tree: where their databases are, what is in them, and what differs between two trees.
//!
//! ```text
//! read              all databases of a tree: packages, or packages with their files
//! dpkg  apk  rpm    where a manager has its database
//! compare           two lists of packages
//! ```

mod apk;
mod compare;
mod dpkg;
mod read;
mod rpm;

pub(super) use compare::compare;
pub use compare::{PackageChange, PackageDiff};
pub(crate) use read::{read, read_with_files};
