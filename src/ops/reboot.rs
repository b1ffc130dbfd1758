//! Restarting the machine in order: what is staged becomes bootable on the way down.

use std::process::Command;

use super::program::run;
use super::{Result, ResultExt};
use crate::env::Env;

/// Asks systemd to restart the machine, and returns at once.
pub fn reboot(env: &Env) -> Result<()> {
    let mut command = Command::new("systemctl");
    command.arg("reboot").env_clear().envs(&env.vars);
    run(command).context(|| "restarting the machine")
}
