//! Where an image goes that is made here.
//!
//! ```text
//! put       a layout that somebody fills, on its way to the destination
//! archive   a layout as a tar; files that get their name when they are whole
//! docker    what `docker load` reads
//! ```

pub(super) mod archive;
mod docker;
mod put;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::oci::write::LayerCompression;
use crate::oci::{ImageReference, LocalReference, RegistryReference};
use crate::ops::{Error, Result};

pub(super) use put::{Desk, put};

/// What people may type.
pub(super) const FORMS: &str =
    "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] or docker://HOST/REPOSITORY[:TAG]";

/// A place for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageDestination {
    /// An image layout.
    OciDir {
        path: PathBuf,
        tag: Option<String>,
    },
    /// An image layout as a tar.
    OciArchive {
        path: PathBuf,
        tag: Option<String>,
    },
    /// What `docker save` writes.
    DockerArchive {
        path: PathBuf,
        tag: Option<String>,
    },
    Registry(RegistryReference),
}

impl ImageDestination {
    /// How layers are compressed there, of what was asked for.
    fn compression(&self, wanted: LayerCompression) -> LayerCompression {
        match self {
            // It has them as they are.
            Self::DockerArchive { .. } => LayerCompression::None,
            _ => wanted,
        }
    }
}

impl FromStr for ImageDestination {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(ImageReference::OciDir(LocalReference { path, tag, digest: None })) => {
                Ok(Self::OciDir { path: path.into(), tag })
            }
            Ok(ImageReference::OciArchive(LocalReference { path, tag, digest: None })) => {
                Ok(Self::OciArchive { path: path.into(), tag })
            }
            Ok(ImageReference::DockerArchive(LocalReference { path, tag, digest: None })) => {
                Ok(Self::DockerArchive { path: path.into(), tag })
            }
            // Without its scheme a slip of the pen would be published.
            Ok(ImageReference::Registry(reference))
                if text.starts_with("docker://") && reference.digest.is_none() =>
            {
                Ok(Self::Registry(reference))
            }
            _ => Err(Error::invalid(format!(
                "`{}` is no destination of an image: {FORMS}",
                crate::names::printable(text.as_bytes())
            ))),
        }
    }
}

impl fmt::Display for ImageDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut local = |scheme: &str, path: &PathBuf, tag: &Option<String>| {
            write!(f, "{scheme}:{}", path.display())?;
            tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
        };
        match self {
            Self::OciDir { path, tag } => local("oci", path, tag),
            Self::OciArchive { path, tag } => local("oci-archive", path, tag),
            Self::DockerArchive { path, tag } => local("docker-archive", path, tag),
            Self::Registry(reference) => ImageReference::Registry(reference.clone()).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_as_they_are_shown() {
        for text in [
            "oci:dir",
            "oci:dir:tag",
            "oci-archive:a.tar:1",
            "docker-archive:x",
            "docker://quay.io/acme/os:1",
        ] {
            assert_eq!(text.parse::<ImageDestination>().unwrap().to_string(), text);
        }
        let digest = format!("docker://quay.io/acme/os@sha256:{}", "a".repeat(64));
        for text in ["dir", "tar:x", "quay.io/acme/os:1", &digest] {
            let error = text.parse::<ImageDestination>().unwrap_err().to_string();
            assert!(error.contains("is no destination of an image"), "{text}");
        }
    }
}
