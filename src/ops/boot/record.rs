//! `/reroot/boot.json`: that a boot loader was installed for this sysroot, and which.
//!
//! ```json
//! { "version": 1, "loader": "systemd-boot" }
//! { "version": 1, "loader": "grub", "root": { "fsUuid": "8d4d9b0e-…", "prefix": "/boot" } }
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Bootloader;
use crate::boot::grub::GrubRoot;
use crate::boot::plan::Menu;
use crate::fsx;
use crate::ops::{Error, Result};
use crate::sysroot::Sysroot;

const FILE: &str = "boot.json";

/// A boot loader with what it has to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "loader", rename_all = "kebab-case")]
pub enum Loader {
    SystemdBoot,
    Grub {
        /// Where GRUB finds `$BOOT`.
        root: GrubRoot,
    },
    None,
}

impl Loader {
    /// How it finds its menu.
    pub fn menu(&self) -> Menu {
        match self {
            Self::Grub { root } => Menu::Grub(root.clone()),
            Self::SystemdBoot | Self::None => Menu::Entries,
        }
    }

    /// Without what it has to be told.
    pub fn kind(&self) -> Bootloader {
        match self {
            Self::SystemdBoot => Bootloader::SystemdBoot,
            Self::Grub { .. } => Bootloader::Grub,
            Self::None => Bootloader::None,
        }
    }

    /// Whether `$BOOT` is the directory `/boot` of the physical root, and no file system of its own.
    pub fn boots_from_root(&self) -> bool {
        matches!(self, Self::Grub { root } if !root.prefix().is_empty())
    }
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SystemdBoot => "systemd-boot",
            Self::Grub { .. } => "GRUB",
            Self::None => "boot loader",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    version: u32,
    #[serde(flatten)]
    pub loader: Loader,
}

impl BootRecord {
    pub fn new(loader: Loader) -> Self {
        Self { version: 1, loader }
    }

    /// `None` for a sysroot without a boot loader.
    pub fn read(sysroot: &Sysroot) -> Result<Option<Self>> {
        let shown = format!("/reroot/{FILE}");
        let bytes = fsx::read_limited(sysroot.reroot(), FILE, 1 << 16)
            .map_err(Error::io(format!("reading {shown}")))?;
        Ok(bytes.map(|bytes| crate::sysroot::parse_state(&bytes, &shown)).transpose()?)
    }

    /// Durable.
    pub fn write(&self, sysroot: &Sysroot) -> Result<()> {
        fsx::write_atomic(sysroot.reroot(), FILE, &crate::sysroot::print_state(self), 0o644)
            .map_err(Error::io(format!("writing /reroot/{FILE}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format_reads_and_prints_for_ever() {
        let root = GrubRoot::new("1A2B-3C4D", "/boot").unwrap();
        for (loader, text) in [
            (Loader::SystemdBoot, r#"{"version":1,"loader":"systemd-boot"}"#),
            (Loader::None, r#"{"version":1,"loader":"none"}"#),
            (
                Loader::Grub { root },
                r#"{"version":1,"loader":"grub","root":{"fsUuid":"1A2B-3C4D","prefix":"/boot"}}"#,
            ),
        ] {
            let record = BootRecord::new(loader);
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            assert_eq!(serde_json::from_str::<BootRecord>(text).unwrap(), record);
        }
        let hostile = r#"{"version":1,"loader":"grub","root":{"fsUuid":"1;reboot","prefix":"/boot"}}"#;
        assert!(serde_json::from_str::<BootRecord>(hostile).is_err());
    }
}
