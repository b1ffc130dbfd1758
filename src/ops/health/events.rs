//! What the history is told.

use crate::ops::{Context, note};
use crate::sysroot::{DeploymentKey, DeploymentRecord, EventKind, HistoryEvent, LockedSysroot};

/// Who did what nobody asked for.
pub const BY_ITSELF: &str = "boot-complete";

/// Tells the history what happened to a deployment, why, and who did it when it was nobody who typed a command.
pub fn tell(
    locked: &LockedSysroot<'_>,
    kind: EventKind,
    record: &DeploymentRecord,
    reason: Option<&str>,
    by: Option<&str>,
    context: &Context<'_>,
) {
    let key = DeploymentKey { stateroot: record.stateroot.clone(), id: record.id };
    let mut event = HistoryEvent::new(context.env, kind, &key).with_image(&record.image);
    if let Some(reason) = reason {
        event = event.with_reason(reason);
    }
    if let Some(by) = by {
        event = event.with_author(by);
    }
    note(locked, &event, context.reporter);
}
