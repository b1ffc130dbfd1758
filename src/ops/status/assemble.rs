//! From what was read to what is told: pure.

use std::path::Path;

use super::look::Seen;
use super::next::next;
use super::report::{
    BootDirectorySpace, BootHealth, DeploymentStatus, GivenUp, HealthStatus, ImageStatus, NextBoot, Room,
    Space, StagedStatus, Status, Trial, VERSION, timestamp,
};
use crate::ops::health::BootCompleted;
use crate::repo::{Mode, TreeUsage};
use crate::sysroot::{Deployment, HealthState, Observed, Problem, ProblemKind, Slot, Slots};

/// Puts the report together.
pub fn assemble(sysroot: &Path, mode: Mode, observed: Observed, seen: Seen) -> Status {
    let slots = Slots::of(&observed);
    let deployments: Vec<DeploymentStatus> = observed
        .deployments
        .iter()
        .enumerate()
        .map(|(index, deployment)| {
            let usage = seen.usage.as_ref().map(|usage| usage.trees[index]);
            describe(deployment, &observed, &slots, usage, &seen)
        })
        .collect();
    let next = next(&observed, &seen.counted.clone().unwrap_or_default(), seen.once.as_ref());
    let rollback = deployments.iter().find(|d| d.slots.contains(&Slot::Rollback)).map(DeploymentStatus::key);
    let reboot_pending = is_pending(&observed, next.as_ref());
    let staged = staged(&observed, &seen);
    let space = space(&observed, &seen);
    let mut problems = observed.problems;
    problems.extend(observed.leftovers.iter().map(|leftover| Problem {
        kind: ProblemKind::Leftover,
        path: leftover.path(),
        message: "work in progress, or left by an interrupted command; the next one removes it".into(),
        deployment: None,
    }));
    Status {
        version: VERSION,
        sysroot: sysroot.display().to_string(),
        mode,
        stateroots: observed.stateroots,
        booted: observed.booted,
        next,
        reboot_pending,
        staged,
        rollback,
        boot_health: seen.last_boot.map(boot_health),
        finalize_failure: seen.finalize_failure.map(Into::into),
        failed_images: seen.failed_images.into_iter().map(Into::into).collect(),
        transient_etc: observed.transient_etc,
        usr_overlay: seen.usr_overlay,
        space,
        deployments,
        problems,
    }
}

fn is_pending(observed: &Observed, next: Option<&NextBoot>) -> bool {
    observed.booted.as_ref().zip(next).is_some_and(|(booted, next)| *booted != next.deployment)
}

fn staged(observed: &Observed, seen: &Seen) -> Option<StagedStatus> {
    let key = observed.staged.clone()?;
    let merge = seen.planned_merge.as_ref();
    Some(StagedStatus {
        deployment: key,
        locked: observed.staged_is_locked,
        etc_strategy: observed.etc_strategy,
        etc_merge: merge.and_then(|merge| merge.as_ref().ok().cloned()),
        etc_failure: merge.and_then(|merge| merge.as_ref().err().cloned()),
    })
}

fn boot_health(boot: BootCompleted) -> BootHealth {
    let BootCompleted { state, time, reason, fell_back, checks, .. } = boot;
    let given_up = fell_back.into_iter().map(|f| GivenUp { deployment: f.key, reason: f.reason });
    BootHealth { state, time: timestamp(time), reason, fell_back: given_up.collect(), checks }
}

fn space(observed: &Observed, seen: &Seen) -> Space {
    let first = observed.finalized().next().and_then(|d| d.record.boot.as_ref());
    let kernel_bytes = first.map(|facts| facts.vmlinuz_bytes + facts.initrd_bytes);
    let boot = |free| BootDirectorySpace { room: Room::from(free), kernel_bytes };
    Space {
        root: seen.root,
        boot: seen.boot.map(boot),
        deployments_bytes: seen.usage.as_ref().map(|usage| usage.total_bytes()),
    }
}

fn describe(
    deployment: &Deployment,
    observed: &Observed,
    slots: &Slots,
    usage: Option<TreeUsage>,
    seen: &Seen,
) -> DeploymentStatus {
    let Deployment { record, origin } = deployment;
    let is_booted = observed.booted.as_ref().is_some_and(|key| deployment.is(key));
    let failures = record.health.failures.iter().cloned().map(Into::into).collect();
    DeploymentStatus {
        id: record.id,
        stateroot: record.stateroot.clone(),
        path: deployment.path(),
        image: ImageStatus::from(record.image.clone()),
        tree: record.tree,
        kernel: record.kernel.clone(),
        kernel_digest: record.boot.as_ref().map(|facts| facts.digest.clone()),
        slots: slots.of_deployment(deployment),
        pinned: record.pinned,
        finalized: record.finalized,
        abandoned: observed.is_abandoned(deployment),
        health: HealthStatus { state: record.health.state, failures },
        trial: trial(deployment, observed, seen),
        etc_merge: record.etc_merge.clone(),
        etc_changes: seen.etc_changes.filter(|_| is_booted),
        // The deployment's own copies of /etc come on top of what is linked, and nobody shares them.
        size_bytes: usage.map(|u| u.linked_bytes + u.etc_bytes),
        unique_bytes: usage.map(|u| u.unique_bytes + u.etc_bytes),
        created: timestamp(record.created),
        order: record.order,
        follows: origin.as_ref().map(|o| o.reference.clone()),
        kernel_arguments: origin.as_ref().map(|o| o.kernel_arguments.clone()).unwrap_or_default(),
    }
}

/// GRUB has no counter for one that it has not tried yet.
fn trial(deployment: &Deployment, observed: &Observed, seen: &Seen) -> Option<Trial> {
    let record = &deployment.record;
    let tries = record.tries.filter(|_| record.health.state == HealthState::Untried)?;
    if observed.is_abandoned(deployment) {
        return None;
    }
    let counted = seen.counted.as_ref();
    let left = counted.map(|counted| counted.get(&record.order).map_or(tries.get(), |tries| tries.left));
    Some(Trial { tries, left })
}
