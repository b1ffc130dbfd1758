//! What `docker load` and `podman load` read: a tar with `manifest.json`, the config and the layers as they are (Docker Image
//! Specification v1.2, "Combined Image JSON + Filesystem Changeset Format").

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

use super::put::Blobs;
use crate::digest::Sha256;
use crate::ops::{Error, Result};

/// Writes the image of a layout. A tag that is no name of a repository is given one.
pub(super) fn write(layout: &Path, manifest: &Sha256, tag: Option<&str>, out: &mut dyn Write) -> Result<()> {
    let blobs = Blobs(layout);
    let bug = |reason: &str| Error::bug(format!("the manifest that was written: {reason}"));
    let parsed: Value = serde_json::from_slice(&blobs.read(manifest)?).map_err(|e| bug(&e.to_string()))?;
    let digest = |value: &Value| value["digest"].as_str()?.parse::<Sha256>().ok();
    let config = digest(&parsed["config"]).ok_or_else(|| bug("no config"))?;
    let layers = parsed["layers"].as_array().ok_or_else(|| bug("no layers"))?;
    let layers: Option<Vec<_>> =
        layers.iter().map(|layer| Some((digest(layer)?, layer["size"].as_u64()?))).collect();
    let layers = layers.ok_or_else(|| bug("a broken layer"))?;

    let config_bytes = blobs.read(&config)?;
    let config_name = format!("{}.json", config.hex());
    file(out, &config_name, config_bytes.len() as u64, &mut &*config_bytes)?;
    // Of two layers with one content there is one file.
    let mut written = Vec::new();
    for (layer, size) in &layers {
        if !written.contains(layer) {
            file(out, &format!("{}.tar", layer.hex()), *size, &mut *blobs.open(layer)?)?;
            written.push(*layer);
        }
    }
    let names: Vec<_> = layers.iter().map(|(layer, _)| format!("{}.tar", layer.hex())).collect();
    let tags: Vec<_> = tag.iter().map(|tag| format!("localhost/reroot:{tag}")).collect();
    let list = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]).to_string();
    file(out, "manifest.json", list.len() as u64, &mut list.as_bytes())?;
    out.write_all(&[0; 1024]).and_then(|()| out.flush()).map_err(Error::io("writing the end of the archive"))
}

fn file(out: &mut dyn Write, name: &str, size: u64, content: &mut dyn io::Read) -> Result<()> {
    let failed = || Error::io(format!("writing {name}"));
    let header = || {
        let mut builder = EntryBuilder::new_ustar();
        builder.path(name.as_bytes()).entry_type(EntryType::Regular);
        builder.mode(0o644)?.uid(0)?.gid(0)?.mtime(0)?.size(size)?;
        Ok::<_, tar_core::HeaderError>(builder.finish_bytes())
    };
    let header = header().map_err(|e| failed()(io::Error::other(e)))?;
    out.write_all(&header).map_err(failed())?;
    let written = io::copy(content, out).map_err(failed())?;
    if written != size {
        return Err(failed()(io::Error::other(format!("it has {written} bytes, and not {size}"))));
    }
    let padding = (size.next_multiple_of(512) - size) as usize;
    out.write_all(&[0; 512][..padding]).map_err(failed())
}
