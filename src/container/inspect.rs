//! What an image is like.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::{Facts, bytes_of, region};
use super::{Image, Opened, Owners};
use crate::digest::Sha256;
use crate::ops::Result;

/// The version of the JSON.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    pub version: u32,
    pub name: String,
    /// Of the manifest. Absent for a directory.
    pub digest: Option<Sha256>,
    pub architecture: String,
    pub created: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Compressed bytes of all layers.
    pub compressed_bytes: Option<u64>,
    pub layers: Option<usize>,
    #[serde(flatten)]
    pub facts: Facts,
    /// The largest first.
    pub packages: Vec<PackageSize>,
    /// Bytes that belong to no package.
    pub unowned_bytes: u64,
    /// Package databases that were not read, and why.
    pub not_read: Vec<String>,
    /// Of the root and one level below, the largest first.
    pub by_directory: Vec<DirectorySize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageSize {
    pub name: String,
    pub architecture: Option<String>,
    pub version: String,
    /// Of its files as they are here.
    pub bytes: u64,
    pub files: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectorySize {
    pub path: String,
    pub bytes: u64,
    pub files: u64,
}

/// Says what an opened image is like.
pub fn inspect(opened: &Opened<'_>) -> Result<Inspected> {
    let facts = Facts::of(opened, &opened.architecture())?;
    let owners = Owners::read(&opened.root)?;
    let mut packages: Vec<_> = owners
        .packages
        .iter()
        .map(|package| PackageSize {
            name: package.name.clone(),
            architecture: package.architecture.clone(),
            version: package.version.clone(),
            bytes: 0,
            files: 0,
        })
        .collect();
    let mut by_directory: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut unowned_bytes = 0;
    for entry in opened.root.tree.entries().iter().filter(|entry| !entry.node.is_directory()) {
        let bytes = bytes_of(entry);
        match owners.index_of(&entry.path).map(|index| &mut packages[index]) {
            Some(package) => {
                (package.bytes, package.files) = (package.bytes.saturating_add(bytes), package.files + 1)
            }
            None => unowned_bytes = u64::saturating_add(unowned_bytes, bytes),
        }
        let (sum, files) = by_directory.entry(region(&entry.path, 2)).or_default();
        (*sum, *files) = (sum.saturating_add(bytes), *files + 1);
    }
    packages.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let mut by_directory: Vec<_> =
        by_directory.into_iter().map(|(path, (bytes, files))| DirectorySize { path, bytes, files }).collect();
    by_directory.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    let image = opened.image.as_ref();
    Ok(Inspected {
        version: VERSION,
        name: opened.name.clone(),
        digest: image.map(|image| image.record.manifest_digest),
        architecture: opened.architecture(),
        created: image.and_then(|image| image.config.created.clone()),
        labels: image.map(|image| image.config.labels.clone().into_iter().collect()).unwrap_or_default(),
        compressed_bytes: image.map(Image::compressed_bytes),
        layers: image.map(|image| image.blobs.len()),
        facts,
        packages,
        unowned_bytes,
        not_read: owners.not_read,
        by_directory,
    })
}
