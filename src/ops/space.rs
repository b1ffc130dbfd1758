//! Whether a checkout fits: what it makes new is known before it starts.

use super::{Error, ErrorKind, Result};
use crate::fsx::{self, Dir, FreeSpace};
use crate::repo::{Node, Reserve, TreeEntry};

/// A directory takes at least a block on most file systems.
const BLOCK: u64 = 4096;

/// What is new about a checkout: hardlinks cost nothing but their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needed {
    pub bytes: u64,
    pub inodes: u64,
}

impl Needed {
    /// Takes entries into account that are linked.
    pub fn add_linked(&mut self, entries: &[TreeEntry]) {
        for entry in entries {
            if !matches!(entry.node, Node::File { .. }) {
                self.add_inode(entry, 0);
            }
        }
    }

    /// Takes entries into account that are copied.
    pub fn add_copied(&mut self, entries: &[TreeEntry]) {
        for entry in entries {
            let size = if let Node::File { size, .. } = entry.node { size } else { 0 };
            self.add_inode(entry, size);
        }
    }

    fn add_inode(&mut self, entry: &TreeEntry, size: u64) {
        let size = if entry.node.is_directory() { BLOCK } else { size.next_multiple_of(BLOCK) };
        self.bytes = self.bytes.saturating_add(size);
        self.inodes += 1;
    }

    /// Fails when `what` does not fit beside the reserve on the file system of `dir`.
    pub fn check(self, what: &str, dir: &Dir, reserve: Reserve) -> Result<()> {
        let free = fsx::free_space(dir).map_err(Error::io("asking for free space"))?;
        self.fits(&free, reserve).map_err(|reason| Error::Other {
            kind: ErrorKind::NoSpace,
            message: format!("not enough space for {what}: {reason}"),
        })
    }

    fn fits(self, free: &FreeSpace, reserve: Reserve) -> Result<(), String> {
        let reserved = free.total_bytes / 100 * u64::from(reserve.percent);
        if self.bytes > free.available_bytes.saturating_sub(reserved) {
            return Err(format!(
                "it needs {} bytes, {} are available ({reserved} kept free)",
                self.bytes, free.available_bytes
            ));
        }
        match free.available_inodes {
            Some(available) if self.inodes > available => {
                Err(format!("it needs {} inodes, {available} are available", self.inodes))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_inodes_and_the_reserve_count() {
        let needed = Needed { bytes: 100, inodes: 10 };
        let free = |available_bytes, available_inodes| FreeSpace {
            available_bytes,
            total_bytes: 1000,
            available_inodes,
        };
        let fits = |free| needed.fits(&free, Reserve { percent: 5 });
        assert_eq!(fits(free(150, Some(10))), Ok(()));
        assert_eq!(fits(free(150, None)), Ok(()));
        let bytes = "it needs 100 bytes, 149 are available (50 kept free)";
        assert_eq!(fits(free(149, Some(10))), Err(bytes.into()));
        assert_eq!(fits(free(150, Some(9))), Err("it needs 10 inodes, 9 are available".into()));
        assert_eq!(fits(free(10, None)), Err("it needs 100 bytes, 10 are available (50 kept free)".into()));
    }
}
