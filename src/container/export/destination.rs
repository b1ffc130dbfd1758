//! Where an export goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::oci::{ImageReference, LocalReference};
use crate::ops::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A tar of the root to stdout.
    Stdout,
    Tar(PathBuf),
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
    /// A bundle of the runtime specification.
    Bundle(PathBuf),
}

impl FromStr for Destination {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("tar:").filter(|path| !path.is_empty()) {
            return Ok(if path == "-" { Self::Stdout } else { Self::Tar(path.into()) });
        }
        if let Some(path) = text.strip_prefix("bundle:").filter(|path| !path.is_empty()) {
            return Ok(Self::Bundle(path.into()));
        }
        match text.parse() {
            Ok(ImageReference::OciDir(LocalReference { path, tag, digest: None })) => {
                Ok(Self::OciDir { path: path.into(), tag })
            }
            Ok(ImageReference::OciArchive(LocalReference { path, tag, digest: None })) => {
                Ok(Self::OciArchive { path: path.into(), tag })
            }
            _ => Err(Error::invalid(format!(
                "`{}` is no destination: tar:FILE (- is stdout), oci:DIR[:TAG], oci-archive:FILE[:TAG] or bundle:DIR",
                crate::names::printable(text.as_bytes())
            ))),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tagged = |tag: &Option<String>| tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Tar(path) => write!(f, "tar:{}", path.display()),
            Self::OciDir { path, tag } => write!(f, "oci:{}{}", path.display(), tagged(tag)),
            Self::OciArchive { path, tag } => write!(f, "oci-archive:{}{}", path.display(), tagged(tag)),
            Self::Bundle(path) => write!(f, "bundle:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_as_they_are_shown() {
        for text in ["tar:a/b.tar", "oci:dir", "oci:dir:tag", "oci-archive:a.tar:1", "bundle:/tmp/x"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["dir", "tar:", "bundle:", "quay.io/acme/os:1", "docker-archive:x"] {
            assert!(
                text.parse::<Destination>().unwrap_err().to_string().contains("is no destination"),
                "{text}"
            );
        }
    }
}
