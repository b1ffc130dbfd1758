//! What `upgrade --check` says.

use jiff::Timestamp;

use crate::cli::cmd::diff::package_lines;
use crate::cli::cmd::{cost, deployment, image};
use crate::cli::format;
use crate::names::printable;
use crate::ops::{Changes, ImageStatus, Refused, UpdateCheck};

/// No terminal shows more without scrolling.
const MOST_PACKAGES: usize = 40;

pub fn text(report: &UpdateCheck, now: u64) -> String {
    let name = deployment(report.id, &report.stateroot);
    let mut out = match (report.available, report.refused) {
        (true, _) => format!("Update available: {}\n", image(&report.latest)),
        (false, Some(_)) => format!("An update that is not taken: {}\n", image(&report.latest)),
        (false, None) => format!("No update: {name} is {}\n", image(&report.current)),
    };
    if report.refused.is_some() || report.available {
        out += &format!("  digest {}\n", format::short_digest(&report.latest.digest));
        if let Some(built) = built(&report.latest, now) {
            out += &format!("  built {built}\n");
        }
        out += &format!("  {}\n", cost(&report.fetch));
        out += &format!("  {name} has {}\n", version(&report.current));
    }
    out += &against(report, now);
    if report.staged {
        out += match report.locked {
            true => {
                "  it is staged and locked: `reroot upgrade --from-downloaded` lets the next reboot take it\n"
            }
            false => "  it is staged: the next reboot brings it\n",
        };
    }
    if let Some(changes) = &report.changes {
        out += &changed(changes);
    }
    out
}

/// What speaks against it.
fn against(report: &UpdateCheck, now: u64) -> String {
    let mut out = String::new();
    if report.downgrade {
        out += "  it is older than what runs\n";
    }
    if let Some(failed) = &report.failed {
        let reason = printable(failed.reason.as_bytes());
        let when = format::age(failed.time, now);
        out += &format!("  it failed here as deployment {}, {when}: {reason}\n", failed.id);
    }
    match report.refused {
        Some(Refused::Failed) => out += "  `upgrade --allow-failed` takes it again\n",
        Some(Refused::Downgrade) => out += "  `upgrade --allow-downgrade` takes it\n",
        None => {}
    }
    out
}

fn built(image: &ImageStatus, now: u64) -> Option<String> {
    let time: Timestamp = image.timestamp.as_deref()?.parse().ok()?;
    Some(format!("{time} ({})", format::age(time, now)))
}

fn version(image: &ImageStatus) -> String {
    match &image.version {
        Some(version) => format!("version {}", printable(version.as_bytes())),
        None => format::short_digest(&image.digest),
    }
}

fn changed(changes: &Changes) -> String {
    let files = &changes.files;
    let mut out = format!(
        "  from {}: {} added, {} removed, {} changed\n",
        changes.from,
        format::count(files.added, "path"),
        files.removed,
        files.changed
    );
    let packages = package_lines(&changes.packages);
    packages.iter().take(MOST_PACKAGES).for_each(|line| out += &format!("  {line}\n"));
    match packages.len().saturating_sub(MOST_PACKAGES) {
        0 => {}
        more => out += &format!("  and {} more (--json has all)\n", format::count(more as u64, "package")),
    }
    out
}
