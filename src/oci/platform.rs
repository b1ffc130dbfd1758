//! The platform an image is chosen for, and the choice.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// Operating system, architecture and variant in Go's names (image-spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "x86" => ("386", None),
            "powerpc64" => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            // riscv64 and s390x have the same name everywhere.
            other => (other, None),
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.map(String::from) }
    }

    /// How well an image for `offered` runs here: the lower the better, `None` when it does not.
    pub fn rank(&self, offered: &Platform) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        match (&self.variant, &offered.variant) {
            (wanted, offered) if wanted == offered => Some(0),
            // Variants are backwards compatible: an armv7 runs v6, an x86-64-v3 runs v2.
            (Some(wanted), Some(offered)) => {
                let number = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
                let (wanted, offered) = (number(wanted)?, number(offered)?);
                (offered < wanted).then(|| wanted - offered)
            }
            (Some(_), None) => Some(100),
            // Not asked for a variant: any will do, after one without.
            (None, _) => Some(101),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/arch[/variant]`, as `--platform` of podman takes it.
    fn from_str(text: &str) -> Result<Self> {
        let valid = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').filter(valid).collect();
        match parts[..] {
            [os, architecture] if text.matches('/').count() == 1 => {
                Ok(Self { os: os.into(), architecture: architecture.into(), variant: None })
            }
            [os, architecture, variant] if text.matches('/').count() == 2 => {
                Ok(Self { os: os.into(), architecture: architecture.into(), variant: Some(variant.into()) })
            }
            _ => Err(Error::InvalidReference {
                text: crate::names::printable(text.as_bytes()),
                reason: "a platform is os/architecture or os/architecture/variant".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_print_as_they_parse() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(platform(text).to_string(), text);
        }
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v7", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_variant_is_chosen() {
        let rank = |wanted, offered| platform(wanted).rank(&platform(offered));
        assert_eq!(rank("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(rank("linux/amd64", "linux/arm64"), None);
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
        assert!(rank("linux/arm/v7", "linux/arm/v7") < rank("linux/arm/v7", "linux/arm/v6"));
        assert!(rank("linux/arm/v7", "linux/arm/v6") < rank("linux/arm/v7", "linux/arm"));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert!(rank("linux/arm64/v8", "linux/arm64").is_some());
        assert!(rank("linux/amd64/v3", "linux/amd64/v2") < rank("linux/amd64/v3", "linux/amd64"));
        assert_eq!(rank("linux/amd64/v2", "linux/amd64/v3"), None);
        assert!(rank("linux/amd64", "linux/amd64/v3") > rank("linux/amd64", "linux/amd64"));
    }
}
