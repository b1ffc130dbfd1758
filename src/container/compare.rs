//! What changes from one image to another.

use std::collections::BTreeSet;

use serde::Serialize;

use super::facts::Facts;
use super::{Image, Opened};
use crate::digest::Sha256;
use crate::ops::diff::{Compared, Objects, compare as compare_views};
use crate::ops::{DiffPath, PackageDiff, PathChange, Result, Times};

/// The version of the JSON.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub version: u32,
    pub from: Side,
    pub to: Side,
    /// What a machine that has the first fetches for the second: the bytes of layers that are not shared.
    pub fetch_bytes: Option<u64>,
    /// Of how many layers.
    pub fetch_layers: Option<usize>,
    pub kernel_arguments: Names,
    pub units: Names,
    pub labels: Names,
    pub packages: PackageDiff,
    pub added: Vec<DiffPath>,
    pub removed: Vec<DiffPath>,
    pub changed: Vec<PathChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub name: String,
    pub digest: Option<Sha256>,
    /// What the image calls its version.
    pub image_version: Option<String>,
    pub kernel: Option<String>,
    pub bytes: u64,
    pub compressed_bytes: Option<u64>,
}

/// What only one of two has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Names {
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

impl Names {
    fn between(old: BTreeSet<String>, new: BTreeSet<String>) -> Self {
        Self {
            added: new.difference(&old).cloned().collect(),
            removed: old.difference(&new).cloned().collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Compares two opened images.
pub fn compare(old: &Opened<'_>, new: &Opened<'_>, times: Times) -> Result<Comparison> {
    let objects = match (&old.image, &new.image) {
        (Some(a), Some(b)) if std::ptr::eq(a.store, b.store) => Objects::OfOneStore,
        _ => Objects::OfTwoPlaces,
    };
    let Compared { paths, packages } = compare_views(old.root.view(), new.root.view(), objects, times)?;
    let (old_facts, new_facts) = (Facts::of(old, &old.architecture())?, Facts::of(new, &new.architecture())?);
    let arguments = |facts: &Facts| facts.kernel_arguments.iter().map(|a| a.value.clone()).collect();
    let fetched = old.image.as_ref().zip(new.image.as_ref()).map(|(old, new)| new.fetched_after(old));
    Ok(Comparison {
        version: VERSION,
        from: side(old, &old_facts),
        to: side(new, &new_facts),
        fetch_bytes: fetched.map(|(bytes, _)| bytes),
        fetch_layers: fetched.map(|(_, layers)| layers),
        kernel_arguments: Names::between(arguments(&old_facts), arguments(&new_facts)),
        units: Names::between(old_facts.units, new_facts.units),
        labels: Names::between(labels(old), labels(new)),
        packages,
        added: paths.added,
        removed: paths.removed,
        changed: paths.changed,
    })
}

fn side(opened: &Opened<'_>, facts: &Facts) -> Side {
    let image = opened.image.as_ref();
    Side {
        name: opened.name.clone(),
        digest: image.map(|image| image.record.manifest_digest),
        image_version: image
            .and_then(|image| crate::ops::image::ImageFacts::of_config(&image.config).version),
        kernel: facts.kernel.as_ref().map(|kernel| kernel.version.clone()),
        bytes: facts.bytes,
        compressed_bytes: image.map(Image::compressed_bytes),
    }
}

fn labels(opened: &Opened<'_>) -> BTreeSet<String> {
    let labels = opened.image.iter().flat_map(|image| &image.config.labels);
    labels.map(|(key, value)| format!("{key}={value}")).collect()
}
