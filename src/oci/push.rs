//! An image on its way to a registry.

use std::io::Read;

use serde::Serialize;

use super::{RegistryReference, Result};
use crate::digest::Sha256;

/// What a registry is to have.
pub struct Outgoing<'o> {
    /// As its digest names it.
    pub manifest: Vec<u8>,
    pub media_type: String,
    /// Config and layers.
    pub blobs: Vec<OutgoingBlob>,
    /// Opens a blob from its beginning. Called again when an attempt failed, and never for blobs that the registry has.
    pub open: &'o (dyn Fn(&Sha256) -> Result<Box<dyn Read + Send>> + Sync),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingBlob {
    pub digest: Sha256,
    pub size: u64,
    /// An image that has it. When it is in the same registry nothing needs to be sent (distribution-spec, "Mounting a blob from
    /// another repository").
    pub known_in: Option<RegistryReference>,
}

/// How the blobs came to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// Blobs and bytes that were sent.
    pub sent: usize,
    pub sent_bytes: u64,
    /// Blobs that another repository of the registry had.
    pub mounted: usize,
    /// Blobs that were there.
    pub present: usize,
}

/// Pushes an image: its blobs, and when the registry has them all its manifest, which names it.
#[cfg(feature = "registry")]
pub fn push(image: &Outgoing<'_>, to: &RegistryReference, env: &crate::env::Env) -> Result<Pushed> {
    super::registry::RegistryTarget::with_options(to, env, &super::registry::Options::default())?.push(image)
}

#[cfg(not(feature = "registry"))]
pub fn push(_: &Outgoing<'_>, to: &RegistryReference, _: &crate::env::Env) -> Result<Pushed> {
    Err(super::Error::incompatible(
        super::ImageReference::Registry(to.clone()).to_string(),
        "this build cannot reach registries",
    ))
}
