//! `reroot`: sets up and hands over to [`reroot::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    reroot::cli::main(std::env::args_os())
}
