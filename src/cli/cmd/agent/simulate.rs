//! `reroot agent simulate`

use std::path::{Path, PathBuf};

use crate::agent::config;
use crate::agent::simulate::{Plan, simulate, svg, text};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::fsx;
use crate::ops::{Context, Error, Result};

/// Nobody writes a longer plan.
const LIMIT: u64 = 1 << 20;

/// Try a rollout on a simulated fleet
///
/// Runs the agent's own decisions for every host of the plan, with a clock, releases, a graph server and a lock server
/// that are simulated, and shows how the releases spread. Nothing is asked of any server.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plan: hosts, releases, how they are rolled out (docs/agent.md)
    #[arg(value_name = "PLAN.toml")]
    plan: PathBuf,
    /// Write the curve as a picture
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context<'_>, output: Output) -> Result<Code> {
    let plan = Plan::parse(&read(&args.plan)?, &args.plan.display().to_string())?;
    let settings = match &plan.config {
        None => config::parse("", "", context.env)?,
        Some(name) => {
            let file = args.plan.parent().unwrap_or(Path::new("")).join(name);
            config::parse(&read(&file)?, &file.display().to_string(), context.env)?
        }
    };
    let outcome = simulate(&plan, &settings);
    if let Some(file) = &args.svg {
        write(file, &svg(&outcome))?;
    }
    output.show(&outcome, text)?;
    Ok(Code::Done)
}

fn read(file: &Path) -> Result<String> {
    let (directory, name) = split(file)?;
    let read = || fsx::read_limited(&fsx::open_dir(directory)?, name, LIMIT);
    let reading = || format!("reading {}", file.display());
    let bytes = read().map_err(Error::io(reading()))?;
    let bytes = bytes.ok_or_else(|| Error::not_found(format!("{} does not exist", file.display())))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{}: not UTF-8", file.display())))
}

fn write(file: &Path, text: &str) -> Result<()> {
    let (directory, name) = split(file)?;
    fsx::open_dir(directory)
        .and_then(|directory| fsx::write_atomic(&directory, name, text.as_bytes(), 0o644))
        .map_err(Error::io(format!("writing {}", file.display())))
}

fn split(file: &Path) -> Result<(&Path, &str)> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::invalid(format!("{} names no file", file.display())))?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((directory.unwrap_or(Path::new(".")), name))
}
