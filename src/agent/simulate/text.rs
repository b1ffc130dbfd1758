//! The outcome in words, with the curve as lines of characters.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::outcome::{Outcome, ReleaseOutcome};

/// Of the curve, in characters.
const WIDTH: usize = 64;
/// From nothing to all.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A table of the releases, a line for each with its share of the fleet over time, and the totals.
pub fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    let line = |out: &mut String, text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).and_then(|()| out.write_char('\n')).expect("a string takes everything");
    };
    let width =
        outcome.releases.iter().map(|release| release.version.chars().count()).max().unwrap_or(0).max(7);
    line(
        &mut out,
        format_args!(
            "{:<width$} {:>9} {:>9}  {:<12} {:<12} stopped",
            "RELEASE", "RUNNING", "FAILED", "first after", "last after"
        ),
    );
    for release in &outcome.releases {
        let after = |time: Option<Timestamp>| time.map_or("-".into(), |time| since(release, time));
        line(
            &mut out,
            format_args!(
                "{:<width$} {:>9} {:>9}  {:<12} {:<12} {}",
                release.version,
                release.running,
                release.failed,
                after(release.first),
                after(release.last),
                after(release.stopped),
            ),
        );
    }
    line(&mut out, format_args!(""));
    for (index, release) in outcome.releases.iter().enumerate() {
        let share = |sample: &super::Sample| f64::from(sample.running[index]) / f64::from(outcome.hosts);
        line(&mut out, format_args!("{:<width$} |{}|", release.version, curve(outcome, share)));
    }
    let hours = outcome.curve.len().saturating_sub(1);
    line(
        &mut out,
        format_args!("{:<width$}  0{:>pad$}", "", format!("{} days", hours / 24), pad = WIDTH - 1),
    );
    line(&mut out, format_args!(""));
    let locked = match outcome.most_locked {
        Some(most) => {
            format!("; at most {most} with the lock at the same time, {} kept at the end", outcome.locks_left)
        }
        None => String::new(),
    };
    line(
        &mut out,
        format_args!(
            "{} hosts, {} restarts, {} checks; at most {} down at the same time{locked}",
            outcome.hosts, outcome.reboots, outcome.checks, outcome.most_down
        ),
    );
    out
}

/// Each character is the end of its stretch of time.
fn curve(outcome: &Outcome, share: impl Fn(&super::Sample) -> f64) -> String {
    let last = outcome.curve.len().saturating_sub(1);
    let level = |column: usize| {
        let Some(sample) = outcome.curve.get((column + 1) * last / WIDTH) else { return ' ' };
        let share = share(sample);
        // What is there at all is seen.
        let level = if share > 0.0 { (share * 8.0).round().max(1.0) } else { 0.0 };
        LEVELS[level as usize]
    };
    (0..WIDTH).map(level).collect()
}

/// `2d 4h 10m` after it came out.
fn since(release: &ReleaseOutcome, time: Timestamp) -> String {
    let minutes = time.duration_since(release.published).max(SignedDuration::ZERO).as_mins();
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_seen_as_a_height_and_the_least_is_seen_at_all() {
        let start: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let sample = |hour: i64, new: u32| super::super::Sample {
            time: start + SignedDuration::from_hours(hour),
            running: vec![1000 - new, new],
            failed: 0,
            down: 0,
        };
        let outcome = Outcome {
            hosts: 1000,
            releases: Vec::new(),
            curve: (0..=64)
                .map(|hour| {
                    sample(
                        hour,
                        if hour < 10 {
                            0
                        } else if hour < 40 {
                            1
                        } else {
                            1000
                        },
                    )
                })
                .collect(),
            most_down: 0,
            most_locked: None,
            locks_left: 0,
            reboots: 0,
            checks: 0,
        };
        let shown = curve(&outcome, |sample| f64::from(sample.running[1]) / 1000.0);
        assert_eq!(shown, format!("{}{}{}", " ".repeat(9), "▁".repeat(30), "█".repeat(25)));
    }

    #[test]
    fn times_are_from_the_release_on() {
        let published: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let release = ReleaseOutcome {
            version: "2".into(),
            running: 0,
            failed: 0,
            published,
            first: None,
            last: None,
            stopped: None,
        };
        for (minutes, expected) in [(5, "5m"), (130, "2h 10m"), (1500, "1d 1h")] {
            assert_eq!(since(&release, published + SignedDuration::from_mins(minutes)), expected);
        }
    }
}
