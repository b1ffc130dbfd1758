//! Boot entries of a sysroot: the boot loader's menu is made to be what the deployments' records say.
//!
//! A sysroot that a boot loader was installed for has `/reroot/boot.json`; another one has no entries, and nothing
//! here does anything. Every verb that changes which deployments there are, or their order, ends with [`update`]:
//! it looks at what is on `$BOOT` and what should be, so that a command that was killed is finished by the next.

mod loader;
mod place;
mod wanted;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use loader::install;
pub use place::Place;

use super::{Error, Result};
use crate::boot;
use crate::boot::execute::{Outside, execute};
use crate::boot::plan::{self, Menu};
use crate::fsx;
use crate::progress::Event;
use crate::sysroot::{DeploymentKey, LockedSysroot, Sysroot};
use wanted::Kernels;

/// What loads the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bootloader {
    /// Reads the entries from the EFI system partition itself.
    SystemdBoot,
    /// Something that reroot does not know; the entries are there for it.
    None,
}

impl Bootloader {
    const ALL: [Self; 2] = [Self::SystemdBoot, Self::None];

    fn name(self) -> &'static str {
        match self {
            Self::SystemdBoot => "systemd-boot",
            Self::None => "none",
        }
    }

    /// Whether it needs a partition for a BIOS to start it from.
    pub fn wants_bios_boot(self) -> bool {
        false
    }

    /// Whether it reads the root file system, and so needs one that it can read.
    pub fn reads_root(self) -> bool {
        false
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

/// `/reroot/boot.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BootRecord {
    version: u32,
    loader: Bootloader,
}

const FILE: &str = "boot.json";

impl BootRecord {
    const VERSION: u32 = 1;

    fn read(sysroot: &Sysroot) -> Result<Option<Self>> {
        let shown = format!("/reroot/{FILE}");
        let bytes = fsx::read_limited(sysroot.reroot(), FILE, 1 << 16)
            .map_err(Error::io(format!("reading {shown}")))?;
        Ok(bytes.map(|bytes| crate::sysroot::parse_state(&bytes, &shown)).transpose()?)
    }

    /// Durable.
    fn write(&self, sysroot: &Sysroot) -> Result<()> {
        fsx::write_atomic(sysroot.reroot(), FILE, &crate::sysroot::print_state(self), 0o644)
            .map_err(Error::io(format!("writing /reroot/{FILE}")))
    }
}

/// Makes sure that `$BOOT` can be reached, before anything is done that ends with [`update`].
pub fn check(sysroot: &Sysroot) -> Result<()> {
    match BootRecord::read(sysroot)? {
        Some(_) => place::find(sysroot).map(drop),
        None => Ok(()),
    }
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
    if BootRecord::read(sysroot)?.is_none() {
        return Ok(());
    }
    let boot = place.open(sysroot)?;
    let observed = locked.observe()?;
    let mut kernels = Kernels::new(sysroot.repo());
    let mut wanted = Vec::new();
    let stays = |key: &DeploymentKey| !without.contains(key) && observed.staged.as_ref() != Some(key);
    for deployment in observed.deployments.iter().filter(|d| stays(&d.key())) {
        wanted.push(kernels.wanted(deployment, observed.stateroots.len() > 1)?);
    }
    if wanted.is_empty() {
        // The last deployment is removed: its entry stays, as the only thing that says what was there.
        return Ok(());
    }
    let found = boot::plan::Observed::read(&boot)?;
    let plan = plan::plan(&wanted, &Menu::Entries, &found)?;
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
    let mut settle = || Ok(());
    execute(&plan, &boot, &mut Outside { source: &mut source, settle: &mut settle })?;
    Ok(())
}
