//! Booting a deployment once: the menu and the order stay as they are.

use std::io;

use serde::Serialize;

use super::record::{BootRecord, Loader};
use super::{Place, settle};
use crate::boot::file_name::BootOrder;
use crate::boot::once::Memory;
use crate::fsx::{self, Dir};
use crate::names::StaterootName;
use crate::ops::{Context, Error, Result, reboot, select, soft_reboot};
use crate::sysroot::{DeploymentId, DeploymentKey, Observed, Sysroot};

/// Where the kernel shows EFI variables, below the root of the running system.
const VARIABLES: &str = "sys/firmware/efi/efivars";

/// What the next boots are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootOnce {
    /// Boots next, once.
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// Version of its image.
    pub version: Option<String>,
    /// What boots after that.
    pub then: Option<DeploymentKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootOnceCancelled {
    /// True when nothing was to boot once.
    pub unchanged: bool,
    /// What boots next.
    pub next: Option<DeploymentKey>,
}

/// Lets the boot loader boot a deployment at the next start and never again for that. Durable when it returns.
pub fn boot_once(
    sysroot: &Sysroot,
    id: DeploymentId,
    stateroot: Option<&StaterootName>,
    context: &Context<'_>,
) -> Result<BootOnce> {
    let loader = loader(sysroot)?;
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let deployment = select::deployment(&observed, id, stateroot)?;
    let key = deployment.key();
    if !deployment.record.finalized {
        return Err(Error::invalid(match observed.staged.as_ref() == Some(&key) {
            true => {
                format!("{key} is staged: it is in the boot menu after the next shutdown, and boots then")
            }
            false => format!("{key} was never finished and is not in the boot menu"),
        }));
    }
    let order = BootOrder::new(deployment.record.order)
        .ok_or_else(|| Error::incompatible(format!("{key} has no boot order that a boot entry can have")))?;
    let places = Places::open(sysroot, &loader)?;
    // The entry is there after this, and so is what the loader remembers it by.
    super::update(&locked, &Place::Mounted, &[], context.reporter)?;
    places.memory().set(order, &mut || places.settle(&loader))?;
    Ok(BootOnce {
        id,
        version: deployment.record.image.version.clone(),
        then: default_of(&observed),
        stateroot: key.stateroot,
    })
}

/// Restarts the machine, so that what boots once does. No soft reboot that was prepared comes in between.
pub fn restart_for_boot_once(sysroot: &Sysroot, context: &Context<'_>) -> Result<()> {
    soft_reboot::cancel(sysroot, context)?;
    reboot::reboot(context.env)
}

/// Takes back what [`boot_once`] said, or anybody else did.
pub fn cancel_boot_once(sysroot: &Sysroot, context: &Context<'_>) -> Result<BootOnceCancelled> {
    let loader = loader(sysroot)?;
    let locked = sysroot.lock(context.wait)?;
    let places = Places::open(sysroot, &loader)?;
    let was_set = places.memory().clear(&mut || places.settle(&loader))?;
    Ok(BootOnceCancelled { unchanged: !was_set, next: default_of(&locked.observe()?) })
}

/// The deployment that boots once at the next start. `None` also when that cannot be told: no boot loader was
/// installed, it cannot do that, or its directory is not mounted.
pub fn boots_once(sysroot: &Sysroot, observed: &Observed) -> Result<Option<DeploymentKey>> {
    let Ok(loader) = loader(sysroot) else { return Ok(None) };
    let Ok(places) = Places::open(sysroot, &loader) else { return Ok(None) };
    let order = places.memory().read()?.map(BootOrder::get);
    let found = observed.finalized().find(|deployment| Some(deployment.record.order) == order);
    Ok(found.map(|deployment| deployment.key()))
}

/// What is staged boots by its order as well, from the next shutdown on, unless that is locked.
fn default_of(observed: &Observed) -> Option<DeploymentKey> {
    let in_order =
        observed.deployments.iter().map(|deployment| (deployment.key(), deployment.record.finalized));
    let waits = |key: &DeploymentKey| !observed.staged_is_locked && observed.staged.as_ref() == Some(key);
    let mut bootable = in_order.filter(|(key, finalized)| *finalized || waits(key));
    bootable.next().map(|(key, _)| key)
}

fn loader(sysroot: &Sysroot) -> Result<Loader> {
    match BootRecord::read(sysroot)?.map(|record| record.loader) {
        Some(loader @ (Loader::SystemdBoot | Loader::Grub { .. })) => Ok(loader),
        Some(Loader::None) => Err(Error::incompatible(
            "the boot loader of this machine is not known to reroot (`none`), so it cannot be told what to boot once; \
             choose the entry in its menu",
        )),
        None => Err(Error::incompatible("no boot loader was installed for this sysroot")),
    }
}

/// The directories that are open while something is to boot once.
enum Places {
    Efi(Dir),
    Grub(Dir),
}

impl Places {
    fn open(sysroot: &Sysroot, loader: &Loader) -> Result<Self> {
        Ok(match loader {
            Loader::Grub { .. } => Self::Grub(Place::Mounted.open(sysroot, loader)?),
            _ => Self::Efi(variables(sysroot)?),
        })
    }

    fn memory(&self) -> Memory<'_> {
        match self {
            Self::Efi(variables) => Memory::Efi(variables),
            Self::Grub(boot) => Memory::Grub(boot),
        }
    }

    fn settle(&self, loader: &Loader) -> io::Result<()> {
        match self {
            Self::Efi(_) => Ok(()),
            Self::Grub(boot) => settle(&loader.menu(), boot),
        }
    }
}

/// The variables are those of the machine that runs: they say nothing about a disk of another one.
fn variables(sysroot: &Sysroot) -> Result<Dir> {
    let Some(root) = sysroot.running_root() else {
        return Err(Error::invalid(format!(
            "the running system was not booted from {}: what boots once can be said in the running system only",
            sysroot.path().display()
        )));
    };
    fsx::open_dir(&root.join(VARIABLES)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!(
            "EFI variables: /{VARIABLES} is not there, so systemd-boot cannot be told"
        )),
        _ => Error::io(format!("opening /{VARIABLES}"))(error),
    })
}
