//! How much of the store a tree uses, and how much of that nobody else does.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::gc::object_of;
use super::layout::CACHE;
use super::{Error, Node, Repo, Result};
use crate::digest::{ObjectId, TreeId};
use crate::fsx;
use crate::names::ImagePath;

/// Content bytes of the regular files of a deployment made from a tree. An inode counts once, as du(1) counts
/// it; `/var` does not count, because a deployment does not link it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeUsage {
    /// Bytes of all objects that are linked.
    pub linked_bytes: u64,
    /// Bytes of the objects that no other tree of the list links.
    pub unique_bytes: u64,
    /// Bytes of the files below `/etc`, of which a deployment has its own copies beside the linked ones.
    pub etc_bytes: u64,
}

/// The usage of several trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub trees: Vec<TreeUsage>,
    /// Bytes of the objects that more than one of them links, each once.
    pub shared_bytes: u64,
}

impl Usage {
    /// What deployments of all of them take together: every object once, and the copies of `/etc`.
    pub fn total_bytes(&self) -> u64 {
        self.trees.iter().fold(self.shared_bytes, |sum, tree| sum + tree.unique_bytes + tree.etc_bytes)
    }
}

#[derive(Serialize, Deserialize)]
struct Cache {
    version: u32,
    /// In the order they were asked for: position matters when one tree is listed twice.
    trees: Vec<TreeId>,
    usage: Vec<TreeUsage>,
    shared_bytes: u64,
}

const CACHE_VERSION: u32 = 2;
const CACHE_FILE: &str = "usage.json";

impl Repo {
    /// The usage of each tree against the others in the list, in the order of the list. A tree that is listed
    /// twice shares everything with itself. The last answer is cached, so that asking again is cheap.
    pub fn usage(&self, trees: &[TreeId]) -> Result<Vec<TreeUsage>> {
        Ok(self.usage_of_all(trees)?.trees)
    }

    /// As [`Self::usage`], with what they share.
    pub fn usage_of_all(&self, trees: &[TreeId]) -> Result<Usage> {
        if let Some(usage) = self.cached_usage(trees) {
            return Ok(usage);
        }
        let usage = self.compute_usage(trees)?;
        let cache = Cache {
            version: CACHE_VERSION,
            trees: trees.to_vec(),
            usage: usage.trees.clone(),
            shared_bytes: usage.shared_bytes,
        };
        // A cache that cannot be written (read-only, no privileges) costs time, not correctness.
        if let Ok(dir) = self.subdir(CACHE) {
            let _ =
                fsx::write_atomic(&dir, CACHE_FILE, &serde_json::to_vec(&cache).expect("plain data"), 0o600);
        }
        Ok(usage)
    }

    fn cached_usage(&self, trees: &[TreeId]) -> Option<Usage> {
        let bytes = fsx::read_limited(&self.subdir(CACHE).ok()?, CACHE_FILE, 1 << 20).ok()??;
        let cache: Cache = serde_json::from_slice(&bytes).ok()?;
        (cache.version == CACHE_VERSION && cache.trees == trees && cache.usage.len() == trees.len())
            .then_some(Usage { trees: cache.usage, shared_bytes: cache.shared_bytes })
    }

    fn compute_usage(&self, trees: &[TreeId]) -> Result<Usage> {
        let etc = ImagePath::new(b"etc")
            .map_err(|e| Error::Incompatible { what: "etc".into(), reason: e.to_string() })?;
        let var = ImagePath::new(b"var")
            .map_err(|e| Error::Incompatible { what: "var".into(), reason: e.to_string() })?;
        // For each object the first tree that has it, and whether there was another.
        let mut owners: HashMap<ObjectId, (u32, bool, u64)> = HashMap::new();
        let mut usage = Vec::with_capacity(trees.len());
        let mut seen = std::collections::HashSet::new();
        for (index, id) in trees.iter().enumerate() {
            let tree = self.read_tree(id)?;
            let mut own = TreeUsage::default();
            seen.clear();
            for entry in tree.entries() {
                let Node::File { size, .. } = &entry.node else { continue };
                if entry.path.is_below(&var) {
                    continue;
                }
                if entry.path.is_below(&etc) {
                    own.etc_bytes += size;
                }
                let Some(object) = object_of(&entry.node) else { continue };
                if seen.insert(object) {
                    own.linked_bytes += size;
                    let index = index as u32;
                    owners
                        .entry(object)
                        .and_modify(|owner| owner.1 |= owner.0 != index)
                        .or_insert((index, false, *size));
                }
            }
            usage.push(own);
        }
        let mut shared_bytes = 0;
        for (index, shared, size) in owners.into_values() {
            match shared {
                true => shared_bytes += size,
                false => usage[index as usize].unique_bytes += size,
            }
        }
        Ok(Usage { trees: usage, shared_bytes })
    }
}
