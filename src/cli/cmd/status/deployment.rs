//! The lines about one deployment.

use anstyle::Style;
use jiff::Timestamp;

use super::lines::{BAD, BOLD, GOOD, Lines, PLAIN, WATCH, fits, styled};
use super::{Detail, merge, name};
use crate::cli::format;
use crate::names::printable;
use crate::ops::{DeploymentStatus, Status, Trial};
use crate::sysroot::{HealthState, Slot};

/// Everything about one deployment.
pub fn stanza(d: &DeploymentStatus, status: &Status, detail: Detail, now: u64, lines: &mut Lines) {
    let all = detail == Detail::All;
    head(d, status, lines);
    lines.field("Version", PLAIN, &version(d, detail, now));
    let digest = if all { d.image.digest.to_string() } else { format::short_digest(&d.image.digest) };
    lines.field("Digest", PLAIN, &digest);
    if let (Some(size), Some(unique)) = (d.size_bytes, d.unique_bytes) {
        let text = format!("{}, {} of its own", format::bytes(size), format::bytes(unique));
        lines.field("Size", PLAIN, &text);
    }
    if let Some(follows) = d.follows.as_deref().filter(|follows| *follows != d.image.reference) {
        lines.field("Follows", PLAIN, &printable(follows.as_bytes()));
    }
    if all {
        lines.field("Deployed", PLAIN, &d.created.to_string());
        lines.field("Kernel", PLAIN, &d.kernel);
        lines.field("Tree", PLAIN, &d.tree.to_string());
        lines.field("Path", PLAIN, &d.path);
        lines.field("Order", PLAIN, &d.order.to_string());
        let arguments: Vec<String> = d.kernel_arguments.iter().map(ToString::to_string).collect();
        if !arguments.is_empty() {
            lines.field("Arguments", PLAIN, &arguments.join(" "));
        }
    } else {
        lines.field("Deployed", PLAIN, &format::age(d.created, now));
    }
    if d.abandoned {
        lines.field("State", WATCH, "was staged and lost at a power cut; `reroot prune` removes it");
    }
    health(d, detail, lines);
    if let Some(report) = d.etc_merge.as_ref().filter(|_| all && d.finalized) {
        lines.field("/etc", PLAIN, &merge::counts(report));
        merge::lists(report, lines);
    }
}

fn head(d: &DeploymentStatus, status: &Status, lines: &mut Lines) {
    let has = |slot| d.slots.contains(&slot);
    let is_next = status.next.as_ref().is_some_and(|next| next.deployment == d.key());
    let (mark, style) = match (has(Slot::Booted), is_next) {
        (true, _) => ("●", health_style(d)),
        (false, true) => ("▸", WATCH),
        (false, false) => (" ", PLAIN),
    };
    let mut slots: Vec<String> = d.slots.iter().map(ToString::to_string).collect();
    if status.staged.as_ref().is_some_and(|staged| staged.locked && staged.deployment == d.key()) {
        slots.push("locked".into());
    }
    let name = format!("{}:", name(&d.key()));
    let plain = format!("{mark} {name} {}", d.image.reference);
    let line = format!("{} {} {}", styled(style, mark), styled(BOLD, &name), d.image.reference);
    let slots = if slots.is_empty() { String::new() } else { format!("({})", slots.join(", ")) };
    match fits(&format!("{plain}  {slots}")) {
        true if slots.is_empty() => lines.plain(&line),
        true => lines.plain(&format!("{line}  {}", styled(BOLD, &slots))),
        false => {
            lines.plain(&line);
            lines.plain(&format!("    {}", styled(BOLD, &slots)));
        }
    }
}

fn health_style(d: &DeploymentStatus) -> Style {
    match d.health.state {
        HealthState::Bad => BAD,
        HealthState::Untried if d.trial.is_some() => WATCH,
        HealthState::Good | HealthState::Untried => GOOD,
    }
}

fn version(d: &DeploymentStatus, detail: Detail, now: u64) -> String {
    let built = d.image.timestamp.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    let shown = |t: Timestamp| if detail == Detail::All { t.to_string() } else { format::age(t, now) };
    let built = built.map(|t| format!(" (built {})", shown(t))).unwrap_or_default();
    d.image.version.as_deref().map_or("none".into(), |v| printable(v.as_bytes())) + &built
}

fn health(d: &DeploymentStatus, detail: Detail, lines: &mut Lines) {
    let last = d.health.failures.last().map(|failure| printable(failure.reason.as_bytes()));
    match (d.health.state, &d.trial) {
        (HealthState::Good, _) if detail == Detail::All => lines.field("Health", GOOD, "good"),
        (HealthState::Bad, _) => {
            let reason = last.map(|reason| format!(": {reason}")).unwrap_or_default();
            lines.field("Health", BAD, &format!("bad{reason}"));
        }
        (HealthState::Untried, Some(trial)) => {
            let failed = last.map(|reason| format!("; the last boot failed: {reason}")).unwrap_or_default();
            lines.field("Health", WATCH, &format!("{}{failed}", on_trial(trial)));
        }
        (HealthState::Good | HealthState::Untried, _) => {}
    }
    if detail == Detail::All {
        for failure in &d.health.failures {
            let text = format!("{} {}", failure.time, printable(failure.reason.as_bytes()));
            lines.field("Failed", PLAIN, &text);
        }
    }
}

/// `on trial: 2 of 3 tries left`
pub fn on_trial(trial: &Trial) -> String {
    match trial.left {
        Some(0) => format!("on trial: this is the last of {} tries", trial.tries),
        Some(left) => format!("on trial: {left} of {} tries left", trial.tries),
        None => format!("on trial: {} tries in all", trial.tries),
    }
}
