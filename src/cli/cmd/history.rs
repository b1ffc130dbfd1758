//! `reroot history`

use super::sysroot;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::{StaterootName, printable};
use crate::ops::{self, Context, HistoryEntry, HistoryOptions, HistoryReport, Result};

/// What a line of output may have.
const WIDTH: usize = 80;
/// Of what does not fit behind the columns.
const INDENT: &str = "    ";

/// Show what happened to the deployments, the newest last
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Show the newest N events only
    #[arg(short, long, value_name = "N")]
    number: Option<usize>,
    /// Show the events of one OS line only
    #[arg(long, value_name = "NAME")]
    stateroot: Option<StaterootName>,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let options = HistoryOptions { limit: args.number, stateroot: args.stateroot.clone() };
    output.show(&ops::history(&sysroot(global, context)?, &options)?, text)?;
    Ok(Code::Done)
}

fn text(report: &HistoryReport) -> String {
    let mut out = String::new();
    let names: Vec<String> = report.events.iter().map(name).collect();
    let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let name_width = widest(&mut names.iter().map(|name| name.chars().count()));
    let event_width = widest(&mut report.events.iter().map(|e| e.event.to_string().len()));
    for (event, name) in report.events.iter().zip(&names) {
        let columns = format!("{}  {name:>name_width$}  {:<event_width$}", event.time, event.event);
        out += &with_details(&columns, &details(event));
    }
    if report.events.is_empty() {
        out += "No events.\n";
    }
    if report.damaged_lines > 0 {
        out += &format!("\n{} cannot be read\n", format::count(report.damaged_lines as u64, "line"));
    }
    if report.newer_lines > 0 {
        let lines = format::count(report.newer_lines as u64, "line");
        out += &format!("\n{lines} of a newer version of reroot cannot be read\n");
    }
    out
}

/// `7`, with the stateroot when that is not the default one.
fn name(event: &HistoryEntry) -> String {
    match event.stateroot == StaterootName::default() {
        true => event.id.to_string(),
        false => format!("{}/{}", event.stateroot, event.id),
    }
}

/// Which image, why, who.
fn details(event: &HistoryEntry) -> String {
    let printed = |text: &Option<String>| text.as_ref().map(|text| printable(text.as_bytes()));
    let image = match (printed(&event.reference), printed(&event.image_version)) {
        (Some(reference), Some(version)) => Some(format!("{reference}, version {version}")),
        (reference, version) => reference.or(version.map(|version| format!("version {version}"))),
    };
    let by = printed(&event.by).map(|by| format!("(by {by})"));
    let parts: Vec<String> = [image, printed(&event.reason)].into_iter().flatten().collect();
    let words: Vec<String> = [Some(parts.join(": ")), by].into_iter().flatten().collect();
    words.join(" ").trim_start().into()
}

/// Behind the columns if it fits, else below them.
fn with_details(columns: &str, details: &str) -> String {
    let line = format!("{columns}  {details}");
    if line.chars().count() <= WIDTH {
        return format!("{}\n", line.trim_end());
    }
    let mut out = format!("{}\n", columns.trim_end());
    let mut line = String::new();
    for word in details.split(' ') {
        let length = INDENT.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > WIDTH {
            out += &format!("{INDENT}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &format!("{INDENT}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysroot::EventKind;

    fn entry(id: u64, event: EventKind) -> HistoryEntry {
        HistoryEntry {
            time: jiff::Timestamp::from_second(1_767_322_800).unwrap(),
            boot_id: None,
            event,
            stateroot: StaterootName::default(),
            id: crate::sysroot::DeploymentId::new(id).unwrap(),
            reference: None,
            digest: None,
            image_version: None,
            reason: None,
            by: None,
        }
    }

    #[test]
    fn a_line_has_eighty_characters_and_what_does_not_fit_comes_below() {
        let image = ("docker://quay.io/acme/os:stable".to_owned(), "13.1".to_owned());
        let deployed = HistoryEntry {
            reference: Some(image.0.clone()),
            image_version: Some(image.1.clone()),
            ..entry(10, EventKind::Deployed)
        };
        let staged = HistoryEntry { by: Some("anna".into()), ..entry(10, EventKind::Staged) };
        let version = HistoryEntry { image_version: Some("13.1".into()), ..entry(9, EventKind::Pinned) };
        let failed = HistoryEntry {
            stateroot: "os".parse().unwrap(),
            reason: Some(
                "merging /etc: /etc/fstab is a directory in the new image and a file here; remove it \x1b[1m"
                    .into(),
            ),
            ..entry(9, EventKind::FinalizeFailed)
        };
        let report = HistoryReport {
            version: 1,
            events: vec![deployed, staged, version, failed],
            damaged_lines: 1,
            newer_lines: 2,
        };
        insta::assert_snapshot!(text(&report), @r"
        2026-01-02T03:00:00Z    10  deployed
            docker://quay.io/acme/os:stable, version 13.1
        2026-01-02T03:00:00Z    10  staged           (by anna)
        2026-01-02T03:00:00Z     9  pinned           version 13.1
        2026-01-02T03:00:00Z  os/9  finalize-failed
            merging /etc: /etc/fstab is a directory in the new image and a file here;
            remove it \u{1b}[1m

        1 line cannot be read

        2 lines of a newer version of reroot cannot be read
        ");
        assert!(text(&report).lines().all(|line| line.chars().count() <= WIDTH));
    }
}
