//! `reroot usr-overlay`

use super::sysroot;
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{Context, Result, usr_overlay::usr_overlay};

/// Make /usr writable until the next boot
///
/// For trying something out, or for a debugger. The deployment is not changed, and another one is not hindered.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

pub(in crate::cli) fn run(_: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<Code> {
    let report = usr_overlay(&sysroot(global, context)?, context)?;
    output.show(&report, |report| {
        format!(
            "/usr can be written until the next boot; changes are kept in {} until then\n",
            report.directory
        )
    })?;
    Ok(Code::Done)
}
