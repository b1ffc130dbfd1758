//! Carrying out a [`Plan`]: each step is durable before the next begins, and the whole may run again after any of them.

use std::io;

use super::kernel::{self, Ensured, Pair, PairSource};
use super::plan::Plan;
use super::{Error, Result, entries, grub};
use crate::crashpoint;
use crate::fsx::{self, Dir};

const SETTLING: &str = "bringing $BOOT to the disk";

/// What comes from outside while a plan is carried out.
pub struct Outside<'a> {
    /// Opens the files of a pair where they come from.
    pub source: &'a mut dyn FnMut(&Pair) -> io::Result<PairSource>,
    /// Brings everything to where a loader finds it that cannot replay a journal, before the commit and after it:
    /// [`fsx::checkpoint`] for GRUB, nothing on FAT.
    pub settle: &'a mut dyn FnMut() -> io::Result<()>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    pub pairs_written: usize,
    pub entries_written: usize,
    pub entries_removed: usize,
    pub pairs_removed: usize,
}

/// Carries out a plan. Too little space is an error before anything is written.
///
/// The caller holds the lock of the sysroot since before [`super::plan::Observed`] was read. What interrupted commands
/// left is swept first: it may be what `$BOOT` is full of.
pub fn execute(plan: &Plan, boot: &Dir, outside: &mut Outside<'_>) -> Result<Report> {
    let mut report = Report::default();
    sweep(boot, outside.settle)?;
    check_space(plan, boot)?;
    entries::ensure_directory(boot)?;
    for pair in &plan.pairs_to_write {
        let context = || Error::io(format!("writing kernel {}", pair.digest));
        let source = (outside.source)(pair).map_err(context())?;
        report.pairs_written += usize::from(kernel::ensure_pair(boot, pair, &source)? == Ensured::Written);
        crashpoint!("boot.pair-written").map_err(context())?;
    }
    for file_name in &plan.useless_entries {
        entries::remove_entry(boot, file_name)?;
    }
    for (name, entry) in &plan.entries_to_write {
        entries::write_entry(boot, name, entry)?;
        report.entries_written += 1;
        crashpoint!("boot.entry-written").map_err(Error::io("writing boot entries"))?;
    }
    let mut settle = || (outside.settle)().map_err(Error::io(SETTLING));
    if let Some(menu) = &plan.grub_menu {
        grub::prepare_menu(boot, menu)?;
        crashpoint!("boot.menu-prepared").map_err(Error::io("writing the menu"))?;
        settle()?;
        grub::commit_menu(boot)?;
        crashpoint!("boot.menu-written").map_err(Error::io("writing the menu"))?;
    }
    // Also when the menu is right already: the command that wrote it may have ended before this.
    settle()?;
    grub::sweep_menus(boot)?;
    for file_name in &plan.entries_to_remove {
        entries::remove_entry(boot, file_name)?;
        report.entries_removed += 1;
    }
    crashpoint!("boot.entries-removed").map_err(Error::io("removing boot entries"))?;
    report.pairs_removed = kernel::sweep(boot, &plan.pairs_to_keep)?.len();
    crashpoint!("boot.pairs-swept").map_err(Error::io("sweeping kernels"))?;
    Ok(report)
}

/// Removes what interrupted commands left. Before [`super::plan::Observed`] is read: where the power went while FAT
/// renamed, a kernel may be there under two names, and goes with the one that is swept.
///
/// Settles first: the menu before the last change may be what GRUB still finds.
pub fn sweep(boot: &Dir, settle: &mut dyn FnMut() -> io::Result<()>) -> Result<()> {
    settle().map_err(Error::io(SETTLING))?;
    entries::sweep_scratch(boot, &entries::read_entries(boot)?)?;
    grub::sweep_menus(boot)?;
    kernel::sweep_scratch(boot)
}

fn check_space(plan: &Plan, boot: &Dir) -> Result<()> {
    let available =
        fsx::free_space(boot).map_err(Error::io("asking for free space on $BOOT"))?.available_bytes;
    match plan.needed_bytes <= available {
        true => Ok(()),
        false => Err(Error::NoSpace { required: plan.needed_bytes, available }),
    }
}
