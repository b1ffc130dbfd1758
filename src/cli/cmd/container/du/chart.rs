//! The chart (SVG 1.1): a rectangle for each directory or package, as large as its share of the bytes.

use std::fmt::{Result, Write};

use super::percent;
use crate::cli::format;
use crate::container::{Branch, Rectangle, Usage, squarify};
use crate::names::escape_xml;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 720.0;
/// The strip with the name of what holds others.
const STRIP: f64 = 15.0;
const MARGIN: f64 = 2.0;
/// Of a letter of the font below, with some room; no name may leave its rectangle.
const LETTER: f64 = 7.0;
const FONT_SIZE: u32 = 11;
const PLAIN: &str = "#eeeeee";
/// Light ones, told apart by people who do not see all colours (after Okabe and Ito), for dark letters.
const COLOURS: [&str; 8] =
    ["#a6cfe8", "#f6cf87", "#9fdcc6", "#f0b59b", "#dcb8cd", "#f5ee9e", "#c6d2f0", "#cccccc"];

/// Draws what is left after the cut. Names are escaped; the same usage gives the same bytes.
pub(super) fn svg(usage: &Usage) -> String {
    let mut out = String::new();
    draw(usage, &mut out).expect("a string takes everything");
    out
}

fn draw(usage: &Usage, out: &mut String) -> Result {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"monospace\" \
         font-size=\"{FONT_SIZE}\" role=\"img\" aria-label=\"{}\">",
        escape_xml(&format!("Where the bytes of {} are", usage.name))
    )?;
    let all = Rectangle { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
    let picture = Picture { all: usage.root.bytes };
    picture.branch(&usage.root, &usage.root.name, all, None, out)?;
    out.write_str("</svg>\n")
}

struct Picture {
    /// Bytes of everything.
    all: u64,
}

impl Picture {
    fn branch(
        &self,
        branch: &Branch,
        path: &str,
        place: Rectangle,
        colour: Option<&str>,
        out: &mut String,
    ) -> Result {
        // Less than this nobody sees.
        if place.width < 1.0 || place.height < 1.0 {
            return Ok(());
        }
        let Rectangle { x, y, width, height } = place;
        writeln!(
            out,
            "<g><title>{}</title><rect data-bytes=\"{}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             fill=\"{}\" stroke=\"#555555\" stroke-width=\"0.5\"/>",
            escape_xml(&format!(
                "{path}: {}, {} %, {}",
                format::bytes(branch.bytes),
                percent(branch.bytes, self.all),
                format::count(branch.files, "file")
            )),
            branch.bytes,
            colour.unwrap_or(PLAIN),
        )?;
        label(&branch.name, branch.bytes, place, out)?;
        let inner = Rectangle {
            x: x + MARGIN,
            y: y + STRIP,
            width: width - 2.0 * MARGIN,
            height: height - STRIP - MARGIN,
        };
        if inner.width > 2.0 && inner.height > 2.0 && !branch.children.is_empty() {
            // What is cut away keeps its room, so that areas can be compared.
            let mut weights: Vec<_> = branch.children.iter().map(|child| child.bytes).collect();
            weights.push(branch.own_bytes());
            let mut order: Vec<_> = (0..weights.len()).collect();
            order.sort_by_key(|index| std::cmp::Reverse(weights[*index]));
            let sorted: Vec<_> = order.iter().map(|index| weights[*index]).collect();
            for (index, place) in order.into_iter().zip(squarify(&sorted, inner)) {
                let Some(child) = branch.children.get(index) else { continue };
                let path = format!("{}/{}", path.trim_end_matches('/'), child.name);
                // What holds nearly everything says nothing by a colour of its own; what it holds does.
                let has_own = child.bytes / 9 < self.all / 10;
                let colour = colour.or_else(|| has_own.then_some(COLOURS[index % COLOURS.len()]));
                self.branch(child, &path, place, colour, out)?;
            }
        }
        out.write_str("</g>\n")
    }
}

/// The name and, where there is room, the size.
fn label(name: &str, bytes: u64, place: Rectangle, out: &mut String) -> Result {
    let room = ((place.width - 2.0 * MARGIN) / LETTER) as usize;
    if room < 3 || place.height < STRIP {
        return Ok(());
    }
    let size = format::bytes(bytes);
    let long = format!("{name} {size}");
    let text = match (long.chars().count() <= room, name.chars().count() <= room) {
        (true, _) => long,
        (_, true) => name.to_owned(),
        _ => name.chars().take(room - 1).chain(['…']).collect(),
    };
    writeln!(
        out,
        "<text x=\"{:.2}\" y=\"{:.2}\" fill=\"#111111\">{}</text>",
        place.x + MARGIN + 1.0,
        place.y + STRIP - 4.0,
        escape_xml(&text)
    )
}
