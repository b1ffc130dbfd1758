//! `reroot man`

use std::path::PathBuf;

use crate::cli::exit::Code;
use crate::cli::output;
use crate::fsx;
use crate::ops::{Error, Result, ResultExt};

/// Print the manual page of reroot, or write all pages into a directory
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Write reroot.8, reroot-deploy.8 and so on into DIR
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// As one page of Markdown: docs/commands.md
    #[arg(long, conflicts_with = "output")]
    markdown: bool,
}

/// Columns of a help text on a page.
const WIDTH: usize = 100;
const HEAD: &str = "\
# Commands

What `reroot COMMAND --help` says, made by `reroot man --markdown`. `man reroot-COMMAND` has the same. The global options are the same
everywhere and stand once.
";

pub(in crate::cli) fn run(args: &Args) -> Result<Code> {
    let mut command = crate::cli::command();
    command.build();
    if args.markdown {
        output::print(&markdown(&command))?;
        return Ok(Code::Done);
    }
    match &args.output {
        None => {
            let page = String::from_utf8(page(&command)?).map_err(|e| Error::bug(e.to_string()))?;
            output::print(&page)?;
        }
        Some(directory) => {
            let shown = directory.display();
            let dir = fsx::open_dir(directory).map_err(Error::io(format!("opening {shown}")))?;
            write_all(&command, "reroot", &dir).context(|| format!("writing manual pages to {shown}"))?;
        }
    }
    Ok(Code::Done)
}

/// The help of all commands, each after those above it.
fn markdown(command: &clap::Command) -> String {
    let mut page = HEAD.to_owned();
    let mut open = vec![("reroot".to_owned(), command.clone())];
    let mut is_first = true;
    while let Some((name, command)) = open.pop() {
        // What is set in the environment of whoever makes the page is nobody's business.
        let mut shown = command.clone().term_width(WIDTH).mut_args(|arg| arg.hide_env_values(true));
        let help = shown.render_long_help().to_string();
        let help = if is_first { &help } else { help.split("Global options:").next().unwrap_or_default() };
        is_first = false;
        page += &format!("\n## {name}\n\n```text\n");
        help.trim_end().lines().for_each(|line| page += &format!("{}\n", line.trim_end()));
        page += "```\n";
        let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        let mut below: Vec<_> =
            below.map(|sub| (format!("{name} {}", sub.get_name()), sub.clone())).collect();
        below.reverse();
        open.extend(below);
    }
    page
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .section("8")
        .render(&mut page)
        .map_err(Error::io("writing a manual page"))?;
    Ok(page)
}

/// `reroot image pull` has the page `reroot-image-pull.8`, as git's commands have theirs.
fn write_all(command: &clap::Command, name: &str, dir: &fsx::Dir) -> Result<()> {
    let named = command.clone().name(name.to_owned()).bin_name(name.replace('-', " "));
    fsx::write_atomic(dir, &format!("{name}.8"), &page(&named)?, 0o644)
        .map_err(Error::io(format!("writing {name}.8")))?;
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        write_all(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(())
}
