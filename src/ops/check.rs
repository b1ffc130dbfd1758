//! Asking whether an upgrade would bring anything, from metadata alone.

use serde::Serialize;

use super::diff::{self, Times};
use super::fetch::{FetchPlan, Resolved};
use super::files::View;
use super::image::ImageFacts;
use super::packages::PackageDiff;
use super::publish::Finalization;
use super::status::{FailedImageStatus, ImageStatus};
use super::upgrade::{Downgrade, Start, UpgradeOptions};
use super::{Context, KnownFailed, Result};
use crate::layer;
use crate::names::StaterootName;
use crate::progress::Event;
use crate::repo::{Repo, Tree};
use crate::sysroot::{DeploymentId, DeploymentKey, Sysroot};

/// The version of the JSON.
const VERSION: u32 = 1;

/// What `upgrade --check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateCheck {
    pub version: u32,
    /// True when `upgrade` would make a deployment.
    pub available: bool,
    /// Why it would not make one, although there is another image.
    pub refused: Option<Refused>,
    /// The deployment that an upgrade would start from.
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// Whether that one is staged.
    pub staged: bool,
    /// Whether it waits to be unlocked as well.
    pub locked: bool,
    /// What it was made from.
    pub current: ImageStatus,
    /// What it follows, as it is now.
    pub latest: ImageStatus,
    /// Whether the latest was built before what runs.
    pub downgrade: bool,
    /// What is known against the latest: it failed here.
    pub failed: Option<FailedImageStatus>,
    pub fetch: FetchPlan,
    /// From what runs to the latest; `None` when they are the same, or something of the latest would have to be fetched first.
    pub changes: Option<Changes>,
}

/// Why an image is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// It is older than what runs.
    Downgrade,
    /// It failed here.
    Failed,
}

/// What an upgrade changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The deployment that it is compared with: the booted one, else the first in boot order.
    pub from: DeploymentKey,
    pub files: ChangedFiles,
    pub packages: PackageDiff,
}

/// How many. Once the image is deployed, `diff` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedFiles {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
}

/// Looks up what the first deployment in boot order follows. Changes nothing.
pub fn check_upgrade(
    sysroot: &Sysroot,
    options: &UpgradeOptions,
    context: &Context<'_>,
) -> Result<UpdateCheck> {
    let start = Start::observe(sysroot, options.stateroot.as_ref())?;
    let resolved = start.resolve(options, context)?;
    let facts = ImageFacts::of_config(&resolved.image.config);
    let record = &start.deployment.record;
    let failed = sysroot.failed_image(&record.stateroot, resolved.digest())?;
    let downgrade = start.ages_of_downgrade(&resolved).is_some();
    let is_new = !start.is_at(&resolved);
    let refused = refused(
        failed.is_some() && options.failed == KnownFailed::Refuse,
        downgrade && options.downgrade == Downgrade::Refuse,
    );
    let fetch = resolved.plan(sysroot.repo())?;
    let changes = changes(sysroot.repo(), &start, &resolved, &fetch).unwrap_or_else(|error| {
        context.reporter.report(Event::Warning(&format!("what would change is not known: {error}")));
        None
    });
    Ok(UpdateCheck {
        version: VERSION,
        available: is_new && refused.is_none(),
        refused: refused.filter(|_| is_new),
        id: record.id,
        stateroot: record.stateroot.clone(),
        staged: start.staged.is_some(),
        locked: start.staged == Some(Finalization::Locked),
        current: ImageStatus::from(record.image.clone()),
        latest: ImageStatus::new(&resolved.reference, *resolved.digest(), facts),
        downgrade,
        failed: failed.map(Into::into),
        fetch,
        changes,
    })
}

/// As `upgrade` asks.
fn refused(failed: bool, downgrade: bool) -> Option<Refused> {
    match (failed, downgrade) {
        (true, _) => Some(Refused::Failed),
        (false, true) => Some(Refused::Downgrade),
        (false, false) => None,
    }
}

fn changes(repo: &Repo, start: &Start, resolved: &Resolved, fetch: &FetchPlan) -> Result<Option<Changes>> {
    let running = &start.running.record;
    if running.image.digest == *resolved.digest() {
        return Ok(None);
    }
    let Some(new) = tree(repo, resolved, fetch)? else { return Ok(None) };
    let old = repo.read_tree(&running.tree)?;
    let (old, new) = (View { tree: &old, contents: repo }, View { tree: &new, contents: repo });
    let diff::Compared { paths, packages } =
        diff::compare(old, new, diff::Objects::OfOneStore, Times::Ignore)?;
    let files = ChangedFiles {
        added: paths.added.len() as u64,
        removed: paths.removed.len() as u64,
        changed: paths.changed.len() as u64,
    };
    Ok(Some(Changes { from: start.running.key(), files, packages }))
}

/// The image's tree, as far as the store has what it is made of.
fn tree(repo: &Repo, resolved: &Resolved, fetch: &FetchPlan) -> Result<Option<Tree>> {
    if let Some(record) = repo.image(resolved.digest())? {
        return Ok(Some(repo.read_tree(&record.tree)?));
    }
    if fetch.layers_new > 0 {
        return Ok(None);
    }
    let layers = resolved.image.layers.iter();
    let layers = layers.map(|l| repo.read_layer(&l.diff_id).map_err(layer::Error::from));
    Ok(Some(layer::merge(layers)?))
}
