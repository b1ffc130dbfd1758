//! `reroot container lint`

use std::path::PathBuf;

use super::{SOURCE, Where};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::{Output, print};
use crate::container::lint::{
    LINTS, LintReport, OF_IMAGE, Outcome, Report, Settings, Subject, github, markdown, run as lint, sarif,
};
use crate::container::{Image, Opened, Source};
use crate::fsx;
use crate::ops::{Context, Error, Result};

/// So many findings of one lint are shown.
const SHOWN: usize = 5;
/// A file of settings is written by hand.
const LARGEST: u64 = 1 << 20;

/// Say what is wrong with an image for the machines that will run it
///
/// Looks at an image, or at a directory with an unpacked root: at `/` by default,
/// so that the last line of a Containerfile can be `RUN reroot container lint`.
/// Ends with 1 when there is an error, or a warning with --fatal-warnings.
///
/// Examples:
///   reroot container lint --list
///   reroot container lint oci:target/image:os
///   reroot container lint --rootfs ./root --skip var-log --format sarif
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// What to look at
    #[arg(value_name = "SOURCE", long_help = SOURCE, conflicts_with = "rootfs")]
    source: Option<Source>,
    /// Look at the unpacked root in DIR
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// What it was built on: an image, a directory or a deployment
    #[arg(long, value_name = "SOURCE")]
    base: Option<Source>,
    /// Do not look for this
    #[arg(long, value_name = "LINT")]
    skip: Vec<String>,
    /// End with 1 for warnings as well
    #[arg(long)]
    fatal_warnings: bool,
    /// Settings, in place of those in /usr/lib/reroot/lint.toml of the image
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List what is looked for
    #[arg(long)]
    list: bool,
    /// How to print what was found
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Show all findings of each lint
    #[arg(long)]
    no_truncate: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// One object: docs/lints.md
    Json,
    /// For code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
    /// With --list: the page of the documentation
    Markdown,
}

pub(super) fn run(args: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    if args.list {
        list(args.format, output)?;
        return Ok(Code::Done);
    }
    if args.format == Format::Markdown {
        return Err(Error::invalid("markdown is the format of --list"));
    }
    for id in &args.skip {
        Settings::default().skip(id)?;
    }
    let places = args.place.places(global);
    let source = args
        .source
        .clone()
        .unwrap_or_else(|| Source::Directory(args.rootfs.clone().unwrap_or_else(|| "/".into())));
    let opened = places.open(&source, context)?;
    let base = args.base.as_ref().map(|base| places.open(base, context)).transpose()?;
    let settings = settings(args, &opened)?;
    let subject = Subject {
        root: &opened.root,
        image: opened.image.as_ref(),
        base: base.as_ref().map(|base| &base.root),
        epoch: opened.image.as_ref().map(|image| epoch(context, image)).transpose()?.flatten(),
        architecture: opened.architecture(),
    };
    let report = lint(&subject, &settings, &opened.name);
    match args.format {
        Format::Text => output.show(&report, |report| text(report, args.no_truncate))?,
        Format::Json => Output::new(true).show(&report, |_| String::new())?,
        Format::Sarif => Output::new(true).show(&sarif(&report), |_| String::new())?,
        Format::Github => print(&github(&report))?,
        Format::Markdown => {}
    }
    Ok(if report.is_fatal(settings.fatal_warnings) { Code::Failed } else { Code::Done })
}

fn settings(args: &Args, opened: &Opened<'_>) -> Result<Settings> {
    let mut settings = match &args.config {
        Some(path) => {
            let name = path.display().to_string();
            let failed = || Error::io(format!("reading {name}"));
            let file = fsx::open_file(path).map_err(failed())?;
            let text = std::io::read_to_string(std::io::Read::take(file, LARGEST)).map_err(failed())?;
            Settings::parse(&text, &name)?
        }
        None => match opened.root.text(OF_IMAGE, LARGEST)? {
            Some(text) => Settings::parse(&text, &format!("/{OF_IMAGE}"))?,
            None => Settings::default(),
        },
    };
    for id in &args.skip {
        settings.skip(id)?;
    }
    settings.fatal_warnings |= args.fatal_warnings;
    Ok(settings)
}

/// What reproducible builds go by (reproducible-builds.org, SOURCE_DATE_EPOCH), or what the image says of itself.
/// Builders give files this time when they write the image: in a directory they do not have it yet.
fn epoch(context: &Context<'_>, image: &Image<'_>) -> Result<Option<i64>> {
    if let Some(seconds) = context.env.source_date_epoch().map_err(Error::invalid)? {
        return Ok(Some(seconds));
    }
    let created = image.config.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    // A file that is made in the last second of the build is not newer.
    Ok(created.map(|created| created.as_second() + 1))
}

fn list(format: Format, output: Output) -> Result<()> {
    match format {
        Format::Markdown => print(&markdown()),
        Format::Json => Output::new(true).show(&listed(), |_| String::new()),
        Format::Sarif | Format::Github => Err(Error::invalid("a list is text, json or markdown")),
        Format::Text => output.show(&listed(), |listed| {
            let rows = listed.iter().map(|lint| vec![lint.id.into(), lint.level.into(), lint.about.into()]);
            format::table(&["LINT", "LEVEL", "WANTED"], rows, &[])
        }),
    }
}

#[derive(serde::Serialize)]
struct Listed {
    id: &'static str,
    level: &'static str,
    about: &'static str,
    why: &'static str,
    fix: &'static str,
}

fn listed() -> Vec<Listed> {
    let listed = |lint: &&crate::container::lint::Lint| Listed {
        id: lint.id,
        level: lint.level.name(),
        about: lint.about,
        why: lint.why,
        fix: lint.fix,
    };
    LINTS.iter().map(listed).collect()
}

fn text(report: &Report, all: bool) -> String {
    let mut out = String::new();
    for lint in report.lints.iter().filter(|lint| lint.outcome == Outcome::Found) {
        out += &findings(lint, all);
    }
    out += &format!(
        "{}: {} passed, {} skipped, {}, {}",
        report.name,
        report.with(Outcome::Passed),
        report.with(Outcome::Skipped),
        format::count(report.errors as u64, "error"),
        format::count(report.warnings as u64, "warning"),
    );
    if report.allowed > 0 {
        out += &format!(" ({} allowed)", report.allowed);
    }
    out.push('\n');
    out
}

fn findings(lint: &LintReport, all: bool) -> String {
    let mut out = String::new();
    let shown = if all { lint.findings.len() } else { SHOWN };
    for finding in lint.findings.iter().take(shown) {
        let path = finding.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
        out += &format!("{} {}: {path}{}\n", lint.level.name(), lint.id, finding.message);
    }
    if lint.findings.len() > shown {
        out += &format!("  … and {} more (--no-truncate)\n", lint.findings.len() - shown);
    }
    out += &format!("  fix: {}\n", lint.fix);
    out
}
