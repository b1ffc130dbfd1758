//! `reroot completions`

use crate::cli::exit::Code;
use crate::cli::output;
use crate::ops::{Error, Result};

/// Print a completion script for a shell
///
/// For bash: reroot completions bash > /usr/share/bash-completion/completions/reroot
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    shell: clap_complete::Shell,
}

pub(in crate::cli) fn run(args: &Args) -> Result<Code> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "reroot", &mut script);
    output::print(&String::from_utf8(script).map_err(|e| Error::bug(e.to_string()))?)?;
    Ok(Code::Done)
}
