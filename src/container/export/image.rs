//! One layer of the whole tree, with the config of the image it came from.

use serde_json::{Value, json};

use super::tar;
use crate::container::Opened;
use crate::container::destination::Desk;
use crate::digest::Sha256;
use crate::env::Env;
use crate::ops::{Error, Result};

/// Writes it. Gives the digest of the manifest and the bytes of the layer.
pub(super) fn write(opened: &Opened<'_>, desk: &Desk<'_>, env: &Env) -> Result<(Sha256, u64)> {
    let layer = desk.layout.layer(desk.compression, |out| tar(opened, out))?;
    let mut config = config(opened, env)?;
    config["rootfs"] = json!({"type": "layers", "diff_ids": [layer.diff_id]});
    config["history"] = json!([history_line(&config, "reroot container export")]);
    let digest = desk.layout.image(&config, std::slice::from_ref(&layer), desk.tag)?;
    Ok((digest, layer.size))
}

/// What the image says of itself, without its layers; for a directory what has to be said. `SOURCE_DATE_EPOCH` is the time of both.
pub(in crate::container) fn config(opened: &Opened<'_>, env: &Env) -> Result<Value> {
    let mut config = match &opened.image {
        Some(image) => image.raw_config()?,
        None => json!({"architecture": opened.architecture(), "os": "linux", "config": {}}),
    };
    if let Some(epoch) = env.source_date_epoch().map_err(Error::invalid)? {
        let created = jiff::Timestamp::from_second(epoch).map_err(|e| Error::invalid(e.to_string()))?;
        config["created"] = json!(created.to_string());
    }
    Ok(config)
}

/// A line of the history of an image whose config says when it was made.
pub(in crate::container) fn history_line(config: &Value, created_by: &str) -> Value {
    let mut line = json!({"created_by": created_by});
    if let Some(created) = config.get("created") {
        line["created"] = created.clone();
    }
    line
}
