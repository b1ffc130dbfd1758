//! Where an export goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::container::destination::{FORMS, ImageDestination};
use crate::ops::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A tar of the root to stdout.
    Stdout,
    Tar(PathBuf),
    /// A bundle of the runtime specification.
    Bundle(PathBuf),
    Image(ImageDestination),
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
        text.parse().map(Self::Image).map_err(|_| {
            Error::invalid(format!(
                "`{}` is no destination: tar:FILE (- is stdout), bundle:DIR, {FORMS}",
                crate::names::printable(text.as_bytes())
            ))
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Tar(path) => write!(f, "tar:{}", path.display()),
            Self::Bundle(path) => write!(f, "bundle:{}", path.display()),
            Self::Image(image) => image.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_as_they_are_shown() {
        for text in ["tar:a/b.tar", "oci:dir:tag", "docker-archive:a.tar:1", "bundle:/tmp/x"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["dir", "tar:", "bundle:", "quay.io/acme/os:1"] {
            let error = text.parse::<Destination>().unwrap_err().to_string();
            assert!(error.contains("is no destination"), "{text}");
        }
    }
}
