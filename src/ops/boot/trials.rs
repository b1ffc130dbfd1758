//! What the boot loader of a sysroot has counted.

use std::collections::BTreeMap;

use super::place;
use super::record::BootRecord;
use crate::boot::file_name::Tries;
use crate::boot::trials;
use crate::ops::Result;
use crate::sysroot::Sysroot;

/// The counters of every boot order that has some. Nothing without a boot loader.
pub fn counted(sysroot: &Sysroot) -> Result<BTreeMap<u64, Tries>> {
    let Some(BootRecord { loader, .. }) = BootRecord::read(sysroot)? else { return Ok(BTreeMap::new()) };
    let boot = place::find(sysroot, &loader)?;
    let counted = trials::read(&boot, &loader.menu())?;
    Ok(counted.into_iter().map(|(order, tries)| (order.get(), tries)).collect())
}
