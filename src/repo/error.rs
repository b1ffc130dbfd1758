//! What can go wrong in the store.

use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store. The message names the object and what was being done to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
    /// Too little space; nothing was published.
    #[error(
        "not enough space: {what} needs {required} bytes, {available} are available ({reserve} kept free)"
    )]
    NoSpace { what: String, required: u64, available: u64, reserve: u64 },
    /// What is stored is not what its name promises.
    #[error("{object} is damaged: {reason}")]
    Corrupt { object: String, reason: String },
    /// Something that was asked for is not in the store.
    #[error("{object} is not in the store")]
    NotFound { object: String },
    /// Written by a newer version, or in a way this build or this file system cannot handle.
    #[error("{what}: {reason}")]
    Incompatible { what: String, reason: String },
}

impl Error {
    /// Wraps an operating system error; `context` is what was being done, in the gerund.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { context: context.into(), source }
    }
}
