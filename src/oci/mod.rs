//! Images: references, manifests, registries, directories, archives. Knows nothing of the repo.
//!
//! ```text
//! ImageReference --open--> ImageSource --resolve--> ResolvedImage
//!                                      --open_blob--> bytes, checked by a VerifyingReader
//! ```

#[cfg(feature = "registry")]
mod auth;
#[cfg(feature = "registry")]
mod certs;
mod chunked;
pub mod compress;
mod docker_archive;
mod error;
mod files;
#[cfg(feature = "registry")]
mod host_files;
#[cfg(feature = "registry")]
pub(crate) mod http;
mod json;
mod layout;
pub mod limits;
pub mod manifest;
pub mod platform;
pub mod push;
mod rate;
mod reference;
#[cfg(feature = "registry")]
mod registries_conf;
#[cfg(feature = "registry")]
pub mod registry;
mod resolve;
pub mod source;
pub mod verify;
pub mod write;

pub use error::{Error, Result};
pub use rate::Rate;
pub use reference::{ImageReference, LocalReference, RegistryReference, ShortName};
pub use source::ImageSource;

use docker_archive::DockerArchiveSource;
use files::Files;
use layout::LayoutSource;

use crate::env::Env;

/// Opens the place an image is at. Only a registry is asked over the network, and not before the image is
/// resolved.
pub fn open(reference: &ImageReference, env: &Env) -> Result<Box<dyn ImageSource>> {
    open_at(reference, None, env)
}

/// As [`open`]; layers from a registry come no faster than `rate`.
pub fn open_at(reference: &ImageReference, rate: Option<Rate>, env: &Env) -> Result<Box<dyn ImageSource>> {
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
        ImageReference::Registry(_) | ImageReference::ShortName(_) => open_registry(reference, rate, env)?,
    })
}

#[cfg(feature = "registry")]
fn open_registry(reference: &ImageReference, rate: Option<Rate>, env: &Env) -> Result<Box<dyn ImageSource>> {
    let options = registry::Options { rate, ..registry::Options::default() };
    Ok(Box::new(registry::RegistrySource::with_options(reference, env, &options)?))
}

#[cfg(not(feature = "registry"))]
fn open_registry(
    reference: &ImageReference,
    _rate: Option<Rate>,
    _env: &Env,
) -> Result<Box<dyn ImageSource>> {
    Err(Error::incompatible(reference.to_string(), "this build cannot reach registries"))
}
