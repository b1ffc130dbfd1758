//! `reroot agent status`

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::agent::machine::Target;
use crate::agent::status::{AgentStatus, Report, status};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::names::printable;
use crate::ops::{Context, Result};

/// Tell what the agent does and waits for
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(Args {}: &Args, context: &Context<'_>, output: Output) -> Result<Code> {
    let status = status(context.env)?;
    output.show(&status, |status| text(status, &TimeZone::system()))?;
    Ok(Code::Done)
}

fn text(status: &AgentStatus, zone: &TimeZone) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| out += &format!("{:<11}{text}\n", format!("{name}:"));
    match (&status.agent, status.running) {
        (Some(report), true) => lines(report, zone, &mut line),
        _ => line("Agent", "does not run; `systemctl enable --now reroot-agent` starts it"),
    }
    if let Some(hold) = &status.hold {
        let until = hold
            .until
            .map_or("until `reroot agent release`".into(), |until| format!("until {}", shown(until, zone)));
        line("Held back", &format!("{until}: {}", printable(hold.reason.as_bytes())));
    }
    out
}

fn lines(report: &Report, zone: &TimeZone, line: &mut impl FnMut(&str, &str)) {
    line("Agent", &format!("{} since {}", report.state, shown(report.since, zone)));
    if let Some(target) = &report.target {
        line("Update", &update(target));
    }
    if let Some(blocker) = &report.blocker {
        let reason = blocker.reason.as_deref().map(|reason| format!(": {}", printable(reason.as_bytes())));
        let words = match blocker.by.as_str() {
            "policy" => "the next reboot",
            "hold" => "the end of the hold",
            "window" => "a maintenance window",
            "rollback" => "something good to fall back to",
            "hook" => "a hook",
            "users" => "people or programs",
            "lock" => "the fleet's lock",
            _ => "the reboot",
        };
        line("Waits for", &format!("{words}{}", reason.unwrap_or_default()));
    }
    if let Some(until) = report.until {
        line("Next", &shown(until, zone));
    }
    if report.postponed > 0 {
        line("Put off", &format!("{} times, for those who are logged in", report.postponed));
    }
    if let Some(attempts) = &report.attempts {
        line("Failed", &format!("{} attempts to stage {}", attempts.failures, attempts.digest));
    }
    if report.lock_held {
        line("Lock", "may be held");
    }
    line("Policy", &report.policy);
    line("Follows", &printable(report.follows.as_bytes()));
    line("Reboots", &printable(report.reboots.as_bytes()));
    if let Some(check) = &report.last_check {
        line("Checked", &format!("{}: {}", shown(check.time, zone), printable(check.result.as_bytes())));
    }
    for (name, problem) in [
        ("Problem", &report.problem),
        ("Mistake", &report.configuration_problem),
        ("Dead end", &report.dead_end),
    ] {
        if let Some(problem) = problem {
            line(name, &printable(problem.as_bytes()));
        }
    }
}

fn update(target: &Target) -> String {
    match &target.version {
        Some(version) => format!("version {} ({})", printable(version.as_bytes()), target.digest),
        None => target.digest.to_string(),
    }
}

/// As people here read it, to the second.
fn shown(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}
