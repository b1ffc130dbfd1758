//! Pull: from an image reference to a root file system in the store.
//!
//! ```text
//! resolve -> plan -> for each unknown layer: blob -> inflate -> tar -> objects -> layer     (several at once)
//!         -> merge the layers -> check that the image is bootable -> tree -> image -> ref
//! ```
//!
//! Every finished layer is durable by itself: a pull that was interrupted goes on with what is missing.

mod fetch;
mod pipe;
mod plan;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

pub(in crate::ops) use fetch::Reader;
pub use plan::PullPlan;

use crate::digest::{Sha256, TreeId};
use crate::fsx::lock::{ExclusiveGuard, SharedGuard};
use crate::layer;
use crate::oci::platform::Platform;
use crate::oci::source::{ImageSource, ResolvedImage};
use crate::ops::{Context, Error, Result, ResultExt};
use crate::parallel::in_batches;
use crate::progress::Event;
use crate::repo::{ImageRecord, Repo, Reserve, Transaction};

/// Layers read at once. Two threads each; more would only share the same cores and memory.
const LAYERS_AT_ONCE: usize = 2;

/// What a pull is asked for beside the image.
#[derive(Debug, Clone)]
pub struct PullOptions {
    pub platform: Platform,
    pub reserve: Reserve,
    /// Whether an image without a kernel is refused.
    pub bootable: Bootable,
    /// The name to keep the image under.
    pub set_ref: Option<String>,
}

/// Whether an image must have what a machine boots from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bootable {
    Required,
    NotNeeded,
}

/// What a pull did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    pub manifest_digest: Sha256,
    pub tree: TreeId,
    /// True when the image was in the store already and nothing was fetched.
    pub unchanged: bool,
    pub layers_fetched: usize,
    pub layers_reused: usize,
    /// Compressed bytes of the layers that were fetched.
    pub bytes_fetched: u64,
    pub new_objects: u64,
    pub new_bytes: u64,
    /// Bytes of files in fetched layers that the store had already.
    pub shared_bytes: u64,
    #[serde(skip)]
    pub record: ImageRecord,
}

/// Pulls an image into the store. Durable when it returns.
pub fn pull(
    repo: &Repo,
    guard: &SharedGuard,
    source: &dyn ImageSource,
    name: &str,
    options: &PullOptions,
    context: &Context<'_>,
) -> Result<Pulled> {
    context.reporter.report(Event::Phase(&format!("resolving {name}")));
    let resolved = source.resolve(&options.platform).context(|| format!("resolving {name}"))?;
    pull_resolved(repo, guard, source, &resolved, options, context).context(|| format!("pulling {name}"))
}

/// Pulls an image that was resolved before: what was shown or checked is what is pulled.
pub fn pull_resolved(
    repo: &Repo,
    guard: &SharedGuard,
    source: &dyn ImageSource,
    resolved: &ResolvedImage,
    options: &PullOptions,
    context: &Context<'_>,
) -> Result<Pulled> {
    if let Some(record) = repo.image(&resolved.manifest_digest)? {
        if options.bootable == Bootable::Required && record.kernel.is_none() {
            // Says precisely what is missing.
            layer::check_bootable(&repo.read_tree(&record.tree)?)?;
        }
        return finish(
            repo,
            record,
            options,
            Outcome { layers_reused: resolved.layers.len(), ..Outcome::default() },
        );
    }
    let transaction = repo.begin(guard, options.reserve)?;
    let known = repo.layer_ids()?.into_iter().collect::<HashSet<_>>();
    let plan = PullPlan::new(&resolved.layers, &known);
    context.reporter.report(Event::PullPlanned {
        layers_to_fetch: plan.fetch.len(),
        layers_present: plan.reuse,
        bytes_to_fetch: plan.fetch_bytes,
    });
    // What is compressed does not get smaller when it is unpacked: a lower bound that is known before the first
    // byte is fetched. What the layers really need is checked file by file.
    transaction.require("this image", plan.fetch_bytes)?;
    let mut outcome = fetch_layers(source, &transaction, resolved, &plan, context)?;
    outcome.layers_reused = plan.reuse;
    outcome.layers_fetched = plan.fetch.len();
    outcome.bytes_fetched = plan.fetch_bytes;
    transaction.forget_known();
    crate::memory::give_back();
    context.reporter.report(Event::Phase("merging layers"));
    let tree = layer::merge(
        resolved.layers.iter().map(|l| repo.read_layer(&l.diff_id).map_err(layer::Error::from)),
    )?;
    let kernel = match layer::check_bootable(&tree) {
        Ok(bootable) => Some(bootable.kernel_version),
        Err(error) if options.bootable == Bootable::Required => return Err(error.into()),
        Err(_) => None,
    };
    let record = transaction.commit_image(&tree, new_record(resolved, kernel, context)?)?;
    drop(tree);
    crate::memory::give_back();
    finish(repo, record, options, outcome)
}

/// Brings back an image whose record is lost; the lock is held alone. The layers that are stored are used.
pub(super) fn pull_again(
    repo: &Repo,
    guard: &ExclusiveGuard,
    source: &dyn ImageSource,
    context: &Context<'_>,
) -> Result<Pulled> {
    let options = PullOptions {
        platform: Platform::host(),
        reserve: context.config.reserve,
        bootable: Bootable::NotNeeded,
        set_ref: None,
    };
    let resolved = source.resolve(&options.platform)?;
    pull_resolved(repo, guard.as_shared(), source, &resolved, &options, context)
}

/// The platform that a stored image was chosen for.
pub(super) fn platform_of(record: &ImageRecord) -> Result<Platform> {
    #[derive(serde::Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        variant: Option<String>,
    }
    let Config { os, architecture, variant } = serde_json::from_str(&record.config)
        .map_err(|e| Error::corrupt(format!("the config of image {}: {e}", record.manifest_digest)))?;
    Ok(Platform { os, architecture, variant: variant.filter(|v| !v.is_empty()) })
}

#[derive(Default)]
struct Outcome {
    layers_fetched: usize,
    layers_reused: usize,
    bytes_fetched: u64,
    new_objects: u64,
    new_bytes: u64,
    shared_bytes: u64,
}

fn finish(repo: &Repo, record: ImageRecord, options: &PullOptions, outcome: Outcome) -> Result<Pulled> {
    if let Some(name) = &options.set_ref {
        repo.set_ref(name, &record.manifest_digest)?;
    }
    crate::crashpoint!("pull.ref-written").map_err(crate::repo::Error::io("writing the ref"))?;
    Ok(Pulled {
        manifest_digest: record.manifest_digest,
        tree: record.tree,
        unchanged: outcome.layers_fetched == 0 && outcome.new_objects == 0,
        layers_fetched: outcome.layers_fetched,
        layers_reused: outcome.layers_reused,
        bytes_fetched: outcome.bytes_fetched,
        new_objects: outcome.new_objects,
        new_bytes: outcome.new_bytes,
        shared_bytes: outcome.shared_bytes,
        record,
    })
}

/// Fetches the planned layers, several at once; the first error stops the others at their next layer.
fn fetch_layers(
    source: &dyn ImageSource,
    transaction: &Transaction<'_>,
    resolved: &ResolvedImage,
    plan: &PullPlan,
    context: &Context<'_>,
) -> Result<Outcome> {
    let outcome = Mutex::new(Outcome::default());
    in_batches(
        &plan.fetch,
        1,
        LAYERS_AT_ONCE,
        || (),
        |(), batch| -> Result<()> {
            for &index in batch {
                let layer = &resolved.layers[index];
                let what = || format!("layer {} of {} ({})", index + 1, resolved.layers.len(), layer.digest);
                let fetched = fetch::fetch_layer(source, transaction, layer, index, context.reporter);
                let fetched = fetched.context(what)?;
                for warning in fetched.warnings {
                    context.reporter.report(Event::Warning(&format!("{}: {warning}", what())));
                }
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                outcome.new_objects += fetched.written.new_objects;
                outcome.new_bytes += fetched.written.new_bytes;
                outcome.shared_bytes += fetched.written.shared_bytes;
            }
            Ok(())
        },
    )?;
    Ok(outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn new_record(
    resolved: &ResolvedImage,
    kernel: Option<String>,
    context: &Context<'_>,
) -> Result<ImageRecord> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .map_err(|_| Error::bug("a manifest that is not UTF-8 was parsed as JSON"))
    };
    Ok(ImageRecord {
        version: ImageRecord::VERSION,
        manifest_digest: resolved.manifest_digest,
        index_digest: resolved.index_digest,
        manifest: text(&resolved.manifest)?,
        config: text(&resolved.config_bytes)?,
        // Set when the tree is written.
        tree: TreeId([0; 32]),
        layers: resolved.layers.iter().map(|l| l.diff_id).collect(),
        kernel,
        pulled: context.env.unix_time(),
    })
}
