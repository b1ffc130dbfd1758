//! One file for each subcommand: its arguments, the operation it calls, and the words for the report.

#[cfg(feature = "agent")]
pub(super) mod agent;
pub(super) mod boot_complete;
pub(super) mod boot_once;
pub(super) mod completions;
pub(super) mod container;
pub(super) mod deploy;
pub(super) mod diff;
pub(super) mod etc;
pub(super) mod finalize_staged;
pub(super) mod fsck;
pub(super) mod history;
pub(super) mod image;
pub(super) mod init;
pub(super) mod install;
pub(super) mod kargs;
pub(super) mod man;
pub(super) mod mark_bad;
pub(super) mod mark_good;
pub(super) mod pin;
pub(super) mod prune;
pub(super) mod rollback;
pub(super) mod status;
pub(super) mod switch;
pub(super) mod undeploy;
pub(super) mod unpin;
pub(super) mod unstage;
pub(super) mod upgrade;
pub(super) mod usr_overlay;

use super::args::Global;
use super::format;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::ops::{Context, Deployed, FetchPlan, Finalization, ImageStatus, Result};
use crate::sysroot::{DeploymentId, Sysroot};

fn sysroot(global: &Global, context: &Context<'_>) -> Result<Sysroot> {
    Ok(Sysroot::open(&global.sysroot, context.env)?)
}

/// `7`, with the stateroot when that is not the default one.
fn deployment(id: DeploymentId, stateroot: &StaterootName) -> String {
    if *stateroot == StaterootName::default() {
        format!("deployment {id}")
    } else {
        format!("deployment {id} of stateroot {stateroot}")
    }
}

/// `docker://quay.io/a/b:1, version 13.1`.
fn image(image: &ImageStatus) -> String {
    match &image.version {
        Some(version) => {
            format!("{}, version {}", image.reference, crate::names::printable(version.as_bytes()))
        }
        None => image.reference.clone(),
    }
}

/// What a fetch would cost.
fn cost(fetch: &FetchPlan) -> String {
    if fetch.stored {
        return "everything is in the store already".into();
    }
    format!(
        "{} to fetch ({} of {}), {} in the store",
        format::count(fetch.layers_new as u64, "layer"),
        format::bytes(fetch.fetch_bytes),
        format::bytes(fetch.total_bytes),
        fetch.layers_known
    )
}

/// What a pull did, in a line.
fn pulled(pulled: &crate::ops::pull::Pulled) -> String {
    if pulled.unchanged {
        return "Nothing to fetch: the image was in the store\n".into();
    }
    format!(
        "Pulled {} of {} ({} fetched; {} in {} new, {} shared)\n",
        pulled.layers_fetched,
        format::count((pulled.layers_fetched + pulled.layers_reused) as u64, "layer"),
        format::bytes(pulled.bytes_fetched),
        format::bytes(pulled.new_bytes),
        format::count(pulled.new_objects, "file"),
        format::bytes(pulled.shared_bytes)
    )
}

/// What deploy, upgrade and switch say at the end.
fn deployed(report: &Deployed) -> String {
    let name = deployment(report.id, &report.stateroot);
    if report.unchanged {
        let mut text = format!("No change: {name} is {} already\n", image(&report.image));
        if report.staged {
            text += waiting(report.locked);
        }
        return text;
    }
    if report.dry_run {
        let verb = if report.staged { "stage" } else { "make" };
        return format!("Would {verb} {name} from {}: {}\n", image(&report.image), cost(&report.fetch));
    }
    let mut text = report.pulled.as_ref().map(pulled).unwrap_or_default();
    if report.staged {
        text += &format!("Staged {name} from {}\n", image(&report.image));
        text += waiting(report.locked);
    } else {
        text += &format!("Made {name} from {}\n", image(&report.image));
        text += "It is first in boot order\n";
    }
    text
}

/// What a staged deployment waits for.
fn waiting(locked: bool) -> &'static str {
    match locked {
        true => "It waits until `reroot finalize-staged --unlock` or `reroot upgrade --from-downloaded`\n",
        false => "It boots at the next reboot\n",
    }
}

/// Whether a staged deployment waits to be unlocked.
fn finalization(locked: bool) -> Finalization {
    if locked { Finalization::Locked } else { Finalization::AtShutdown }
}

/// An image as people give it.
#[derive(Debug, clap::Args)]
pub(super) struct ImageArgument {
    /// Where the image is
    ///
    /// HOST[:PORT]/REPOSITORY[:TAG][@DIGEST] (docker:// in front may be left away), oci:DIR[:TAG],
    /// oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]
    #[arg(value_name = "IMAGE")]
    image: ImageReference,
}
