//! `/reroot/install.json`: what this machine was made from. Written once and never read by reroot; people and
//! inventories read it years later.

use serde::Serialize;

use crate::digest::Sha256;
use crate::fsx;
use crate::ops::{Error, Result};
use crate::sysroot::Sysroot;

const FILE: &str = "install.json";

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    pub version: u32,
    /// Where the image was taken from.
    pub image: String,
    pub digest: Sha256,
    /// What upgrades follow.
    pub target_image: String,
    /// The version label of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_version: Option<String>,
    /// When it was installed, RFC 3339.
    pub timestamp: String,
    pub kernel: String,
    /// The version of the program that installed.
    pub reroot: &'static str,
}

impl Provenance {
    pub const VERSION: u32 = 1;

    /// Durable.
    pub fn write(&self, sysroot: &Sysroot) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("plain data");
        text.push(b'\n');
        fsx::write_atomic(sysroot.reroot(), FILE, &text, 0o644)
            .map_err(Error::io(format!("writing /reroot/{FILE}")))
    }
}
