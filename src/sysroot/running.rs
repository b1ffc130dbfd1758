//! Which deployment runs: `/run/reroot/booted.json`, or after a soft reboot `/run/reroot/nextroot.json`.
//!
//! A soft reboot goes over to a root that was prepared, and whoever prepared it is gone then. So both records are there for
//! a while, and `/` itself says which one counts: the one that was prepared names the device and inode that its root has.
//! No program has to run at the right time for that. [`settle`] makes it `booted.json`.

use std::io;

use rustix::fs::AtFlags;
use serde::Deserialize;

use super::layout;
use crate::fsx::{self, Dir};

/// From `/run/reroot`; with another configuration root it is that one's.
const ROOT: &str = "../..";

/// Where the record of the deployment that runs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    Booted,
    /// A soft reboot went over to it.
    SoftRebooted,
    /// The record of what was prepared does not read back.
    Unknown,
}

impl Running {
    /// The record's name in `run`, the directory `/run/reroot`.
    pub fn record(self) -> &'static str {
        match self {
            Self::Booted => layout::BOOTED,
            Self::SoftRebooted | Self::Unknown => layout::NEXTROOT,
        }
    }

    /// Compares `/` with what was prepared.
    pub fn look(run: &Dir) -> io::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Root {
            root_device: u64,
            root_inode: u64,
        }
        let Some(bytes) = fsx::read_limited(run, layout::NEXTROOT, layout::STATE_LIMIT)? else {
            return Ok(Self::Booted);
        };
        let Ok(Root { root_device, root_inode }) = serde_json::from_slice(&bytes) else {
            return Ok(Self::Unknown);
        };
        let root = rustix::fs::statat(run, ROOT, AtFlags::empty())?;
        match (root.st_dev, root.st_ino) == (root_device, root_inode) {
            true => Ok(Self::SoftRebooted),
            false => Ok(Self::Booted),
        }
    }
}

/// Gives the record of what runs its name; true when a soft reboot had gone over to it.
pub fn settle(run: &Dir) -> io::Result<bool> {
    let running = Running::look(run)?;
    if running == Running::SoftRebooted {
        fsx::rename(run, layout::NEXTROOT, run, layout::BOOTED)?;
    }
    Ok(running == Running::SoftRebooted)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at the files themselves")]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_root_says_which_record_counts() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("run/reroot")).unwrap();
        let run = fsx::open_dir(&temp.path().join("run/reroot")).unwrap();
        let write = |text: &str| std::fs::write(temp.path().join("run/reroot/nextroot.json"), text).unwrap();
        std::fs::write(temp.path().join("run/reroot/booted.json"), "old").unwrap();
        assert_eq!(Running::look(&run).unwrap(), Running::Booted);
        assert!(!settle(&run).unwrap());

        let root = temp.path().metadata().unwrap();
        let record = |inode: u64| format!(r#"{{"rootDevice":{},"rootInode":{inode}}}"#, root.dev());
        write(&record(root.ino() + 1));
        assert_eq!(Running::look(&run).unwrap(), Running::Booted);
        assert!(!settle(&run).unwrap());
        write("{");
        assert_eq!(Running::look(&run).unwrap(), Running::Unknown);
        assert!(!settle(&run).unwrap());
        write(&record(root.ino()));
        assert_eq!(Running::look(&run).unwrap(), Running::SoftRebooted);
        assert!(settle(&run).unwrap());
        let booted = std::fs::read_to_string(temp.path().join("run/reroot/booted.json")).unwrap();
        assert_eq!(booted, record(root.ino()));
        assert_eq!(Running::look(&run).unwrap(), Running::Booted);
        assert!(!settle(&run).unwrap());
    }
}
