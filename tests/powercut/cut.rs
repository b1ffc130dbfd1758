//! Which power cuts to try: the choice of moments, and what a disk makes of them.
//!
//! A disk may lose any write that no flush has covered yet, and may have done them in any order. So the states of a
//! cut are: all operations up to some flush, and any subset of those sent between it and the cut.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use crate::log::{Log, Op};

/// The unit in which torn writes reach the disk.
pub const PAGE: u64 = 4096;

/// What happens to the writes after the last flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// All are lost: the state at the flush.
    Nothing,
    /// All made it: a prefix of the log.
    All,
    /// Each write is kept or lost as a whole, by the toss of a coin.
    Writes { seed: u64 },
    /// Each 4 KiB of each write is kept or lost by itself.
    Pages { seed: u64 },
}

/// A moment at which the power goes, and what the disk makes of it.
///
/// Everything before operation `flushed` is on disk, nothing from `end` on was ever sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerCut {
    pub flushed: usize,
    pub end: usize,
    pub kept: Kept,
}

/// Picks at most `count` cuts of `log` that leave different disks, in the order of the log.
///
/// Flush boundaries come first: all of them, or evenly spread ones with both ends if they would be more than two thirds.
/// The rest are lossy states, half of them spread evenly over the stretches between flushes, half over the operations.
pub fn cuts(log: &Log, count: usize, seed: u64) -> Vec<PowerCut> {
    let epochs = log.epochs();
    let mut boundaries: Vec<_> = epochs
        .iter()
        .map(|epoch| PowerCut { flushed: epoch.start, end: epoch.end, kept: Kept::Nothing })
        .collect();
    boundaries.push(PowerCut { flushed: log.ops().len(), end: log.ops().len(), kept: Kept::Nothing });
    let wanted = if boundaries.len() <= count * 2 / 3 { boundaries.len() } else { count / 2 };
    let mut cuts: Vec<_> = (0..wanted).map(|n| boundaries[spread(n, wanted, boundaries.len())]).collect();

    let mut random = Random(seed);
    let mut seen: HashSet<u64> = HashSet::new();
    // A short log has fewer states than asked for.
    for attempt in 0..4 * count {
        if cuts.len() >= count || epochs.is_empty() {
            break;
        }
        let epoch = match attempt % 2 {
            0 => &epochs[random.below(epochs.len())],
            _ => {
                let op = random.below(log.ops().len());
                &epochs[epochs.partition_point(|epoch| epoch.end <= op).min(epochs.len() - 1)]
            }
        };
        let cut = lossy_cut(epoch, &mut random);
        let survivors = survivors(log, &cut);
        // Nothing and everything are the boundaries before and after the epoch.
        let all = epoch.clone().map(|op| pieces(log, &log.ops()[op].op).count()).sum();
        if !survivors.is_empty() && survivors.len() < all && seen.insert(fingerprint(cut.flushed, &survivors))
        {
            cuts.push(cut);
        }
    }
    cuts.sort_by_key(|cut| (cut.flushed, cut.end, cut.kept));
    cuts
}

/// The place of the `n`-th of `wanted` evenly spread ones of `all`: the first and the last are among them.
fn spread(n: usize, wanted: usize, all: usize) -> usize {
    if wanted < 2 { all - 1 } else { n * (all - 1) / (wanted - 1) }
}

/// A cut somewhere in an epoch, with some of the writes before it.
fn lossy_cut(epoch: &Range<usize>, random: &mut Random) -> PowerCut {
    let early = epoch.start + 1 + random.below(epoch.len());
    let seed = random.next();
    let kept = match seed % 3 {
        0 => Kept::All,
        1 => Kept::Writes { seed },
        _ => Kept::Pages { seed },
    };
    // Most tosses are over everything that was sent before the next flush: the widest choice.
    let end = if kept == Kept::All || random.below(4) == 0 { early } else { epoch.end };
    PowerCut { flushed: epoch.start, end, kept }
}

fn fingerprint(flushed: usize, survivors: &[Survivor]) -> u64 {
    let mut hasher = DefaultHasher::new();
    flushed.hash(&mut hasher);
    for survivor in survivors {
        (survivor.op, survivor.at).hash(&mut hasher);
    }
    hasher.finish()
}

/// A piece of an unflushed operation that reached the disk.
pub struct Survivor<'l> {
    op: usize,
    pub at: u64,
    pub bytes: &'l [u8],
}

/// What the disk did of the operations that no flush covered, in order.
pub fn survivors<'l>(log: &'l Log, cut: &PowerCut) -> Vec<Survivor<'l>> {
    let mut random = Random(match cut.kept {
        Kept::Writes { seed } | Kept::Pages { seed } => seed,
        Kept::Nothing | Kept::All => 0,
    });
    let mut survivors = Vec::new();
    for (op, logged) in (cut.flushed..).zip(&log.ops()[cut.flushed..cut.end]) {
        let durable = matches!(logged.op, Op::Write { durable: true, .. });
        let whole = random.coin();
        for (at, bytes) in pieces(log, &logged.op) {
            let keep = match cut.kept {
                Kept::Nothing => false,
                Kept::All => true,
                Kept::Writes { .. } => whole,
                Kept::Pages { .. } => random.coin(),
            };
            if keep || durable {
                survivors.push(Survivor { op, at, bytes });
            }
        }
    }
    survivors
}

/// What `op` writes, cut at page borders.
pub fn pieces<'a>(log: &'a Log, op: &'a Op) -> impl Iterator<Item = (u64, &'a [u8])> {
    static ZERO: [u8; PAGE as usize] = [0; PAGE as usize];
    let (start, end, data) = match op {
        Op::Write { at, data, .. } => (*at, at + data.len() as u64, Some(log.data(data))),
        Op::Clear { at, len } => (*at, at + len, None),
        Op::Flush => (0, 0, None),
    };
    let mut at = start;
    std::iter::from_fn(move || {
        let piece = at;
        at = end.min(piece - piece % PAGE + PAGE);
        let bytes = match data {
            Some(data) => &data[(piece - start) as usize..(at - start) as usize],
            None => &ZERO[..(at - piece) as usize],
        };
        (piece < end).then_some((piece, bytes))
    })
}

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): small, seedable, good enough for coins.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::LogBuilder;

    /// An epoch of 40 writes after one of 2.
    fn log_of_many_states() -> Log {
        let log = LogBuilder::default().write(0, 1).write(1, 2).flush();
        (0..40).fold(log, |log, n| log.write(n % 24, n as u8)).flush().log()
    }

    #[test]
    fn cuts_hold_every_boundary_and_are_in_the_order_of_the_log() {
        let log = log_of_many_states();
        let cuts = cuts(&log, 60, 1);
        assert_eq!(cuts.len(), 60);
        assert!(cuts.is_sorted_by_key(|cut| (cut.flushed, cut.end)));
        for (flushed, end) in [(0, 2), (3, 43), (44, 44)] {
            assert!(cuts.contains(&PowerCut { flushed, end, kept: Kept::Nothing }), "{flushed}..{end}");
        }
        assert!(cuts.iter().any(|cut| cut.kept == Kept::All));
        assert!(cuts.iter().any(|cut| matches!(cut.kept, Kept::Writes { .. })));
        assert!(cuts.iter().any(|cut| matches!(cut.kept, Kept::Pages { .. })));
    }

    #[test]
    fn few_cuts_are_spread_over_the_whole_log() {
        let log =
            (0..100).fold(LogBuilder::default(), |log, n| log.write(n % 8, 1).write(n % 7, 2).flush()).log();
        let cuts = cuts(&log, 20, 1);
        assert_eq!(cuts.len(), 20);
        assert_eq!(cuts.iter().filter(|cut| cut.kept == Kept::Nothing).count(), 10);
        let whole = PowerCut { flushed: log.ops().len(), end: log.ops().len(), kept: Kept::Nothing };
        assert_eq!((cuts[0].flushed, cuts[19]), (0, whole));
    }
}
