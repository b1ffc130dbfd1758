//! Images: references, manifests, registries, directories, archives. Knows nothing of the repo.
//!
//! ```text
//! ImageReference --open--> ImageSource --resolve--> ResolvedImage
//!                                      --open_blob--> bytes, checked by a VerifyingReader
//! ```

pub mod compress;
mod docker_archive;
mod error;
mod files;
mod json;
mod layout;
pub mod limits;
pub mod manifest;
pub mod platform;
mod reference;
mod resolve;
pub mod source;
pub mod verify;

pub use error::{Error, Result};
pub use reference::{ImageReference, LocalReference, RegistryReference, ShortName};
pub use source::ImageSource;

use docker_archive::DockerArchiveSource;
use files::Files;
use layout::LayoutSource;

use crate::env::Env;

/// Opens the place an image is at. Only a registry is asked over the network, and not before the image is
/// resolved.
pub fn open(reference: &ImageReference, env: &Env) -> Result<Box<dyn ImageSource>> {
    Ok(match reference {
        ImageReference::OciDir(local) => {
            Box::new(LayoutSource::open(Files::directory(&local.path)?, reference, local)?)
        }
        ImageReference::OciArchive(local) => {
            Box::new(LayoutSource::open(Files::archive(&local.path)?, reference, local)?)
        }
        ImageReference::DockerArchive(local) => {
            Box::new(DockerArchiveSource::open(Files::archive(&local.path)?, reference, local)?)
        }
        ImageReference::Registry(_) | ImageReference::ShortName(_) => open_registry(reference, env)?,
    })
}

fn open_registry(reference: &ImageReference, _env: &Env) -> Result<Box<dyn ImageSource>> {
    Err(Error::incompatible(reference.to_string(), "this build cannot reach registries"))
}
