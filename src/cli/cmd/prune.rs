//! `reroot prune`

use super::{deployment, sysroot};
use crate::cli::args::{DryRun, Global};
use crate::cli::exit::Code;
use crate::cli::format;
use crate::cli::output::Output;
use crate::ops::{self, Context, PruneReport, Reason, Result};

/// Remove old deployments and everything in the store that nothing needs
///
/// Of each stateroot the first deployments in boot order are kept, as many as `retain` in the configuration says
/// (3 if it says nothing). The booted, the staged, the rollback and pinned deployments are always kept.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Keep N deployments of each stateroot this time
    #[arg(long, value_name = "N")]
    retain: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    dry_run: DryRun,
}

pub(in crate::cli) fn run(
    args: &Args,
    global: &Global,
    context: &Context<'_>,
    output: Output,
) -> Result<Code> {
    let mut config = context.config.clone();
    config.retain = args.retain.unwrap_or(config.retain);
    let context = Context { config: &config, ..*context };
    let report = ops::prune(&sysroot(global, &context)?, args.dry_run.run(), &context)?;
    output.show(&report, pruned)?;
    Ok(Code::Done)
}

fn pruned(report: &PruneReport) -> String {
    let mut text = String::new();
    for kept in &report.kept {
        let reasons: Vec<_> = kept.reasons.iter().map(|r| reason(*r, report.retain)).collect();
        text +=
            &format!("Keeping {}: {}\n", deployment(kept.key.id, &kept.key.stateroot), reasons.join(", "));
    }
    let verb = if report.dry_run { "Would remove" } else { "Removed" };
    for removed in &report.removed {
        let unique = removed.unique_bytes.map(|b| format!(", {} of its own", format::bytes(b)));
        text += &format!(
            "{verb} {} ({}{})\n",
            deployment(removed.id, &removed.stateroot),
            removed.reference,
            unique.unwrap_or_default()
        );
    }
    let collected = &report.collected;
    text += &format!(
        "{verb} {} and {} from the store; {} {}\n",
        format::count(collected.images, "image"),
        format::count(collected.objects, "file"),
        format::bytes(report.freed_bytes),
        if report.dry_run { "would be freed" } else { "freed" },
    );
    text
}

fn reason(reason: Reason, retain: usize) -> String {
    match reason {
        Reason::Booted => "booted".into(),
        Reason::Staged => "staged".into(),
        Reason::Default => "first in boot order".into(),
        Reason::Rollback => "to roll back to".into(),
        Reason::Pinned => "pinned".into(),
        Reason::Retained => format!("among the {retain} retained"),
    }
}
