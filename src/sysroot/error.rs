//! What can go wrong in a sysroot.

use std::io;

use super::etc_merge::Conflicts;
use crate::fsx::lock::LockError;
use crate::repo;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the sysroot. The message names the file or deployment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
    /// Somebody else holds the lock.
    #[error("{sysroot} is locked: {holders}")]
    Busy { sysroot: String, holders: LockError },
    /// The directory was never made a sysroot.
    #[error("{path} is not a reroot sysroot (it has no `reroot/repo`)")]
    NotASysroot { path: String },
    /// Nothing of that name is here.
    #[error("{object} does not exist")]
    NotFound { object: String },
    /// A file that we wrote does not read back.
    #[error("{file} is damaged: {reason}")]
    Corrupt { file: String, reason: String },
    /// A file that people may edit has a mistake in it.
    #[error("{file}:{line}: {reason}")]
    Invalid { file: String, line: usize, reason: String },
    /// Written by a newer version of the program.
    #[error("{file}: format version {found} is newer than {known}, the newest known here")]
    Newer { file: String, found: u32, known: u32 },
    /// A merge of `/etc` that somebody has to decide about.
    #[error(transparent)]
    EtcConflicts(#[from] Conflicts),
    #[error(transparent)]
    Repo(#[from] repo::Error),
}

impl Error {
    /// Wraps an operating system error; `context` is what was being done, in the gerund.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { context: context.into(), source }
    }
}
