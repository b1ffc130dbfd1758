//! Tags that are versions: which ones are meant, and which is the highest.
//!
//! A pattern says which tags are meant. `*` stands for any text, everything else for itself. The version of a tag is what the stars
//! stand for, with everything between them and the digits and dots of the pattern that touch them; a `v` before it is allowed.
//!
//! ```text
//! pattern      tag                version
//! *            v1.4.0             1.4.0
//! 41.*         41.20261103.0      41.20261103.0
//! stable-*     stable-1.4.0       1.4.0
//! v1.*         v1.4.0             1.4.0
//! *-server     1.4.0-server       1.4.0
//! ```
//!
//! | scheme | versions | order |
//! |---|---|---|
//! | [`Scheme::Semver`] | `1.4.0`, `1.4.0-rc.1` | <https://semver.org> |
//! | [`Scheme::Calendar`] | `2026.11.3`, `20261103`, `41.20261103.0-rc1` | number by number; what has a word after its numbers comes before what has none |
//!
//! Tags that are no versions are not meant, and neither are pre-releases, unless they are asked for.

mod numbers;
mod pattern;

pub use pattern::{Pattern, PatternError, PreReleases, Scheme};
