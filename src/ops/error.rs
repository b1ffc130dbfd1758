//! Errors of operations, sorted by what a caller can do about them.

use std::io;

use crate::{boot, layer, oci, repo, sysroot};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an operation: a chain of what was being done, and the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was being done, in the gerund, and why it failed.
    #[error("{context}: {source}")]
    Context { context: String, source: Box<Error> },
    #[error(transparent)]
    Sysroot(#[from] sysroot::Error),
    #[error(transparent)]
    Boot(#[from] boot::Error),
    #[error(transparent)]
    Repo(#[from] repo::Error),
    #[error(transparent)]
    Oci(#[from] oci::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// Found by the operation itself.
    #[error("{message}")]
    Other { kind: ErrorKind, message: String },
}

/// What kind of trouble an error is. The command line turns it into exit codes and hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was asked for makes no sense, or a file people wrote has a mistake in it.
    InvalidInput,
    NotFound,
    /// Somebody else holds the lock.
    Busy,
    /// The network or a server failed; trying again may help.
    Network,
    /// Something is not what its digest or signature says.
    Verification,
    NoSpace,
    /// Right in itself, but not for this machine, this sysroot or this version of the program.
    Incompatible,
    /// Something on disk is damaged.
    Corrupt,
    /// The operating system refused.
    Io,
    /// A mistake in the program.
    Bug,
}

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Other { kind: ErrorKind::InvalidInput, message: message.into() }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::Other { kind: ErrorKind::NotFound, message: message.into() }
    }

    pub fn incompatible(message: impl Into<String>) -> Self {
        Self::Other { kind: ErrorKind::Incompatible, message: message.into() }
    }

    pub fn verification(message: impl Into<String>) -> Self {
        Self::Other { kind: ErrorKind::Verification, message: message.into() }
    }

    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::Other { kind: ErrorKind::Corrupt, message: message.into() }
    }

    pub fn bug(message: impl Into<String>) -> Self {
        Self::Other { kind: ErrorKind::Bug, message: message.into() }
    }

    /// Wraps an operating system error; `context` is what was being done, in the gerund.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| sysroot::Error::Io { context: context.into(), source }.into()
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Context { source, .. } => source.kind(),
            Error::Other { kind, .. } => *kind,
            Error::Sysroot(error) => sysroot_kind(error),
            Error::Boot(error) => boot_kind(error),
            Error::Repo(error) => repo_kind(error),
            Error::Oci(error) => oci_kind(error),
            Error::Layer(error) => layer_kind(error),
        }
    }

    /// True when bytes were not what their digest or size says: they may have been garbled on their way.
    pub fn is_wrong_digest(&self) -> bool {
        self.kind() == ErrorKind::Verification
            && !matches!(self.cause(), Error::Oci(oci::Error::WrongDiffId { .. }))
    }

    /// The innermost error, below all context.
    pub fn cause(&self) -> &Error {
        match self {
            Error::Context { source, .. } => source.cause(),
            cause => cause,
        }
    }
}

/// Adds what was being done to an error.
pub trait ResultExt<T> {
    /// `context` is in the gerund and names the object: `deploying quay.io/acme/os:stable`.
    fn context<C: Into<String>>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn context<C: Into<String>>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| Error::Context { context: context().into(), source: Box::new(error.into()) })
    }
}

fn sysroot_kind(error: &sysroot::Error) -> ErrorKind {
    match error {
        sysroot::Error::Io { source, .. } => io_kind(source),
        sysroot::Error::Busy { .. } => ErrorKind::Busy,
        sysroot::Error::NotASysroot { .. } | sysroot::Error::NotFound { .. } => ErrorKind::NotFound,
        sysroot::Error::Corrupt { .. } => ErrorKind::Corrupt,
        sysroot::Error::Invalid { .. } => ErrorKind::InvalidInput,
        sysroot::Error::Newer { .. } | sysroot::Error::EtcConflicts(_) => ErrorKind::Incompatible,
        sysroot::Error::Repo(error) => repo_kind(error),
    }
}

fn boot_kind(error: &boot::Error) -> ErrorKind {
    match error {
        boot::Error::Io { source, .. } => io_kind(source),
        boot::Error::Invalid { .. } | boot::Error::Value(_) | boot::Error::Refused { .. } => {
            ErrorKind::InvalidInput
        }
        boot::Error::NoSpace { .. } => ErrorKind::NoSpace,
        boot::Error::Corrupt { .. } => ErrorKind::Corrupt,
        boot::Error::OrderTaken { .. } | boot::Error::Foreign { .. } => ErrorKind::Incompatible,
    }
}

fn repo_kind(error: &repo::Error) -> ErrorKind {
    match error {
        repo::Error::Io { source, .. } => io_kind(source),
        repo::Error::NoSpace { .. } => ErrorKind::NoSpace,
        repo::Error::Corrupt { .. } => ErrorKind::Corrupt,
        repo::Error::NotFound { .. } => ErrorKind::NotFound,
        repo::Error::Incompatible { .. } => ErrorKind::Incompatible,
    }
}

fn oci_kind(error: &oci::Error) -> ErrorKind {
    match error {
        oci::Error::InvalidReference { .. } | oci::Error::Configuration { .. } => ErrorKind::InvalidInput,
        oci::Error::NotFound { .. } => ErrorKind::NotFound,
        oci::Error::Network { .. } | oci::Error::Unauthorized { .. } => ErrorKind::Network,
        oci::Error::Verification { .. } | oci::Error::WrongDiffId { .. } => ErrorKind::Verification,
        oci::Error::Incompatible { .. } | oci::Error::Malformed { .. } | oci::Error::TooLarge { .. } => {
            ErrorKind::Incompatible
        }
        oci::Error::Io { source, .. } => io_kind(source),
    }
}

fn layer_kind(error: &layer::Error) -> ErrorKind {
    match error {
        // What the layer was read from has its own kind, if it has one.
        layer::Error::Read(error) => match error.get_ref().and_then(|e| e.downcast_ref::<oci::Error>()) {
            Some(error) => oci_kind(error),
            None => io_kind(error),
        },
        layer::Error::Repo(error) => repo_kind(error),
        layer::Error::Write { source, .. } => io_kind(source),
        layer::Error::Malformed { .. }
        | layer::Error::Refused { .. }
        | layer::Error::TooLarge { .. }
        | layer::Error::Conflict { .. }
        | layer::Error::NotBootable(_) => ErrorKind::Incompatible,
    }
}

/// A full disk is a full disk whichever call met it.
fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_the_kind_and_reads_from_the_outside_in() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error: Result<()> =
            Err(repo::Error::io("linking object ab12")(full)).context(|| "deploying os:1");
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(error.to_string(), "deploying os:1: linking object ab12: no storage space");
        assert!(matches!(error.cause(), Error::Repo(_)));
    }
}
