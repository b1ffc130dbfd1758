//! `/reroot/deploy/<stateroot>/var.json`: this stateroot's `/var` is a file system of its own. Version 1:
//!
//! ```json
//! {"version": 1, "source": "UUID=6c2c4ffc-…", "filesystem": "ext4"}
//! ```
//!
//! The initramfs mounts it: the kernel argument [`SeparateVar::kernel_argument`], which every boot entry of the stateroot
//! gets, tells it to. The stateroot's own directory `var` is not made and never filled.

use serde::{Deserialize, Serialize};

use super::record::{parse_state, print_state};
use super::{Error, Result, Stateroot, layout};
use crate::fsx;

const FILE: &str = "var.json";

/// Where `/var` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeparateVar {
    version: u32,
    /// As in fstab(5): `UUID=…`.
    source: String,
    /// The name that mount(2) knows.
    filesystem: String,
}

impl SeparateVar {
    /// Neither may have a character that systemd or the kernel would split at.
    pub fn new(source: &str, filesystem: &str) -> Self {
        Self { version: 1, source: source.into(), filesystem: filesystem.into() }
    }

    /// `None` when `/var` is the stateroot's own directory.
    pub fn read(stateroot: &Stateroot) -> Result<Option<Self>> {
        let file = format!("{}/{FILE}", layout::stateroot_path(&stateroot.name));
        let bytes = fsx::read_limited(&stateroot.dir, FILE, layout::STATE_LIMIT)
            .map_err(Error::io(format!("reading {file}")))?;
        bytes.map(|bytes| parse_state(&bytes, &file)).transpose()
    }

    /// Durable.
    pub fn write(&self, stateroot: &Stateroot) -> Result<()> {
        let file = format!("{}/{FILE}", layout::stateroot_path(&stateroot.name));
        fsx::write_atomic(&stateroot.dir, FILE, &print_state(self), 0o644)
            .map_err(Error::io(format!("writing {file}")))
    }

    /// For `reroot-prepare-root`.
    pub fn kernel_argument(&self) -> String {
        format!("reroot.var={}:{}", self.source, self.filesystem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAR_V1: &str = include_str!("../../fixtures/state/v1/var.json");

    #[test]
    fn version_1_reads_and_is_written_as_it_is() {
        let var: SeparateVar = parse_state(VAR_V1.as_bytes(), "var.json").unwrap();
        assert_eq!(var, SeparateVar::new("UUID=6c2c4ffc-3b0c-4f4e-9c0b-0d0c3a0d7a11", "ext4"));
        assert_eq!(String::from_utf8(print_state(&var)).unwrap(), VAR_V1);
        assert_eq!(var.kernel_argument(), "reroot.var=UUID=6c2c4ffc-3b0c-4f4e-9c0b-0d0c3a0d7a11:ext4");
    }
}
