//! Random numbers that can be had again.

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): one word of state.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Seeded from `REROOT_SEED`, else from the clock; the seed is printed.
    pub fn seeded(test: &str) -> Self {
        let seed = match std::env::var("REROOT_SEED") {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("REROOT_SEED={text} is not a number")),
            Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into(),
        };
        crate::support::skip::say(&format!("{test}: REROOT_SEED={seed}"));
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
