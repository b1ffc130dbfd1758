//! Words in, words out: arguments, progress, results for people and for programs, hints and exit codes.
//!
//! stdout holds the result and nothing else; progress, warnings and errors go to stderr. Decides nothing: every
//! file in [`cmd`] calls one operation of [`crate::ops`] and shows its report.

#![allow(rustdoc::broken_intra_doc_links, reason = "help texts write `[:TAG]` and mean no link")]

mod apply;
mod args;
mod cmd;
mod editor;
mod error;
mod exit;
mod format;
mod logging;
mod output;
mod progress;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::env::Env;
use crate::fsx::lock::Wait;
use crate::ops::{self, Context};
use crate::progress::Event;
use args::Arguments;
use output::Output;

/// The command `reroot` with its help, for man pages and completions.
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Runs the program and gives its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to stdout and is no failure; a closed pipe is nobody's.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    arguments.global.color.write_global();
    match &arguments.command {
        #[cfg(feature = "agent")]
        args::Command::Agent(command) if command.is_service() => logging::of_service(),
        _ => logging::of_command(),
    }
    match run(&arguments) {
        Ok(code) => code.into(),
        Err(error) => error::report(&error).into(),
    }
}

fn run(arguments: &Arguments) -> Result<exit::Code, ops::Error> {
    let env = Env::from_process();
    let global = &arguments.global;
    let reporter = progress::reporter(global)?;
    let config = match ops::config::load(&env) {
        // A typing mistake must not keep anybody from looking at the system or from rolling back.
        Err(error) if !arguments.command.needs_config() => {
            reporter.report(Event::Warning(&format!("{error}; going on without the configuration")));
            // Nor must it remove what the configuration would keep.
            ops::Config { prune_after_boot: false, ..ops::Config::default() }
        }
        config => config?,
    };
    let wait = match global.wait {
        None => Wait::No,
        Some(None) => Wait::Forever,
        Some(Some(seconds)) => Wait::For(std::time::Duration::from_secs(seconds)),
    };
    let context = Context { env: &env, config: &config, reporter: &*reporter, wait, limit_rate: None };
    let output = Output::new(global.json);
    arguments.command.run(global, &context, output)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
