//! What was opened, for other programs.
//!
//! ```text
//! destination   tar:FILE, bundle:DIR, or a place for an image
//! image         one layer of the whole tree, with the config of the image it came from
//! bundle        a root and a config.json that crun and runc take
//! ```

mod bundle;
mod destination;
mod image;

use std::io::Write;

use serde::Serialize;

use super::Opened;
use super::destination::{archive, put};
use crate::digest::Sha256;
use crate::layer::write_layer;
use crate::oci::push::Pushed;
use crate::oci::write::LayerCompression;
use crate::ops::{Context, Error, Result};

pub use destination::Destination;
pub(super) use image::{config, history_line};

/// How something is exported.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Of the layer of an image.
    pub compression: LayerCompression,
    /// What a bundle runs; empty: what the image says, or a shell.
    pub command: Vec<String>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    pub name: String,
    pub destination: String,
    /// Of the manifest, when it is an image.
    pub digest: Option<Sha256>,
    /// Of the layer as it is fetched.
    pub layer_bytes: Option<u64>,
    /// What a registry was sent.
    pub pushed: Option<Pushed>,
}

/// Writes what was opened to a destination. An image and a file are there when they are whole; a bundle is made in a directory that
/// must be empty or missing.
pub fn export(
    opened: &Opened<'_>,
    destination: &Destination,
    options: &ExportOptions,
    context: &Context<'_>,
) -> Result<Exported> {
    opened.check_whole()?;
    let mut exported = Exported {
        name: opened.name.clone(),
        destination: destination.to_string(),
        digest: None,
        layer_bytes: None,
        pushed: None,
    };
    match destination {
        Destination::Stdout => {
            let stdout = std::io::stdout().lock();
            tar(opened, &mut std::io::BufWriter::with_capacity(1 << 20, stdout))?;
        }
        Destination::Tar(path) => archive::write(path, |out| tar(opened, out))?,
        Destination::Image(image) => {
            let known: Vec<_> = opened.image.iter().collect();
            let (digest, bytes, pushed) = put(image, options.compression, &known, context, |desk| {
                image::write(opened, desk, context.env)
            })?;
            (exported.digest, exported.layer_bytes, exported.pushed) = (Some(digest), Some(bytes), pushed);
        }
        Destination::Bundle(path) => bundle::write(opened, path, options, context)?,
    }
    Ok(exported)
}

fn tar(opened: &Opened<'_>, out: &mut dyn Write) -> Result<()> {
    write_layer(opened.root.tree.entries(), opened.root.contents(), out)?;
    out.flush().map_err(Error::io(format!("writing {}", opened.name)))
}
