//! Images: references, manifests, registries, archives. Knows nothing of the repo.
pub mod error;
pub mod manifest;
pub mod platform;
pub mod source;

pub use error::{Error, Result};
