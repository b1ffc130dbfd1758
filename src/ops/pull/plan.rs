//! What a pull has to fetch: pure.

use std::collections::HashSet;

use crate::digest::Sha256;
use crate::oci::manifest::LayerDescriptor;

/// The layers of an image, divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullPlan {
    /// Indices into the image's layers, largest first, each diff_id once.
    pub fetch: Vec<usize>,
    /// How many layers the store has already, or that occur twice.
    pub reuse: usize,
    /// Compressed bytes to fetch.
    pub fetch_bytes: u64,
    /// Compressed bytes of all layers.
    pub total_bytes: u64,
}

impl PullPlan {
    /// `known` holds the diff_ids in the store: a layer is known by its content, whatever its compression.
    pub fn new(layers: &[LayerDescriptor], known: &HashSet<Sha256>) -> Self {
        let mut planned = HashSet::new();
        let mut fetch: Vec<usize> = (0..layers.len())
            .filter(|i| !known.contains(&layers[*i].diff_id) && planned.insert(layers[*i].diff_id))
            .collect();
        // The largest first: the last thread to finish then has little left to do.
        fetch.sort_by_key(|i| std::cmp::Reverse(layers[*i].size));
        Self {
            reuse: layers.len() - fetch.len(),
            fetch_bytes: fetch.iter().fold(0, |sum, i| sum.saturating_add(layers[*i].size)),
            total_bytes: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size)),
            fetch,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::oci::manifest::Compression;

    fn layer(diff_id: u8, size: u64) -> LayerDescriptor {
        LayerDescriptor {
            digest: Sha256([size as u8; 32]),
            size,
            compression: Compression::Gzip,
            diff_id: Sha256([diff_id; 32]),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn known_and_repeated_layers_are_not_fetched() {
        let layers = [layer(1, 10), layer(2, 30), layer(3, 20), layer(2, 31)];
        let plan = PullPlan::new(&layers, &HashSet::from([Sha256([1; 32])]));
        assert_eq!(plan, PullPlan { fetch: vec![1, 2], reuse: 2, fetch_bytes: 50, total_bytes: 91 });
    }
}
