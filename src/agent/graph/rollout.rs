//! Phased rollouts: first some hosts, then more, in the end all.
//!
//! A host has a place in the line, its wariness, from 0 to 1; a release has reached a share of the line, from 0 to 1. Hosts up to
//! there may have it.
//!
//! ```text
//! share
//! 1.0 |              _______
//!     |          ___/            from start_value at start_epoch
//!     |      ___/                to 1 after duration_minutes
//! 0.1 |     |
//! 0.0 |_____|______________ time
//! ```
//! The formula is that of Fedora CoreOS's policy engine, which leaves edges away by it. Judged here as well, it holds for a graph
//! that is a mere file; where both judge, they agree.

use super::document::number;

/// When which share of the hosts may have a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    phase: Option<Phase>,
}

// The share is finite, see `parse`.
impl Eq for Rollout {}

#[derive(Debug, Clone, PartialEq)]
struct Phase {
    /// Seconds since the epoch.
    start: u64,
    start_share: f64,
    /// `None`: the share stays what it is at the start.
    seconds: Option<u64>,
}

impl Rollout {
    /// Makes one of its metadata. One that cannot be understood lets nobody through: that is seen, and harms nobody.
    pub fn parse(epoch: Option<&str>, value: Option<&str>, minutes: Option<&str>) -> Self {
        let phase = || {
            let start = number(epoch?)?;
            let start_share = match value {
                Some(value) => value.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share))?,
                None => 0.0,
            };
            let seconds = match minutes {
                Some(minutes) => Some(number(minutes)?.saturating_mul(60)),
                None => None,
            };
            Some(Phase { start, start_share, seconds })
        };
        Self { phase: phase() }
    }

    /// The share of the hosts that may have the release at a time in seconds since the epoch, 0 to 1.
    pub fn share(&self, now: u64) -> f64 {
        let Some(Phase { start, start_share, seconds }) = self.phase else { return 0.0 };
        let Some(elapsed) = now.checked_sub(start) else { return 0.0 };
        match seconds {
            None => start_share,
            Some(seconds) if elapsed >= seconds => 1.0,
            Some(seconds) => start_share + (1.0 - start_share) * (elapsed as f64 / seconds as f64),
        }
    }

    /// Whether a host of this wariness may have the release. A wariness of 0 is before the start already.
    pub fn reached(&self, wariness: f64, now: u64) -> bool {
        self.phase.is_some() && wariness <= self.share(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_the_start_to_the_end() {
        let rollout = Rollout::parse(Some("1000"), Some("0.2"), Some("10"));
        for (now, share) in
            [(0, 0.0), (999, 0.0), (1000, 0.2), (1300, 0.6), (1599, 0.9986), (1600, 1.0), (u64::MAX, 1.0)]
        {
            assert!((rollout.share(now) - share).abs() < 1e-3, "{now}: {}", rollout.share(now));
        }
        assert!(rollout.reached(0.0, 0) && !rollout.reached(1e-6, 0));
        assert!(rollout.reached(0.2, 1000) && !rollout.reached(0.21, 1000));
        assert!(rollout.reached(1.0, 1600) && !rollout.reached(1.0, 1599));
        let at_once = Rollout::parse(Some("1000"), None, Some("0"));
        assert_eq!((at_once.share(999), at_once.share(1000)), (0.0, 1.0));
        assert_eq!(Rollout::parse(Some("0"), Some("0.5"), None).share(u64::MAX), 0.5);
    }

    #[test]
    fn one_that_makes_no_sense_lets_nobody_through() {
        for (epoch, value, minutes) in [
            (None, None, None),
            (Some(""), None, Some("10")),
            (Some("soon"), None, Some("10")),
            (Some("-1"), None, Some("10")),
            (Some("0"), Some("1.1"), Some("10")),
            (Some("0"), Some("NaN"), Some("10")),
            (Some("0"), Some("inf"), Some("10")),
            (Some("0"), Some("0"), Some("10m")),
        ] {
            let rollout = Rollout::parse(epoch, value, minutes);
            assert!(!rollout.reached(0.0, u64::MAX), "{epoch:?} {value:?} {minutes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_share_never_shrinks(start: u32, share in 0.0..=1.0_f64, minutes in 0_u64..100_000, a: u64, b: u64) {
            let (start, share, minutes) = (start.to_string(), share.to_string(), minutes.to_string());
            let rollout = Rollout::parse(Some(&start), Some(&share), Some(&minutes));
            let (earlier, later) = (rollout.share(a.min(b)), rollout.share(a.max(b)));
            proptest::prop_assert!((0.0..=1.0).contains(&earlier) && earlier <= later && later <= 1.0);
        }
    }
}
