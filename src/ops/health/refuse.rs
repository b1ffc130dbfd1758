//! Not installing again what has failed.

use crate::digest::Sha256;
use crate::names::StaterootName;
use crate::ops::status::timestamp;
use crate::ops::{Error, Result, ResultExt};
use crate::sysroot::Sysroot;

/// Whether an image is taken that failed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KnownFailed {
    #[default]
    Refuse,
    Allow,
}

/// Refuses an image that failed in a stateroot.
pub fn refuse_failed(
    sysroot: &Sysroot,
    stateroot: &StaterootName,
    digest: &Sha256,
    known: KnownFailed,
) -> Result<()> {
    if known == KnownFailed::Allow {
        return Ok(());
    }
    let found = sysroot
        .failed_image(stateroot, digest)
        .context(|| "looking whether the image has failed here (--allow-failed does not look)")?;
    let Some(failed) = found else { return Ok(()) };
    let version = failed.image_version.as_deref().map(|v| crate::names::printable(v.as_bytes()));
    Err(Error::incompatible(format!(
        "{}{} failed on this machine as deployment {}, {}: {}; a newer image is taken as usual, and --allow-failed takes this \
         one again ({digest})",
        failed.reference,
        version.map(|version| format!(" version {version}")).unwrap_or_default(),
        failed.id,
        timestamp(failed.time),
        crate::names::printable(failed.reason.as_bytes()),
    )))
}
