//! What can be wrong with a layer, and with the root file system that layers make.

use std::io;

use crate::names::{ImagePath, NameError};
use crate::repo;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error while reading or merging layers. Names the entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layer's stream broke off or failed; the cause may be an error of the source.
    #[error("reading the layer: {0}")]
    Read(#[source] io::Error),
    /// A layer could not be written; the cause may be an error of where it goes.
    #[error("writing `{path}`: {source}")]
    Write { path: ImagePath, source: io::Error },
    /// The bytes are not a tar archive.
    #[error("malformed tar at byte {offset}: {reason}")]
    Malformed { offset: u64, reason: String },
    /// An entry that is refused: it is hostile, or respectable tools would disagree about it.
    #[error("entry `{entry}`: {reason}")]
    Refused { entry: String, reason: String },
    /// A limit of [`super::Limits`].
    #[error("entry `{entry}`: {what} {found} is over the limit of {limit}")]
    TooLarge { entry: String, what: &'static str, found: u64, limit: u64 },
    /// A path that the merged root file system cannot have.
    #[error("layer {layer}, `{path}`: {reason}")]
    Conflict { layer: usize, path: ImagePath, reason: String },
    /// The image has nothing to boot from.
    #[error("the image is not bootable: {0}")]
    NotBootable(String),
    /// The store failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
}

impl Error {
    pub(super) fn refused(entry: &[u8], reason: impl Into<String>) -> Self {
        Self::Refused { entry: crate::names::printable(entry), reason: reason.into() }
    }

    pub(super) fn name(error: NameError) -> Self {
        Self::Refused { entry: error.name, reason: error.reason.into() }
    }
}
