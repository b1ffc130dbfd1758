//! `reroot image list`

use super::super::{deployment, sysroot};
use crate::cli::args::Global;
use crate::cli::format;
use crate::cli::output::Output;
use crate::names::printable;
use crate::ops::image::{ImageList, list};
use crate::ops::{Context, Result};

/// List the images in the store and what keeps them there
#[derive(Debug, clap::Args)]
#[command(alias = "ls")]
pub(super) struct Args {}

pub(super) fn run(_: &Args, global: &Global, context: &Context<'_>, output: Output) -> Result<()> {
    let report = list(&sysroot(global, context)?)?;
    output.show(&report, |report| text(report, context.env.unix_time()))
}

fn text(report: &ImageList, now: u64) -> String {
    if report.images.is_empty() {
        return "No images. `reroot image pull IMAGE` fetches one.\n".into();
    }
    let rows = report.images.iter().map(|image| {
        let mut kept: Vec<String> = image.references.clone();
        kept.extend(image.deployments.iter().map(|key| deployment(key.id, &key.stateroot)));
        vec![
            format::short_digest(&image.digest),
            image.version.as_deref().map_or("-".into(), |v| printable(v.as_bytes())),
            format::age(image.pulled, now),
            image.size_bytes.map_or("-".into(), format::bytes),
            if kept.is_empty() { "nothing (goes at the next prune)".into() } else { kept.join(", ") },
        ]
    });
    format::table(&["DIGEST", "VERSION", "PULLED", "SIZE", "KEPT BY"], rows, &[3])
}
