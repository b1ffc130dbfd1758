//! What `docker load` and `podman load` read: a tar with `manifest.json`, the config and the layers as they are (Docker Image
//! Specification v1.2, "Combined Image JSON + Filesystem Changeset Format").

use std::io::{Read, Write};
use std::path::Path;

use serde_json::json;

use super::put::Blobs;
use crate::digest::Sha256;
use crate::layer::{write_end, write_file};
use crate::names::ImagePath;
use crate::ops::{Error, Result};

/// Writes the image of a layout. A tag that is no name of a repository is given one.
pub(super) fn write(layout: &Path, manifest: &Sha256, tag: Option<&str>, out: &mut dyn Write) -> Result<()> {
    let blobs = Blobs(layout);
    let (_, manifest) = blobs.manifest(manifest)?;
    let config_name = format!("{}.json", manifest.config.digest.hex());
    file(&config_name, manifest.config.size, blobs.open(&manifest.config.digest)?, out)?;
    let names: Vec<_> = manifest.layers.iter().map(|layer| format!("{}.tar", layer.digest.hex())).collect();
    for (index, (name, layer)) in names.iter().zip(&manifest.layers).enumerate() {
        // Of two layers with one content there is one file.
        if !names[..index].contains(name) {
            file(name, layer.size, blobs.open(&layer.digest)?, out)?;
        }
    }
    let tags: Vec<_> = tag.iter().map(|tag| format!("localhost/reroot:{tag}")).collect();
    let list = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]).to_string();
    file("manifest.json", list.len() as u64, list.as_bytes(), out)?;
    write_end(out)?;
    out.flush().map_err(Error::io("writing the end of the archive"))
}

fn file(name: &str, size: u64, content: impl Read, out: &mut dyn Write) -> Result<()> {
    let path = ImagePath::new(name.as_bytes()).map_err(|error| Error::bug(error.to_string()))?;
    Ok(write_file(&path, size, content, out)?)
}
