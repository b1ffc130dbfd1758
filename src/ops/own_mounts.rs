//! Whether the system sees what this process mounts.

use super::{Error, Result};
use crate::fsx;

/// Refuses to go on in a mount namespace of its own (a service with `PrivateMounts=`, a container): what is mounted there is
/// seen by nobody else.
pub(super) fn check_own_mounts() -> Result<()> {
    match fsx::has_the_systems_mounts().map_err(Error::io("looking at the mounts of process 1"))? {
        true => Ok(()),
        false => Err(Error::incompatible(
            "this process has mounts of its own, which the system does not see; run it outside of a container or \
             sandbox: `nsenter --target 1 --mount reroot …`",
        )),
    }
}
