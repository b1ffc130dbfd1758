//! `/run/reroot/booted.json`: which deployment runs. Version 1.
//!
//! `reroot` decides on `version`, `stateroot` and `id` of it; the rest is for a soft reboot, for the generator of units
//! and for people.

use serde::{Deserialize, Serialize};

use super::choose::Target;
use super::mounts::RUN;
use super::settings::{Etc, Root, Settings};
use super::{Error, Result};
use crate::fsx::{self, Dir};

pub const BOOTED: &str = "booted.json";
pub(super) const LIMIT: u64 = 64 << 10;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Booted {
    pub version: u32,
    pub path: String,
    pub stateroot: String,
    pub id: u64,
    /// `st_dev` and `st_ino` of the deployment's directory: those of `/`, unless the root is transient.
    pub device: u64,
    pub inode: u64,
    pub transient_etc: bool,
    pub transient_root: bool,
    /// What was mounted in the new root, by path from it. systemd must not unmount it: nobody mounts it again.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// `st_dev` and `st_ino` of what becomes `/`, when that is prepared for a soft reboot: when `/` has them, this
    /// deployment runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_device: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_inode: Option<u64>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub millis: u64,
}

impl Booted {
    pub(super) fn new(target: &Target, settings: &Settings, (device, inode): (u64, u64)) -> Self {
        Self {
            version: 1,
            path: target.to_string(),
            stateroot: target.stateroot.to_string(),
            id: target.id,
            device,
            inode,
            transient_etc: settings.etc == Etc::Transient,
            transient_root: settings.root == Root::Transient,
            mounts: Vec::new(),
            root_device: None,
            root_inode: None,
            millis: 0,
        }
    }

    /// How the initramfs mounted it. One that is made of the same kernel and initramfs is mounted in the same way.
    pub fn settings(&self) -> Settings {
        Settings {
            root: if self.transient_root { Root::Transient } else { Root::ReadOnly },
            etc: if self.transient_etc { Etc::Transient } else { Etc::Own },
        }
    }

    /// Writes it to the directory [`RUN`], in one step.
    pub fn write(&self, run: &Dir, name: &str) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data with text keys");
        bytes.push(b'\n');
        fsx::write_atomic(run, name, &bytes, 0o644).map_err(Error::io(format!("writing {RUN}/{name}")))
    }
}
