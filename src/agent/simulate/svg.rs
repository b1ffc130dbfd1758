//! The curve as a picture (SVG 1.1): the share of the fleet that runs each release, and the hosts that a release failed on.

use std::fmt::Write;

use super::outcome::{Outcome, Sample};
use crate::names::escape_xml;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;
const LEGEND: f64 = 140.0;
/// Told apart by people who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 7] = ["#999999", "#0072b2", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#f0e442"];
const FAILED: &str = "#d55e00";

/// Draws the curve. The text of a release is escaped.
pub fn svg(outcome: &Outcome) -> String {
    let mut out = String::new();
    draw(outcome, &mut out).expect("a string takes everything");
    out
}

fn draw(outcome: &Outcome, out: &mut String) -> std::fmt::Result {
    let (right, bottom) = (WIDTH - LEGEND, HEIGHT - BOTTOM);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
    )?;
    writeln!(out, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>")?;
    let hours = outcome.curve.len().saturating_sub(1).max(1) as f64;
    let days = (hours / 24.0).round() as usize;
    for percent in [0, 25, 50, 75, 100] {
        let y = height(f64::from(percent) / 100.0);
        writeln!(out, "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>")?;
        writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            LEFT - 6.0,
            y + 4.0
        )?;
    }
    let every = days.div_ceil(10).max(1);
    for day in (0..=days).step_by(every) {
        let x = LEFT + (right - LEFT) * day as f64 * 24.0 / hours;
        writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{day}</text>", bottom + 16.0)?;
    }
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">days</text>",
        (LEFT + right) / 2.0,
        bottom + 32.0
    )?;
    let mut place = 0;
    let mut series = |out: &mut String,
                      name: &str,
                      colour: &str,
                      dash: &str,
                      share: &dyn Fn(&Sample) -> f64| {
        let mut points = String::new();
        let at = |hour: usize| outcome.curve.get(hour).map(|sample| format!("{:.1}", height(share(sample))));
        for hour in 0..outcome.curve.len() {
            // In the middle of a level stretch a point says nothing.
            if hour > 0 && at(hour - 1) == at(hour) && at(hour) == at(hour + 1) {
                continue;
            }
            let x = LEFT + (right - LEFT) * hour as f64 / hours;
            write!(points, "{x:.1},{} ", at(hour).unwrap_or_default())?;
        }
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            points.trim_end()
        )?;
        let y = TOP + 18.0 * f64::from(place);
        place += 1;
        writeln!(
            out,
            "<line x1=\"{}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            right + 12.0,
            right + 32.0
        )?;
        writeln!(out, "<text x=\"{}\" y=\"{}\">{}</text>", right + 38.0, y + 4.0, escape_xml(name))
    };
    for (index, release) in outcome.releases.iter().enumerate() {
        let share = |sample: &Sample| f64::from(sample.running[index]) / f64::from(outcome.hosts);
        series(out, &release.version, COLOURS[index % COLOURS.len()], "", &share)?;
    }
    let failed = |sample: &Sample| f64::from(sample.failed) / f64::from(outcome.hosts);
    series(out, "failed", FAILED, " stroke-dasharray=\"4 3\"", &failed)?;
    writeln!(out, "</svg>")
}

fn height(share: f64) -> f64 {
    let bottom = HEIGHT - BOTTOM;
    bottom - (bottom - TOP) * share.clamp(0.0, 1.0)
}
