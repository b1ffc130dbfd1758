//! Who a host is to the servers that it asks.

use crate::digest::Sha256Hasher;

/// A host, for graph and lock. Settings have checked every field.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// 32 lower-case hexadecimal digits; the same as long as the machine is the same.
    pub node_id: String,
    /// `[a-zA-Z0-9.-]+`: what is updated, and locked, together.
    pub group: String,
    /// As images name it: `amd64`, `arm64` …
    pub arch: String,
    /// `metal`, `qemu`, the name of a cloud …
    pub platform: String,
    pub stream: String,
    /// How late in a phased rollout this host wants to be, 0 to 1; `None` when nobody decided.
    pub wariness: Option<f64>,
}

/// The least wariness of a host for which nobody decided. 0 is before every rollout, which is for canaries.
const LEAST: f64 = 1e-6;

impl Identity {
    /// The wariness of the host: as configured, else a place in the line that is its own and stays.
    pub fn wariness(&self) -> f64 {
        self.wariness.unwrap_or_else(|| {
            let mut hasher = Sha256Hasher::default();
            hasher.update(b"rollout wariness of ");
            hasher.update(self.node_id.as_bytes());
            let hash = hasher.finish().0;
            let first = u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default());
            (first as f64 / u64::MAX as f64).max(LEAST)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_wariness_are_spread_evenly_and_stay_where_they_are() {
        let of = |n: u32, wariness| Identity {
            node_id: format!("{n:032x}"),
            group: "g".into(),
            arch: "amd64".into(),
            platform: "metal".into(),
            stream: "stable".into(),
            wariness,
        };
        let all: Vec<f64> = (0..10_000).map(|n| of(n, None).wariness()).collect();
        assert!(all.iter().all(|w| (LEAST..=1.0).contains(w)));
        for share in [0.1, 0.25, 0.5, 0.9] {
            let below = all.iter().filter(|w| **w <= share).count() as f64 / 10_000.0;
            assert!((below - share).abs() < 0.02, "{share}: {below}");
        }
        assert_eq!(of(7, None).wariness(), of(7, None).wariness());
        assert_eq!(of(7, Some(0.0)).wariness(), 0.0);
    }
}
