//! What somebody has tried out, as one more layer of the image that it began with.
//!
//! ```text
//! live     a deployment's /etc and /usr as they are now, in the tree of its image
//! changes  what differs, as the entries of a layer; pure but for the comparison of contents
//! ```
//!
//! The layers below are those of the image, byte for byte, so that everybody who has it fetches the new layer alone.

mod changes;
mod live;

use serde::Serialize;
use serde_json::json;

use super::destination::{Desk, put};
use super::{Image, ImageDestination, Opened, Places, Source, export};
use crate::digest::Sha256;
use crate::layer::write_layer;
use crate::oci::ImageSource;
use crate::oci::platform::Platform;
use crate::oci::push::Pushed;
use crate::oci::write::LayerCompression;
use crate::ops::{Context, DiffPath, Error, Result, ResultExt};
use changes::Changes;

#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The image that a directory began with. A deployment has its own.
    pub base: Option<Source>,
    /// For the history of the image.
    pub message: Option<String>,
    pub compression: LayerCompression,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    pub name: String,
    pub base: String,
    pub digest: Sha256,
    /// Of the new layer as it is fetched.
    pub layer_bytes: u64,
    /// New and changed; directories above them are not counted.
    pub written: Vec<DiffPath>,
    pub deleted: Vec<DiffPath>,
    /// What is the machine's own.
    pub left_out: Vec<DiffPath>,
    /// What a registry was sent.
    pub pushed: Option<Pushed>,
}

/// Writes the image with what was changed. Nothing to commit is an error.
pub fn commit(
    source: &Source,
    destination: &ImageDestination,
    options: &CommitOptions,
    places: &Places<'_>,
    context: &Context<'_>,
) -> Result<Committed> {
    let began_with = match (source, &options.base) {
        (Source::Directory(_), Some(base)) => base,
        (Source::Deployment(_), None) => source,
        (Source::Directory(path), None) => {
            let path = path.display();
            return Err(Error::invalid(format!(
                "{path} does not say which image it began with; `--base` does"
            )));
        }
        (Source::Deployment(_), Some(_)) => {
            return Err(Error::invalid("a deployment began with its own image; `--base` is for directories"));
        }
        (Source::Image(image), _) => {
            return Err(Error::invalid(format!(
                "{image} is an image; what is committed is a directory or a deployment"
            )));
        }
    };
    let base = places.open(began_with, context)?;
    let changed = match source {
        Source::Deployment(id) => live::open(*id, &base, places, context)?,
        _ => places.open(source, context)?,
    };
    changed.check_whole()?;
    let image = base.image.as_ref();
    let image =
        image.ok_or_else(|| Error::invalid(format!("{} is a directory; `--base` is an image", base.name)))?;
    let changes = changes::between(&base.root, &changed.root, context.env.privileged)?;
    if changes.entries.is_empty() {
        return Err(Error::invalid(format!(
            "{} is as {} is: there is nothing to commit",
            changed.name, base.name
        )));
    }
    let (digest, layer_bytes, pushed) = put(destination, options.compression, &[image], context, |desk| {
        write(&base, image, &changed, &changes, options, desk, context)
    })?;
    let Changes { written, deleted, left_out, .. } = changes;
    Ok(Committed {
        name: changed.name,
        base: base.name.clone(),
        digest,
        layer_bytes,
        written,
        deleted,
        left_out,
        pushed,
    })
}

fn write(
    base: &Opened<'_>,
    image: &Image<'_>,
    changed: &Opened<'_>,
    changes: &Changes,
    options: &CommitOptions,
    desk: &Desk<'_>,
    context: &Context<'_>,
) -> Result<(Sha256, u64)> {
    let source = source_of(base, image, context)?;
    let mut layers = Vec::new();
    for blob in &image.blobs {
        layers.push(desk.borrow(blob, &source)?);
    }
    let contents = changed.root.contents();
    let layer = desk
        .layout
        .layer(desk.compression, |out| -> Result<()> { Ok(write_layer(&changes.entries, contents, out)?) })?;
    let bytes = layer.size;
    layers.push(layer);

    let mut config = export::config(base, context.env)?;
    // The time of the sources is in the config already, where there is one.
    if context.env.source_date_epoch().map_err(Error::invalid)?.is_none() {
        let now = jiff::Timestamp::from_second(context.env.unix_time().cast_signed());
        config["created"] = json!(now.map_err(|e| Error::bug(e.to_string()))?.to_string());
    }
    let mut line = export::history_line(&config, "reroot container commit");
    if let Some(message) = &options.message {
        line["comment"] = json!(message);
    }
    match config["history"].as_array_mut() {
        Some(history) => history.push(line),
        None => config["history"] = json!([line]),
    }
    config["rootfs"] =
        json!({"type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>()});
    Ok((desk.layout.image(&config, &layers, desk.tag)?, bytes))
}

/// Where the layers of an image can be had: the store keeps what is in them, and not their bytes.
fn source_of(
    base: &Opened<'_>,
    image: &Image<'_>,
    context: &Context<'_>,
) -> Result<std::sync::Arc<dyn ImageSource>> {
    let digest = image.record.manifest_digest;
    let name = &base.name;
    let open = || {
        let reference = image.reference.as_ref();
        let reference =
            reference.ok_or_else(|| Error::not_found(format!("where {name} came from is not known")))?;
        // An archive of docker has no manifests to be named by a digest.
        let pinned = match reference {
            crate::oci::ImageReference::DockerArchive(_) => reference.clone(),
            _ => reference.with_digest(digest),
        };
        let source = crate::oci::open(&pinned, context.env)?;
        let platform = Platform {
            os: image.config.os.clone(),
            architecture: image.config.architecture.clone(),
            variant: image.config.variant.clone(),
        };
        let resolved = source.resolve(&platform)?;
        match resolved.manifest_digest == digest {
            true => Ok(source),
            false => Err(Error::not_found(format!("{reference} is another image by now, not {digest}"))),
        }
    };
    let source = open().context(|| {
        format!("the layers of {name} are needed as they were pulled (`container export` makes one layer of everything)")
    })?;
    Ok(source.into())
}
