//! Restarting the machine in order: what is staged becomes bootable on the way down.

use std::process::Command;

use super::program::run;
use super::{Result, ResultExt};

/// Asks systemd to restart the machine, and returns at once.
pub fn reboot() -> Result<()> {
    let mut command = Command::new("systemctl");
    command.arg("reboot");
    run(command).context(|| "restarting the machine")
}
