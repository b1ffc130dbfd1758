//! Merges of real directories.

#![expect(clippy::disallowed_methods, reason = "tests look at the result from outside")]

mod corner_cases;
mod merges;
mod properties;
mod races;
mod support;
