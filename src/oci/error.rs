//! What can go wrong while finding and reading an image.

use std::io;

use super::manifest::LayerDescriptor;
use crate::digest::Sha256;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an image source. The message names the object. It may travel inside an [`io::Error`] and come out
/// again by `Error::from`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed is no image reference, or one that says too little.
    #[error("`{text}` does not name an image: {reason}")]
    InvalidReference { text: String, reason: String },
    /// The source answered that it does not have this.
    #[error("{what} does not exist{}", listed(.known))]
    NotFound { what: String, known: Vec<String> },
    /// The source could not be reached or broke off, after every attempt.
    #[error("{what}: {reason}")]
    Network { what: String, reason: String },
    /// The source wants other credentials, or any.
    #[error("{what}: {reason}")]
    Unauthorized { what: String, reason: String },
    /// Bytes are not what their digest or size says.
    #[error("{what}: expected {expected}, found {found}")]
    Verification { what: String, expected: String, found: String },
    /// A blob is what its digest says, and what is in it is not what the image's config says of it.
    #[error(
        "the tar in blob {blob} does not match the image's config: expected diff_id {expected}, found {found}"
    )]
    WrongDiffId { blob: Sha256, expected: Sha256, found: Sha256 },
    /// The image is not for this machine, or in a format that is not supported.
    #[error("{what}: {reason}")]
    Incompatible { what: String, reason: String },
    /// Bytes are not what their media type says.
    #[error("{what} is malformed: {reason}")]
    Malformed { what: String, reason: String },
    #[error("{what} has {size} bytes, more than the limit of {limit}")]
    TooLarge { what: String, size: u64, limit: u64 },
    /// The machine's configuration forbids it or has a mistake.
    #[error("{what}: {reason}")]
    Configuration { what: String, reason: String },
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there is {}", known.join(", ")) }
}

impl Error {
    /// Wraps an operating system error; `context` is what was being done, in the gerund.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { context: context.into(), source }
    }

    pub fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), reason: reason.into() }
    }

    pub fn incompatible(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Incompatible { what: what.into(), reason: reason.into() }
    }

    /// The tar inside a blob is not the one that the config names.
    pub fn wrong_diff_id(layer: &LayerDescriptor, found: Sha256) -> Self {
        Self::WrongDiffId { blob: layer.digest, expected: layer.diff_id, found }
    }

    /// Out of an [`io::Error`] that may carry one of these; anything else came from `context`.
    pub fn from_io(error: io::Error, context: impl FnOnce() -> String) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            // The operating system has numbers; what has none is a decoder's opinion of the bytes.
            Err(error) if error.raw_os_error().is_some() => Self::Io { context: context(), source: error },
            Err(error) => Self::Malformed { what: context(), reason: error.to_string() },
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
