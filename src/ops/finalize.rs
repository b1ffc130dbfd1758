//! Finalize: at the shutdown the staged deployment gets the machine's `/etc` and its place in the boot loader's menu.
//!
//! | step | killed after it |
//! |---|---|
//! | the merged `/etc` is put together beside the deployment's, and takes its place | the old deployment boots; once more from the start |
//! | room on `$BOOT` | as before |
//! | the record says that it is finalized | the old deployment boots; the next command that writes the menu goes on |
//! | kernel, boot entry, menu: the commit | the new deployment boots |
//! | `staged.json` goes | - |

use serde::Serialize;

use super::boot::room::Room;
use super::boot::{self, Place};
use super::merge::EtcSource;
use super::{Context, Result, ResultExt, note, reboot_required, select};
use crate::names::StaterootName;
use crate::progress::Event;
use crate::sysroot::etc_merge::EtcMergeReport;
use crate::sysroot::{
    DeploymentId, DeploymentKey, EventKind, FinalizeFailure, HistoryEvent, LockedSysroot, Observed, Sysroot,
};

/// What was finalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finalized {
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// False when its finalization is locked, and nothing was done.
    pub done: bool,
}

/// Finalizes what is staged; `None` when nothing is. A failure is left for the next boot to tell
/// ([`FinalizeFailure`]). Durable when it returns; may run again after any end.
pub fn finalize_staged(sysroot: &Sysroot, context: &Context<'_>) -> Result<Option<Finalized>> {
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let Some(key) = observed.staged.clone() else {
        // Finalized, and killed before the menu said so.
        if observed.booted.is_some() {
            boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
        }
        return Ok(None);
    };
    let report = |done| Finalized { id: key.id, stateroot: key.stateroot.clone(), done };
    if observed.staged_is_locked {
        return Ok(Some(report(false)));
    }
    let event = |kind| HistoryEvent::new(context.env, kind, &key);
    match finalize(&locked, &observed, &key, context).context(|| format!("finalizing {key}")) {
        Ok(()) => {
            note(&locked, &event(EventKind::Finalized), context.reporter);
            Ok(Some(report(true)))
        }
        Err(error) => {
            note(&locked, &event(EventKind::FinalizeFailed).with_reason(&error), context.reporter);
            let failure = FinalizeFailure {
                version: FinalizeFailure::VERSION,
                deployment: key.clone(),
                time: context.env.unix_time(),
                boot_id: context.env.boot_id().unwrap_or_default(),
                reason: error.to_string(),
            };
            if let Err(second) = locked.write_finalize_failure(&failure) {
                context.reporter.report(Event::Warning(&second.to_string()));
            }
            Err(error)
        }
    }
}

fn finalize(
    locked: &LockedSysroot<'_>,
    observed: &Observed,
    key: &DeploymentKey,
    context: &Context<'_>,
) -> Result<()> {
    let sysroot = locked.sysroot();
    select::check_running(observed)?;
    let mut deployment = select::deployment(observed, key.id, Some(&key.stateroot))?.clone();
    deployment.record.finalized = true;
    boot::check(sysroot)?;
    let room = Room::find(sysroot, Place::Mounted, observed, &deployment)?;
    deployment.record.etc_merge = merge(locked, observed, key)?;
    room.make(locked, Place::Mounted, observed, &deployment, context.reporter)?;
    locked.write_finalized(&deployment.record)?;
    boot::update(locked, &Place::Mounted, &[], context.reporter)?;
    locked.remove_staged()?;
    locked.remove_finalize_failure()?;
    reboot_required::set(context.env, &deployment.record.image)
}

/// The changes of `/etc` up to now go into the deployment.
fn merge(
    locked: &LockedSysroot<'_>,
    observed: &Observed,
    key: &DeploymentKey,
) -> Result<Option<EtcMergeReport>> {
    let source = EtcSource::of(locked.sysroot(), observed, &key.stateroot)?;
    let make = |source: EtcSource| {
        locked.replace_etc(key, |root, etc| source.make(root, observed.etc_strategy, etc))
    };
    source.map(make).transpose()
}
