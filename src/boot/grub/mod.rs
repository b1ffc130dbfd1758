//! GRUB: a menu that is generated from the boot entries, and two small files that never change.
//!
//! ```text
//! ESP/EFI/<vendor>/grub.cfg      finds the file system of $BOOT and goes on there           stub
//! $BOOT/grub/grub.cfg            default, timeout, what people add; reads the menu           stub
//! $BOOT/loader/grub.cfg          the menu; replaced in one step, which is the commit         menu
//! $BOOT/loader/grubenv           attempts of the default that is on trial, and what is booted once      env
//! ```
//!
//! GRUB of Debian does not read boot entries (`blscfg` came with GRUB 2.14), so the menu is written out for it, in
//! the order in which other loaders show the entries.
//!
//! GRUB reads ext4 and xfs without replaying their journals: what was synced may still be in the journal alone. Whoever
//! calls [`super::execute::execute`] has everything written to its place before the commit and after it
//! ([`fsx::checkpoint`](crate::fsx::checkpoint)).

pub mod env;
mod menu;
mod quote;
mod stub;

pub use menu::{MENU_LIMIT, Trials, commit_menu, entry_id, menu, prepare_menu, read_menu, sweep_menus};
pub use quote::{kernel_arguments, quote};
pub use stub::{MODULES, esp_stub, main_config};

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// Where GRUB finds `$BOOT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Unchecked")]
pub struct GrubRoot {
    fs_uuid: String,
    prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    fs_uuid: String,
    prefix: String,
}

impl TryFrom<Unchecked> for GrubRoot {
    type Error = Error;
    fn try_from(unchecked: Unchecked) -> Result<Self> {
        Self::new(&unchecked.fs_uuid, &unchecked.prefix)
    }
}

impl GrubRoot {
    /// `fs_uuid` is the UUID of the file system as blkid(8) prints it. `prefix` is the directory of `$BOOT` in it as
    /// GRUB sees it: empty when `$BOOT` is a file system of its own, `/boot` when it is a directory of the root
    /// file system, `/@/boot` when that is the btrfs subvolume `@` (GRUB starts at the top of a btrfs).
    pub fn new(fs_uuid: &str, prefix: &str) -> Result<Self> {
        let is_uuid = !fs_uuid.is_empty() && fs_uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_uuid {
            return Err(Error::refused(format!(
                "`{}` is not the UUID of a file system",
                fs_uuid.escape_debug()
            )));
        }
        let is_component = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b))
        };
        let is_prefix = prefix.is_empty()
            || prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_component));
        if !is_prefix {
            return Err(Error::refused(format!(
                "`{}` is not a directory that GRUB can name",
                prefix.escape_debug()
            )));
        }
        Ok(Self { fs_uuid: fs_uuid.into(), prefix: prefix.into() })
    }

    /// The directory of `$BOOT` in its file system, without a slash at the end; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn search(&self) -> String {
        format!("search --no-floppy --fs-uuid --set=root {}", self.fs_uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_quoting_names_a_root() {
        for (uuid, prefix) in
            [("8d4d9b0e-0a51-4a3c-9d5e-5d0b0f1f6d10", "/boot"), ("1A2B-3C4D", ""), ("1-2", "/@/boot")]
        {
            assert_eq!(GrubRoot::new(uuid, prefix).unwrap().prefix(), prefix);
        }
        for (uuid, prefix) in [
            ("", ""),
            ("x;reboot", ""),
            ("1", "boot"),
            ("1", "/"),
            ("1", "/boot/"),
            ("1", "/../x"),
            ("1", "/a b"),
        ] {
            assert!(GrubRoot::new(uuid, prefix).is_err(), "{uuid} {prefix}");
        }
    }
}
