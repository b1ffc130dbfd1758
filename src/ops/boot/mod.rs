//! Boot entries of a sysroot: the boot loader's menu is made to be what the deployments' records say.
//!
//! A sysroot that a boot loader was installed for has `/reroot/boot.json`; another one has no entries, and nothing
//! here does anything. Every verb that changes which deployments there are, or their order, ends with [`update`]:
//! it looks at what is on `$BOOT` and what should be, so that a command that was killed is finished by the next.

pub(super) mod arguments;
pub(super) mod facts;
mod grub;
mod loader;
mod look;
pub(super) mod once;
mod place;
mod record;
pub(super) mod room;
mod trials;
mod wanted;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use grub::DIRECTORY as GRUB_DIRECTORY;
pub use loader::{Directories, check_image, install};
pub(super) use look::look;
pub use place::Place;
pub use record::Loader;
pub(super) use trials::counted;
pub(super) use wanted::Kernels;

use super::{Context, Result};
use crate::boot;
use crate::boot::execute::{Outside, execute, sweep};
use crate::boot::plan::{self, Menu};
use crate::fsx::{self, Dir};
use crate::progress::Event;
use crate::sysroot::{DeploymentKey, LockedSysroot, ProblemKind, Sysroot, layout};
use record::BootRecord;

/// What loads the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bootloader {
    /// Reads the entries from the EFI system partition itself.
    SystemdBoot,
    /// Starts on UEFI and BIOS, and reads a menu that is made of the entries.
    Grub,
    /// Something that reroot does not know; the entries are there for it.
    None,
}

impl Bootloader {
    const ALL: [Self; 3] = [Self::SystemdBoot, Self::Grub, Self::None];

    fn name(self) -> &'static str {
        match self {
            Self::SystemdBoot => "systemd-boot",
            Self::Grub => "grub",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Bootloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Bootloader {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|loader| loader.name() == text);
        known.ok_or_else(|| format!("`{text}` is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Whether a boot loader was installed for the sysroot.
pub fn is_installed(sysroot: &Sysroot) -> Result<bool> {
    Ok(BootRecord::read(sysroot)?.is_some())
}

/// Makes sure that `$BOOT` can be reached, before anything is done that ends with [`update`].
pub fn check(sysroot: &Sysroot) -> Result<()> {
    match BootRecord::read(sysroot)? {
        Some(record) => place::find(sysroot, &record.loader).map(drop),
        None => Ok(()),
    }
}

/// What loads the kernel; `None` when no boot loader was installed for the sysroot.
pub fn bootloader(sysroot: &Sysroot) -> Result<Option<Bootloader>> {
    Ok(BootRecord::read(sysroot)?.map(|record| record.loader.kind()))
}

/// [`update`] for a command that has nothing to change: the one before may have been killed when its deployment was
/// recorded and not in the menu yet.
pub fn finish(sysroot: &Sysroot, context: &Context<'_>) -> Result<()> {
    match is_installed(sysroot)? {
        true => update(&sysroot.lock(context.wait)?, &Place::Mounted, &[], context.reporter),
        false => Ok(()),
    }
}

/// The deployments whose records do not read back, by their paths: the entries that they have stay as they are.
/// Without those in `without`.
pub(super) fn unreadable(observed: &crate::sysroot::Observed, without: &[DeploymentKey]) -> BTreeSet<String> {
    let damaged = [ProblemKind::DamagedRecord, ProblemKind::NewerRecord];
    let hit = observed.problems.iter().filter(|problem| damaged.contains(&problem.kind));
    hit.filter_map(|problem| problem.deployment.as_ref())
        .filter(|key| !without.contains(key))
        .map(layout::deployment_path)
        .collect()
}

/// Makes the boot loader's menu say what the records say, without the deployments in `without`, which are about to
/// be removed. Nothing when no boot loader was installed. Durable when it returns.
pub fn update(
    locked: &LockedSysroot<'_>,
    place: &Place<'_>,
    without: &[DeploymentKey],
    reporter: &dyn crate::progress::Reporter,
) -> Result<()> {
    let sysroot = locked.sysroot();
    let Some(BootRecord { loader, .. }) = BootRecord::read(sysroot)? else { return Ok(()) };
    let boot = place.open(sysroot, &loader)?;
    let observed = locked.observe()?;
    let mut kernels = Kernels::new(sysroot);
    let mut wanted = Vec::new();
    for deployment in observed.finalized().filter(|d| !without.contains(&d.key())) {
        wanted.push(kernels.wanted(deployment, observed.stateroots.len() > 1)?);
    }
    if wanted.is_empty() {
        // The last deployment is removed: its entry stays, as the only thing that says what was there.
        return Ok(());
    }
    let menu = loader.menu();
    let mut settle = || settle(&menu, &boot);
    // Settles also when there is nothing else to do.
    sweep(&boot, &mut settle)?;
    if let Menu::Grub(_) = menu {
        // Before a menu that counts in it.
        boot::grub::env::ensure(&boot, &mut settle)?;
    }
    let found =
        boot::plan::Observed { spared: unreadable(&observed, without), ..boot::plan::Observed::read(&boot)? };
    let plan = plan::plan(&wanted, &menu, &found)?;
    for difference in &plan.differences {
        reporter.report(Event::Warning(&format!(
            "the boot entry {} was changed by hand ({}) and is left as it is",
            difference.file_name,
            difference.keys.join(", ")
        )));
    }
    if plan.is_empty() {
        return Ok(());
    }
    let mut source = |pair: &boot::kernel::Pair| kernels.open(pair);
    execute(&plan, &boot, &mut Outside { source: &mut source, settle: &mut settle })?;
    Ok(())
}

/// Brings what was written on `$BOOT` to where the loader finds it.
fn settle(menu: &Menu, boot: &Dir) -> io::Result<()> {
    match menu {
        Menu::Entries => Ok(()),
        Menu::Grub(_) => fsx::checkpoint(boot),
    }
}
