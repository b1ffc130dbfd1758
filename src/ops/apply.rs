//! Apply: going over to what would boot next, at once.

use serde::Serialize;

use super::soft_reboot::{self, SoftReboot};
use super::{Context, Error, Result, finalize_staged, reboot};
use crate::sysroot::{Deployment, DeploymentKey, Observed, Sysroot};

/// How to get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    Reboot,
    /// Without a new kernel where that is possible, else by a reboot.
    SoftRebootOrReboot,
    /// Without a new kernel, or not at all.
    SoftReboot,
}

/// What was begun. The command returns, and the machine goes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "applied", rename_all = "kebab-case")]
pub enum Applied {
    /// What runs would boot again.
    Nothing,
    Rebooting(DeploymentKey),
    SoftRebooting(DeploymentKey),
}

/// Restarts when that boots another deployment than the one that runs.
///
/// For a soft reboot what is staged is finalized now: there is no shutdown that would do it.
pub fn apply(sysroot: &Sysroot, how: Apply, context: &Context<'_>) -> Result<Applied> {
    let observed = sysroot.observe()?;
    if observed.booted.is_none() {
        return Err(Error::incompatible(
            "the running system was not booted from a deployment of this sysroot: there is nothing to reboot to",
        ));
    }
    let Some(next) = next(&observed) else { return Ok(Applied::Nothing) };
    let key = next.key();
    if how != Apply::Reboot {
        let mut target = next.clone();
        target.record.finalized = true;
        match soft_reboot::capability(sysroot, &target, context.env)? {
            SoftReboot::Capable => {
                if !next.record.finalized {
                    finalize_staged(sysroot, context)?;
                }
                soft_reboot::prepare(&sysroot.lock(context.wait)?, &key, context)?;
                if let Err(error) = soft_reboot::run_soft_reboot() {
                    // The next reboot must not become a soft one.
                    soft_reboot::cancel(sysroot, context)?;
                    return Err(error);
                }
                return Ok(Applied::SoftRebooting(key));
            }
            SoftReboot::NotCapable(reason) if how == Apply::SoftReboot => {
                return Err(Error::incompatible(format!("no soft reboot to {key}: {reason}")));
            }
            SoftReboot::NotCapable(_) => {}
        }
    }
    soft_reboot::cancel(sysroot, context)?;
    reboot::reboot(context.env)?;
    Ok(Applied::Rebooting(key))
}

/// What a reboot brings, when it is not what runs.
fn next(observed: &Observed) -> Option<&Deployment> {
    let waits =
        |d: &&Deployment| !observed.staged_is_locked && observed.staged.as_ref().is_some_and(|key| d.is(key));
    let first = observed.deployments.iter().find(|d| d.record.finalized || waits(d))?;
    (!observed.booted.as_ref().is_some_and(|key| first.is(key))).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysroot::testing::{key, observed};

    #[test]
    fn what_boots_next_is_first_in_boot_order_or_will_be() {
        for (deployments, staged, locked, expected) in [
            ("a:2 a:1", None, false, Some(2)),
            ("a:1 a:2", None, false, None),
            ("a:2~ a:1", Some(2), false, Some(2)),
            ("a:2~ a:1", Some(2), true, None),
            // Forgotten by a power cut.
            ("a:2~ a:1", None, false, None),
            // A rollback after it was staged.
            ("a:1 a:2~", Some(2), false, None),
        ] {
            let mut observed = observed(deployments);
            observed.booted = Some(key("a", 1));
            observed.staged = staged.map(|id| key("a", id));
            observed.staged_is_locked = locked;
            let next = next(&observed).map(|d| d.record.id.get());
            assert_eq!(next, expected, "{deployments} {staged:?} {locked}");
        }
    }
}
