//! A program that says nothing when all is well.

use std::process::Command;

use crate::ops::{Error, Result};

/// Runs it to its end; what it says is in the error.
pub fn run(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("the program {program} is not installed")),
        _ => Error::io(format!("running {program}"))(error),
    };
    let output = command.output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let said = crate::names::printable(said.join("; ").as_bytes());
    Err(Error::io(format!("running {program}"))(std::io::Error::other(format!("{}: {said}", output.status))))
}
