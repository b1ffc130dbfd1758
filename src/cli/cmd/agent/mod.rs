//! `reroot agent`

mod check_config;
mod hold;
mod run;
mod simulate;
mod status;

use crate::agent::runtime::{Nudge, nudge};
use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::{Output, print};
use crate::ops::{Context, Error, Result};

/// Update by itself: at the right time, in the right order, never to what failed before
///
/// The agent looks for updates, stages them, and restarts when it may. reroot-agent.service runs it all the time,
/// reroot-update.timer now and then. Its configuration is in /etc/reroot/agent.d.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(run::Args),
    Status(status::Args),
    CheckConfig(check_config::Args),
    Hold(hold::Args),
    Release(hold::ReleaseArgs),
    UpdateNow(UpdateNow),
    Simulate(simulate::Args),
}

/// Look for an update now, and install it without waiting for a maintenance window or for people who are logged in
///
/// The fleet's lock is asked for all the same, and what failed on this machine is not installed.
#[derive(Debug, clap::Args)]
struct UpdateNow {}

impl Args {
    /// Whether the command runs as a service: it writes to the journal then.
    pub(in crate::cli) fn is_service(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    match &args.command {
        Command::Run(args) => run::run(args, global, context),
        Command::Status(args) => status::run(args, context, output),
        Command::CheckConfig(args) => check_config::run(args, context, output),
        Command::Hold(args) => hold::hold(args, context, output),
        Command::Release(args) => hold::release(args, context, output),
        Command::UpdateNow(UpdateNow {}) => update_now(context),
        Command::Simulate(args) => simulate::run(args, context, output),
    }
}

fn update_now(context: &Context<'_>) -> Result<Code> {
    if !nudge(context.env, Nudge::UpdateNow)? {
        return Err(Error::not_found(
            "no agent runs; `systemctl start reroot-agent` starts one, and `reroot upgrade --apply` updates without",
        ));
    }
    print("The agent looks for an update; `reroot agent status` tells how it goes on\n")?;
    Ok(Code::Done)
}
