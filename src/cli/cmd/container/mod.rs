//! `reroot container`: for those who build images.

mod commit;
mod diff;
mod du;
mod export;
mod history;
mod inspect;
mod layers;
mod lint;
mod mount;
mod rechunk;
mod umount;

use std::path::PathBuf;

use crate::cli::args::{ForPlatform, Global};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::container::{Image, ImageDestination, Opened, Places, Source};
use crate::oci::push::Pushed;
use crate::ops::{Context, Error, Result};

/// Look at images and make others of them, for those who build them
///
/// Needs no host, and no privileges but for `mount`. An image is fetched into a store of its own, below $XDG_CACHE_HOME or ~/.cache:
/// `reroot --sysroot ~/.cache/reroot/store image list` shows what is there.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Lint(lint::Args),
    Inspect(inspect::Args),
    Layers(layers::Args),
    History(history::Args),
    Diff(diff::Args),
    Du(du::Args),
    Export(export::Args),
    Mount(mount::Args),
    #[command(alias = "unmount")]
    Umount(umount::Args),
    Rechunk(rechunk::Args),
    Commit(commit::Args),
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    match &args.command {
        Command::Lint(args) => lint::run(args, global, context, output),
        Command::Inspect(args) => inspect::run(args, global, context, output),
        Command::Layers(args) => layers::run(args, global, context, output),
        Command::History(args) => history::run(args, global, context, output),
        Command::Diff(args) => diff::run(args, global, context, output),
        Command::Du(args) => du::run(args, global, context, output),
        Command::Export(args) => export::run(args, global, context, output),
        Command::Mount(args) => mount::run(args, global, context, output),
        Command::Umount(args) => umount::run(args, global, context, output),
        Command::Commit(args) => commit::run(args, global, context, output),
        Command::Rechunk(args) => rechunk::run(args, global, context, output),
    }
}

/// Where images come to, and which.
#[derive(Debug, clap::Args)]
struct Where {
    /// Keep images in DIR
    #[arg(long, value_name = "DIR", env = "REROOT_STORE")]
    store: Option<PathBuf>,
    #[command(flatten)]
    platform: ForPlatform,
}

impl Where {
    fn places<'p>(&'p self, global: &'p Global) -> Places<'p> {
        Places::new(&global.sysroot, self.store.as_deref(), self.platform.platform.clone())
    }
}

/// What is looked at, as people give it.
const SOURCE: &str = "\
An image (HOST[:PORT]/REPOSITORY[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]), \
a directory (with a slash or `./` in front), or the number of a deployment";

#[derive(Debug, clap::Args)]
struct SourceArgument {
    /// What to look at
    #[arg(value_name = "SOURCE", long_help = SOURCE)]
    source: Source,
    #[command(flatten)]
    place: Where,
}

/// Where an image goes.
#[derive(Debug, clap::Args)]
struct To {
    /// Where to: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] or docker://HOST/REPOSITORY[:TAG]
    #[arg(short, long, value_name = "DEST")]
    output: ImageDestination,
}

/// What a registry was sent, for people.
fn pushed(pushed: Option<&Pushed>) -> String {
    let Some(Pushed { sent, sent_bytes, mounted, present }) = pushed else { return String::new() };
    format!(
        "Sent {} in {}; {mounted} mounted from other repositories, {present} already there\n",
        format::bytes(*sent_bytes),
        format::count(*sent as u64, "blob")
    )
}

/// The image of what was opened. An error for a directory, which has no layers.
fn image<'o>(opened: &'o Opened<'o>) -> Result<&'o Image<'o>> {
    opened
        .image
        .as_ref()
        .ok_or_else(|| Error::invalid(format!("{} is a directory and has no layers", opened.name)))
}
