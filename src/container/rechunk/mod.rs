//! The same tree in other layers: an update of a few packages changes few of them.
//!
//! ```text
//! parts   a package, or a directory that no package owns
//! plan    which part comes into which layer; pure
//! times   those of the image before, for what has not changed since
//! to      a destination, and a look at what was written
//! ```
//!
//! Each layer has the directories above its files without their times, so that it is the same when nothing in it has changed; the
//! last one has every directory as it is. Layers say in annotations what is in them: the plan of the next image.

mod parts;
mod plan;
mod times;
mod to;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use super::destination::Desk;
use super::export::{config, history_line};
use super::{Image, Opened, Owners};
use crate::digest::Sha256;
use crate::layer::write_layer;
use crate::oci::push::Pushed;
use crate::oci::write::{LayerCompression, LayoutWriter, WrittenLayer};
use crate::ops::{Context, Error, Result};
use crate::parallel::{cores, in_batches};
use crate::progress::Event;
use crate::repo::{Mtime, TreeEntry};
use parts::Part;
use plan::{FEWEST, Plan, Size, plan};

pub use to::rechunk_to;

/// The label of a layer, and a list of what is in it.
const LABEL: &str = "reroot.rechunk.layer";
const PARTS: &str = "reroot.rechunk.parts";
/// The layer of the directories.
const DIRECTORIES: &str = "directories";
/// More than this no container storage mounts.
const MOST: usize = 127;

#[derive(Debug, Clone)]
pub struct RechunkOptions {
    /// All of them, 3 to 127.
    pub max_layers: usize,
    pub compression: LayerCompression,
    /// Whether what is as in the previous image but for its time gets the time that it has there.
    pub keep_times: bool,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rechunked {
    pub name: String,
    pub digest: Sha256,
    pub bytes: u64,
    pub layers: Vec<RechunkedLayer>,
    /// What a machine that has the image before would fetch of the image as it was built.
    pub plain_bytes: Option<u64>,
    /// And what it fetches of this one, and of how many layers.
    pub fetch_bytes: Option<u64>,
    pub fetch_layers: Option<usize>,
    /// How many files, links and directories got the time that they have in the image before.
    pub kept_times: usize,
    /// What a registry was sent.
    pub pushed: Option<Pushed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RechunkedLayer {
    pub label: String,
    pub diff_id: Sha256,
    /// As it is fetched.
    pub bytes: u64,
    pub parts: Vec<String>,
}

/// Writes the tree of what was opened, in layers by what belongs together. The layout has the image when it is whole.
fn rechunk(
    opened: &Opened<'_>,
    previous: Option<&Image<'_>>,
    desk: &Desk<'_>,
    options: &RechunkOptions,
    context: &Context<'_>,
) -> Result<Rechunked> {
    if !(FEWEST..=MOST).contains(&options.max_layers) {
        return Err(Error::invalid(format!("an image has {FEWEST} to {MOST} layers")));
    }
    let root = &opened.root;
    opened.check_whole()?;
    let owners = Owners::read(root)?;
    for database in &owners.not_read {
        context.reporter.report(Event::Warning(database));
    }
    let parts = parts::parts(root, &owners);
    let size = |part: &Part| Size { bytes: part.bytes, newest: part.newest };
    let sizes: BTreeMap<_, _> = parts.iter().map(|(name, part)| (name.clone(), size(part))).collect();
    let plan = plan(&sizes, options.max_layers, previous.and_then(plan_of).as_ref());
    context.reporter.report(Event::Phase(&format!("writing {} layers", plan.len() + 1)));

    let entries = root.tree.entries();
    let mut jobs: Vec<(String, Vec<String>, Vec<TreeEntry>)> = Vec::new();
    for (label, names) in plan {
        let indexes = names.iter().flat_map(|name| &parts[name].entries).copied();
        let of_layer = with_directories(entries, indexes);
        jobs.push((label, names, of_layer));
    }
    let directories = entries.iter().filter(|entry| entry.node.is_directory()).cloned().collect();
    jobs.push((DIRECTORIES.into(), Vec::new(), directories));
    let written = write(&jobs, opened, &desk.layout, desk.compression)?;

    let mut config = config(opened, context.env)?;
    config["history"] = jobs
        .iter()
        .map(|(label, ..)| history_line(&config, &format!("reroot container rechunk: {label}")))
        .collect();
    config["rootfs"] =
        json!({"type": "layers", "diff_ids": written.iter().map(|w| w.diff_id).collect::<Vec<_>>()});
    let digest = desk.layout.image(&config, &written, desk.tag)?;

    let plain = previous.zip(opened.image.as_ref()).map(|(previous, image)| image.fetched_after(previous).0);
    let fetched =
        previous.map(|previous| previous.lacks(written.iter().map(|layer| (layer.diff_id, layer.size))));
    Ok(Rechunked {
        name: opened.name.clone(),
        digest,
        bytes: written.iter().map(|layer| layer.size).sum(),
        plain_bytes: plain,
        fetch_bytes: fetched.map(|(bytes, _)| bytes),
        fetch_layers: fetched.map(|(_, layers)| layers),
        kept_times: 0,
        pushed: None,
        layers: jobs
            .into_iter()
            .zip(&written)
            .map(|((label, parts, _), layer)| RechunkedLayer {
                label,
                diff_id: layer.diff_id,
                bytes: layer.size,
                parts,
            })
            .collect(),
    })
}

/// What an image that was made by this says about its layers; nothing for any other.
fn plan_of(image: &Image<'_>) -> Option<Plan> {
    let labelled = image.blobs.iter().filter_map(|blob| {
        let label = blob.annotations.get(LABEL)?;
        let parts: Vec<String> = serde_json::from_str(blob.annotations.get(PARTS)?).ok()?;
        (label.starts_with(['=', '#'])).then(|| (label.clone(), parts))
    });
    let plan: Plan = labelled.collect();
    (!plan.is_empty()).then_some(plan)
}

/// Entries with the directories above them, which have no times here.
fn with_directories(entries: &[TreeEntry], indexes: impl Iterator<Item = usize>) -> Vec<TreeEntry> {
    let mut wanted: BTreeSet<usize> = BTreeSet::new();
    for index in indexes {
        wanted.insert(index);
        let mut above = entries[index].path.parent();
        while let Some(path) = above.filter(|path| !path.is_root()) {
            let Ok(directory) = entries.binary_search_by(|entry| entry.path.cmp(&path)) else { break };
            if !wanted.insert(directory) {
                break;
            }
            above = path.parent();
        }
    }
    let timeless = |index: usize| match entries[index].node.is_directory() {
        true => TreeEntry { mtime: Mtime::default(), ..entries[index].clone() },
        false => entries[index].clone(),
    };
    wanted.into_iter().map(timeless).collect()
}

fn write(
    jobs: &[(String, Vec<String>, Vec<TreeEntry>)],
    opened: &Opened<'_>,
    layout: &LayoutWriter,
    compression: LayerCompression,
) -> Result<Vec<WrittenLayer>> {
    let written = Mutex::new(BTreeMap::new());
    let numbered: Vec<_> = jobs.iter().enumerate().collect();
    in_batches(
        &numbered,
        1,
        cores(),
        || (),
        |(), batch| {
            for (index, (label, parts, entries)) in batch {
                let contents = opened.root.contents();
                let mut layer = layout
                    .layer(compression, |out| -> Result<()> { Ok(write_layer(entries, contents, out)?) })?;
                layer.annotations.insert(LABEL.into(), label.clone());
                layer.annotations.insert(
                    PARTS.into(),
                    serde_json::to_string(parts).map_err(|e| Error::bug(e.to_string()))?,
                );
                written.lock().unwrap_or_else(PoisonError::into_inner).insert(*index, layer);
            }
            Ok::<(), Error>(())
        },
    )?;
    Ok(written.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
}
