//! The end of the output, where eyes are: what runs, what is next, how much room is left, what is wrong.

use super::deployment::on_trial;
use super::lines::{BAD, GOOD, Lines, PLAIN, WATCH};
use super::{Detail, merge, name, name_and_version};
use crate::cli::format;
use crate::names::printable;
use crate::ops::health::BootState;
use crate::ops::{NextBoot, Room, Space, StagedStatus, Status, Why};
use crate::sysroot::{DeploymentKey, HealthState};

/// What everybody wants to know.
pub fn block(status: &Status, detail: Detail, now: u64, lines: &mut Lines) {
    if status.deployments.is_empty() {
        return;
    }
    if let Some(booted) = &status.booted {
        running(booted, status, lines);
    }
    if let Some(next) = &status.next {
        self::next(next, status, lines);
    }
    if let Some(staged) = &status.staged {
        self::staged(staged, status, detail, lines);
    }
    match &status.rollback {
        Some(key) => lines.field("Rollback", PLAIN, &format!("goes to {}", name_and_version(key, status))),
        None => lines.field("Rollback", PLAIN, "nothing to go back to"),
    }
    etc(status, lines);
    space(&status.space, lines);
    if detail == Detail::All {
        failed_images(status, now, lines);
    }
}

fn running(booted: &DeploymentKey, status: &Status, lines: &mut Lines) {
    let what = name_and_version(booted, status);
    let Some(deployment) = status.deployments.iter().find(|d| d.key() == *booted) else {
        lines.field("Running", BAD, &format!("{what}, which is not known any more"));
        return;
    };
    let (style, health) = match (deployment.health.state, &deployment.trial) {
        (HealthState::Good, _) => (GOOD, ": good".into()),
        (HealthState::Bad, _) => (BAD, ": bad".into()),
        (HealthState::Untried, Some(trial)) => (WATCH, format!(", {}", on_trial(trial))),
        (HealthState::Untried, None) => (PLAIN, String::new()),
    };
    lines.field("Running", style, &format!("{what}{health}"));
}

fn next(next: &NextBoot, status: &Status, lines: &mut Lines) {
    let instead_of = next.instead_of.as_ref().map(name).unwrap_or_default();
    let reason = next.reason.as_ref().map(|r| format!(": {}", printable(r.as_bytes()))).unwrap_or_default();
    let why = match next.why {
        Why::Newest => "the newest".into(),
        Why::Staged => "staged, finalized at the shutdown".into(),
        Why::RolledBack => format!("rolled back from {instead_of}"),
        Why::FellBack => format!("fell back from {instead_of}{reason}"),
        Why::Once => match &next.then {
            Some(then) => format!("once, as asked for; after that {}", name_and_version(then, status)),
            None => "once, as asked for".into(),
        },
        Why::SoftReboot => "prepared for a soft reboot".into(),
    };
    let (style, what) = match status.reboot_pending {
        true => (WATCH, name_and_version(&next.deployment, status)),
        false if status.booted.is_some() => (PLAIN, "the same".into()),
        false => (PLAIN, name_and_version(&next.deployment, status)),
    };
    lines.field("Next boot", style, &format!("{what} ({why})"));
}

fn staged(staged: &StagedStatus, status: &Status, detail: Detail, lines: &mut Lines) {
    let is_next = status.next.as_ref().is_some_and(|next| next.deployment == staged.deployment);
    let what = name_and_version(&staged.deployment, status);
    if staged.locked {
        let how = "locked; `reroot upgrade --from-downloaded` lets the next reboot take it";
        lines.field("Staged", WATCH, &format!("{what} ({how})"));
    } else if !is_next {
        let how = "comes into the boot menu at the shutdown, and does not boot by itself";
        lines.field("Staged", PLAIN, &format!("{what} ({how})"));
    }
    if let Some(report) = &staged.etc_merge {
        lines.field("Its /etc", PLAIN, &merge::counts(report));
        if detail == Detail::All {
            merge::lists(report, lines);
        }
    }
}

fn etc(status: &Status, lines: &mut Lines) {
    if status.transient_etc {
        lines.field("/etc", PLAIN, "changes are forgotten at the next boot");
    }
    match status.deployments.iter().find_map(|d| d.etc_changes) {
        None => {}
        Some(0) => lines.field("/etc", PLAIN, "as the image has it"),
        Some(changes) => {
            let text = format!("{} on this machine (`reroot etc diff`)", format::count(changes, "change"));
            lines.field("/etc", PLAIN, &text);
        }
    }
}

fn space(space: &Space, lines: &mut Lines) {
    let room = |room: &Room| {
        format!("{} of {} free", format::bytes(room.free_bytes), format::bytes(room.total_bytes))
    };
    let deployments = space.deployments_bytes.map(|total| format!("deployments {}", format::bytes(total)));
    let parts: Vec<String> = space.root.as_ref().map(room).into_iter().chain(deployments).collect();
    if !parts.is_empty() {
        lines.field("Space", PLAIN, &parts.join("; "));
    }
    if let Some(boot) = &space.boot {
        let kernel = boot.kernel_bytes;
        let needs = kernel.map(|needed| format!("; one more kernel needs {}", format::bytes(needed)));
        let is_short = kernel.is_some_and(|needed| needed > boot.room.free_bytes);
        let style = if is_short { WATCH } else { PLAIN };
        lines.field("$BOOT", style, &format!("{}{}", room(&boot.room), needs.unwrap_or_default()));
    }
}

fn failed_images(status: &Status, now: u64, lines: &mut Lines) {
    for image in &status.failed_images {
        let version = image.version.as_deref().map(|v| format!(" version {}", printable(v.as_bytes())));
        let text = format!(
            "{}{} as deployment {}, {}: {}",
            printable(image.reference.as_bytes()),
            version.unwrap_or_default(),
            image.id,
            format::age(image.time, now),
            printable(image.reason.as_bytes()),
        );
        lines.field("Failed here", PLAIN, &text);
    }
}

/// What is not as it should be, the worst last.
pub fn alarms(status: &Status, detail: Detail, lines: &mut Lines) {
    lines.gap();
    let mut warning = |text: String| lines.alarm(WATCH, "warning", &text);
    if status.usr_overlay {
        warning("/usr can be written; what is written there is gone at the next boot".into());
    }
    if let Some(boot) = &status.boot_health {
        for check in boot.checks.iter().filter(|check| !check.passed) {
            let reason = check.reason.as_deref().unwrap_or("it failed");
            warning(format!("the check {} did not pass: {}", check.file, printable(reason.as_bytes())));
        }
        for failed in &boot.fell_back {
            let reason = printable(failed.reason.as_bytes());
            warning(format!("the boot loader gave up {} before this boot: {reason}", failed.deployment));
        }
    }
    if let Some(failure) = &status.finalize_failure {
        let reason = printable(failure.reason.as_bytes());
        let when = if detail == Detail::All { format!(" ({})", failure.time) } else { String::new() };
        warning(format!(
            "{} was staged, and the shutdown could not finish it{when}: {reason}",
            failure.deployment
        ));
    }
    if let Some(reason) = status.staged.as_ref().and_then(|staged| staged.etc_failure.as_deref()) {
        warning(format!("the shutdown could not finish what is staged: {}", printable(reason.as_bytes())));
    }
    if let Some(boot) = status.boot_health.as_ref().filter(|boot| boot.state == BootState::Failed) {
        let reason = boot.reason.as_deref().unwrap_or("it is not known why");
        lines.alarm(BAD, "failed", &format!("this boot: {}", printable(reason.as_bytes())));
    }
    for problem in &status.problems {
        let path = printable(problem.path.as_bytes());
        lines.alarm(BAD, "problem", &format!("{path}: {}", printable(problem.message.as_bytes())));
    }
}
