//! What can go wrong on `$BOOT`.

use std::io;

use super::bls::ValueError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of `$BOOT`. The message names the file, from `$BOOT` down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
    /// A file of people, of an image or of another program cannot be read as what it should be.
    #[error("{file}:{line}: {reason}")]
    Invalid { file: String, line: usize, reason: String },
    /// Something that we were asked to write would not be read back as it is by every boot loader.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// What was asked for makes no sense, whatever is on `$BOOT`.
    #[error("{reason}")]
    Refused { reason: String },
    /// Too little space; nothing was written.
    #[error("not enough space on $BOOT: {required} bytes are needed, {available} are available")]
    NoSpace { required: u64, available: u64 },
    /// What is on `$BOOT` is not what its name promises.
    #[error("{object} is damaged: {reason}")]
    Corrupt { object: String, reason: String },
    /// The boot order of a new deployment is already that of another one: it needs the next number.
    #[error("{file} already boots something else: {found}")]
    OrderTaken { file: String, found: String },
    /// A file that belongs to another program is where ours should be.
    #[error("{file} belongs to somebody else: {reason}")]
    Foreign { file: String, reason: String },
}

impl Error {
    /// Wraps an operating system error; `context` is what was being done, in the gerund.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { context: context.into(), source }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}
