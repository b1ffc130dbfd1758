//! Exit codes, the same with and without `--json`.

use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Done = 0,
    Failed = 1,
    /// clap uses 2 for a wrong command line; a reference or number that is none belongs to it.
    Usage = 2,
    Busy = 4,
    Verification = 5,
    /// Nothing changed, told apart when asked for with `--unchanged-exit-77`.
    Unchanged = 77,
}

impl Code {
    /// A reboot would bring something else, told when asked for with `--pending-exit-77`.
    pub const PENDING: Self = Self::Unchanged;
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}
