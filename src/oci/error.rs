//! What can go wrong while finding and reading an image.

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[error("placeholder")]
pub struct Error;
