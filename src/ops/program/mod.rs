//! Running other programs.
//!
//! | | output | time |
//! |---|---|---|
//! | [`run`] | none when all is well, else it is in the error | until it ends |
//! | [`limited::run`] | goes to the caller as it comes | a limit; then the program ends with all that it started |
//! | [`Program`] | of a directory that people put programs into; as above, line by line | |

mod directory;
pub mod limited;
mod quiet;

pub use directory::{Found, Nature, Program, list, overridden};
pub use quiet::run;
