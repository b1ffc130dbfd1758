//! Whether an image is for this machine.

use super::fetch::Resolved;
use super::{Error, Result};
use crate::oci::platform::Platform;
use crate::sysroot::Sysroot;

/// Refuses an image for another processor for the running system. Another sysroot may be another machine's.
pub(super) fn check(sysroot: &Sysroot, resolved: &Resolved) -> Result<()> {
    if sysroot.run().is_none() {
        return Ok(());
    }
    of_host(&resolved.image.config.architecture, &Platform::host().architecture)
        .map_err(|reason| Error::incompatible(format!("{}: {reason}", resolved.reference)))
}

/// Names as images have them.
fn of_host(image: &str, host: &str) -> Result<(), String> {
    match image == host {
        true => Ok(()),
        false => Err(format!(
            "the image is for {image}, and this machine is {host}: it would not boot; `--platform` is for a sysroot of \
             another machine, with `--sysroot`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_processor_is_named_with_this_one() {
        assert!(of_host("arm64", "arm64").is_ok());
        assert!(
            of_host("arm64", "amd64")
                .unwrap_err()
                .starts_with("the image is for arm64, and this machine is amd64:")
        );
    }
}
