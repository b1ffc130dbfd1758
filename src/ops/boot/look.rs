//! A look at `$BOOT` for people: what was counted there, and how much room is left.

use std::collections::BTreeMap;

use super::place;
use super::record::BootRecord;
use crate::boot::file_name::Tries;
use crate::boot::trials;
use crate::fsx::{self, FreeSpace};
use crate::ops::{Error, Result};
use crate::sysroot::Sysroot;

/// What is seen on `$BOOT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// By boot order, as [`super::counted`] tells it.
    pub counted: BTreeMap<u64, Tries>,
    /// `None` when `$BOOT` is a directory of the root file system.
    pub free: Option<FreeSpace>,
}

/// Looks at `$BOOT`. `None` when no boot loader was installed for the sysroot.
pub fn look(sysroot: &Sysroot) -> Result<Option<Look>> {
    let Some(BootRecord { loader, .. }) = BootRecord::read(sysroot)? else { return Ok(None) };
    let boot = place::find(sysroot, &loader)?;
    let counted = trials::read(&boot, &loader.menu())?;
    let free = match loader.boots_from_root() {
        true => None,
        false => Some(fsx::free_space(&boot).map_err(Error::io("asking for free space on $BOOT"))?),
    };
    let counted = counted.into_iter().map(|(order, tries)| (order.get(), tries)).collect();
    Ok(Some(Look { counted, free }))
}
