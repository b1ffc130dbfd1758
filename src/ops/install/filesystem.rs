//! Making the root file system, by the programs that its authors ship.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use uuid::Uuid;

use crate::fsx::{self, Dir};
use crate::ops::program::run;
use crate::ops::{Error, Result};

/// A file system that deployments can live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    #[default]
    Ext4,
    Xfs,
    Btrfs,
}

impl Filesystem {
    /// The name that mount(2) knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Whether GRUB sees at once what was written: it reads no journal, and only that of ext4 can be emptied
    /// ([`fsx::checkpoint`]).
    pub fn readable_by_grub(self) -> bool {
        self == Self::Ext4
    }

    /// What makes it. ext4 can seal files with fs-verity; two features are off that GRUB before 2.12 cannot read.
    fn maker(self, device: &Path, label: &str, uuid: Uuid) -> Command {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            Self::Ext4 => {
                command.args(["-q", "-F", "-O", "verity,^metadata_csum_seed,^orphan_file"]);
                command.args(["-L", label, "-U"]).arg(uuid.to_string());
            }
            Self::Xfs => {
                command.args(["-q", "-f", "-L", label, "-m"]).arg(format!("uuid={uuid}"));
            }
            Self::Btrfs => {
                command.args(["-q", "-f", "-L", label, "-U"]).arg(uuid.to_string());
            }
        }
        command.arg(device);
        command
    }

    /// Makes the file system on a device and mounts it for this process alone. Returns its root.
    pub fn make(self, device: &Path, label: &str, uuid: Uuid) -> Result<Dir> {
        run(self.maker(device, label, uuid))?;
        fsx::mount_detached(device, self.name())
            .map_err(Error::io(format!("mounting the new {self} file system")))
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Filesystem {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Ext4, Self::Xfs, Self::Btrfs]
            .into_iter()
            .find(|f| f.name() == text)
            .ok_or_else(|| format!("`{text}` is none of ext4, xfs and btrfs"))
    }
}
