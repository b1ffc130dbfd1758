//! `reroot image`: the images in the store, apart from deployments.

mod checkout;
pub(super) mod history;
mod inspect;
mod list;
mod pull;
mod remove;

use crate::cli::args::Global;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{Context, Result};

/// Work with images in the store
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Pull(pull::Args),
    List(list::Args),
    Inspect(inspect::Args),
    History(history::Args),
    Checkout(checkout::Args),
    Rm(remove::Args),
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    match &args.command {
        Command::Pull(args) => pull::run(args, global, context, output),
        Command::List(args) => list::run(args, global, context, output),
        Command::Inspect(args) => inspect::run(args, global, context, output),
        Command::History(args) => history::run(args, global, context, output),
        Command::Checkout(args) => checkout::run(args, global, context, output),
        Command::Rm(args) => remove::run(args, global, context, output),
    }
    .map(|()| Code::Done)
}

/// An image that is in the store.
#[derive(Debug, clap::Args)]
struct StoredImage {
    /// An image in the store: its reference or its digest
    #[arg(value_name = "IMAGE")]
    image: String,
}
