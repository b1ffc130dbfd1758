//! A stateroot: one OS line, its deployments and the `/var` they share.

use super::{Error, Result, Sysroot, layout};
use crate::fsx::{self, Dir};
use crate::names::StaterootName;

/// An open stateroot.
#[derive(Debug)]
pub struct Stateroot {
    pub name: StaterootName,
    /// `deploy/<stateroot>`, which holds `var` and `deploy`.
    pub dir: Dir,
    /// `deploy/<stateroot>/deploy`, which holds the deployments.
    pub deploy: Dir,
}

impl Stateroot {
    /// Opens a stateroot; `None` when it was never made.
    pub fn open(sysroot: &Sysroot, name: &StaterootName) -> Result<Option<Self>> {
        let open = || {
            let Some(dir) = fsx::subdir_optional(sysroot.deploy(), name.as_str())? else { return Ok(None) };
            let Some(deploy) = fsx::subdir_optional(&dir, layout::DEPLOY)? else { return Ok(None) };
            Ok(Some(Self { name: name.clone(), dir, deploy }))
        };
        open().map_err(Error::io(format!("opening {}", layout::stateroot_path(name))))
    }

    /// Makes what is missing of a stateroot and opens it. Durable when it returns.
    pub(super) fn ensure(sysroot: &Sysroot, name: &StaterootName) -> Result<Self> {
        if let Some(found) = Self::open(sysroot, name)? {
            return Ok(found);
        }
        let make = || {
            let dir = fsx::ensure_dir(sysroot.deploy(), name.as_str(), 0o755)?;
            let deploy = fsx::ensure_dir(&dir, layout::DEPLOY, 0o755)?;
            fsx::sync_dir(&dir)?;
            fsx::sync_dir(sysroot.deploy())?;
            Ok(Self { name: name.clone(), dir, deploy })
        };
        make().map_err(Error::io(format!("making {}", layout::stateroot_path(name))))
    }
}
