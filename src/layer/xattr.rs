//! Which extended attributes of an image are kept.
//!
//! `security.*` (file capabilities, SELinux labels, IMA) and `user.*` are. Everything else is dropped with a
//! warning: `trusted.*` and `user.overlay.*` would change what an overlay shows (whiteouts, redirects),
//! `system.*` are ACLs in a form that depends on the kernel, and [`STORE`] belongs to the store. So an image that
//! was made from an overlay's upper directory, with overlay's own marks in it, still means what its whiteouts say.

use std::collections::BTreeSet;

use super::limits::{XATTR_NAME_BYTES, XATTR_VALUE_BYTES};
use super::{Error, Result};
use crate::fsx::xattr::Pair;
use crate::repo::Xattrs;

/// The prefix of the store's own attributes.
const STORE: &[u8] = b"user.reroot.";

/// Chooses and shares the attribute sets of one layer.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    last: Xattrs,
    dropped: BTreeSet<Vec<u8>>,
}

impl Chooser {
    /// The attributes that are kept of an entry.
    pub(super) fn choose(&mut self, entry: &[u8], all: &[(Vec<u8>, Vec<u8>)]) -> Result<Xattrs> {
        let mut kept: Vec<Pair> = Vec::new();
        for (name, value) in all {
            if name.is_empty() || name.len() > XATTR_NAME_BYTES || name.contains(&0) {
                return Err(Error::refused(entry, "an xattr name is empty, too long or has a NUL byte"));
            }
            if value.len() > XATTR_VALUE_BYTES {
                let (found, limit) = (value.len() as u64, XATTR_VALUE_BYTES as u64);
                let entry = crate::names::printable(entry);
                return Err(Error::TooLarge { entry, what: "an xattr value of", found, limit });
            }
            if is_kept(name) {
                kept.push((name[..].into(), value[..].into()));
            } else if !self.dropped.contains(&name[..]) && self.dropped.len() < 100 {
                self.dropped.insert(name.to_vec());
            }
        }
        if kept.is_empty() {
            return Ok(Xattrs::default());
        }
        let xattrs = Xattrs::new(kept);
        if xattrs != self.last {
            self.last = xattrs;
        }
        Ok(self.last.clone())
    }

    /// The names that were dropped anywhere in the layer.
    pub(super) fn dropped(self) -> BTreeSet<Vec<u8>> {
        self.dropped
    }
}

fn is_kept(name: &[u8]) -> bool {
    let has = |prefix: &[u8]| name.len() > prefix.len() && name.starts_with(prefix);
    (has(b"security.") || has(b"user.")) && !name.starts_with(b"user.overlay.") && !name.starts_with(STORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_attributes_are_kept() {
        let all = [
            ("security.capability", true),
            ("security.selinux", true),
            ("user.comment", true),
            ("user.overlay.opaque", false),
            ("user.reroot.meta", false),
            ("trusted.overlay.redirect", false),
            ("trusted.x", false),
            ("system.posix_acl_access", false),
            ("user.", false),
        ];
        let pairs: Vec<_> = all.iter().map(|(name, _)| (name.as_bytes().to_vec(), b"v".to_vec())).collect();
        let mut chooser = Chooser::default();
        let kept = chooser.choose(b"x", &pairs).unwrap();
        let names: BTreeSet<&[u8]> = kept.iter().map(|(name, _)| name).collect();
        for (name, keep) in all {
            assert_eq!(names.contains(name.as_bytes()), keep, "{name}");
            assert_eq!(chooser.dropped.contains(name.as_bytes()), !keep, "{name}");
        }
    }
}
