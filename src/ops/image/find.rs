//! Finding a stored image by what people call it.

use super::super::fetch::absolute;
use super::super::{Error, Result};
use crate::digest::Sha256;
use crate::oci::ImageReference;
use crate::repo::{ImageRecord, Repo};
use crate::sysroot::Sysroot;

/// A stored image.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name it is kept under, when it was found by that.
    pub name: Option<String>,
    pub record: ImageRecord,
}

/// Finds a stored image by the reference it was pulled or deployed with, in any spelling, or by the digest of
/// its manifest or index. A name of its own goes before a deployment; of several deployments the first in boot
/// order counts.
pub fn find(sysroot: &Sysroot, text: &str) -> Result<Found> {
    let repo = sysroot.repo();
    let not_found = || Error::not_found(format!("image {text} is not in the store"));
    if let Ok(digest) = text.parse::<Sha256>() {
        let record = by_digest(repo, &digest)?.ok_or_else(not_found)?;
        return Ok(Found { name: None, record });
    }
    let spellings = spellings(text);
    let refs = repo.refs()?;
    let named = spellings.iter().find_map(|name| Some((name, refs.get(name)?)));
    if let Some((name, digest)) = named {
        return Ok(Found { name: Some(name.clone()), record: stored(repo, name, digest)? });
    }
    let observed = sysroot.observe()?;
    let deployment = observed.deployments.iter().find(|d| spellings.contains(&d.record.image.reference));
    let deployment = deployment.ok_or_else(not_found)?;
    let record = stored(repo, &deployment.key().to_string(), &deployment.record.image.digest)?;
    Ok(Found { name: None, record })
}

/// As it was typed, and in canonical form.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let canonical =
        text.parse::<ImageReference>().ok().and_then(|r| absolute(&r).ok()).map(|r| r.to_string());
    [Some(text.to_string()), canonical].into_iter().flatten().collect()
}

fn by_digest(repo: &Repo, digest: &Sha256) -> Result<Option<ImageRecord>> {
    if let Some(record) = repo.image(digest)? {
        return Ok(Some(record));
    }
    Ok(repo.images()?.into_iter().find(|image| image.index_digest == Some(*digest)))
}

fn stored(repo: &Repo, name: &str, digest: &Sha256) -> Result<ImageRecord> {
    repo.image(digest)?
        .ok_or_else(|| Error::corrupt(format!("{name} needs image {digest}, which is not in the store")))
}
