//! Restarting the machine when a command asks for it.

use super::output::Output;
use crate::ops::{self, Applied, Apply, Context, Result};
use crate::sysroot::Sysroot;

/// Whether what was done is booted at once.
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArguments {
    /// Reboot, when that brings another deployment than the one that runs
    #[arg(long, conflicts_with = "dry_run")]
    apply: bool,
    /// As --apply, without a new kernel: `auto` where that is possible, `required` or not at all
    ///
    /// Needs the same kernel, initramfs and kernel arguments in both deployments. What is staged is
    /// finalized at once then.
    #[arg(long, value_name = "WHEN", conflicts_with = "dry_run")]
    soft_reboot: Option<SoftReboot>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SoftReboot {
    Auto,
    Required,
}

impl ApplyArguments {
    /// Goes over to what boots next, when asked to.
    pub fn apply(&self, sysroot: &Sysroot, context: &Context<'_>, output: Output) -> Result<()> {
        let how = match (self.soft_reboot, self.apply) {
            (Some(SoftReboot::Required), _) => Apply::SoftReboot,
            (Some(SoftReboot::Auto), _) => Apply::SoftRebootOrReboot,
            (None, true) => Apply::Reboot,
            (None, false) => return Ok(()),
        };
        output.show(&ops::apply(sysroot, how, context)?, |applied| match applied {
            Applied::Nothing => "No reboot: it would bring what runs already\n".into(),
            Applied::Rebooting(key) => format!("Rebooting to {key}\n"),
            Applied::SoftRebooting(key) => format!("Going over to {key} by a soft reboot\n"),
        })
    }
}
