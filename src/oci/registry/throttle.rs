//! No faster than the rate that somebody set, over all layers of an image together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::oci::Rate;

/// What was not used of the rate is kept for so long: the pieces in which bytes arrive are uneven.
const BURST: Duration = Duration::from_millis(250);

/// The rate of one source.
#[derive(Debug)]
pub struct Throttle {
    rate: Option<Rate>,
    /// When everything that was let through is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Without a rate nothing waits.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, paid: Mutex::new(None) }
    }

    /// Waits until so many bytes may go on. The line fills up meanwhile, and the server waits too.
    pub async fn pass(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let wait = self.charge(rate, bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts bytes, and says how long they have to wait.
    fn charge(&self, rate: Rate, bytes: usize, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second() as f64);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let start = paid.map_or(now, |paid| paid.max(earliest));
        let end = start + cost;
        *paid = Some(end);
        end.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_for_those_before_them() {
        let rate: Rate = "1M".parse().unwrap();
        let (throttle, start) = (Throttle::new(Some(rate)), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let charge = |bytes, millis| throttle.charge(rate, bytes, at(millis)).as_millis();
        assert_eq!(charge(512 << 10, 0), 500);
        // Of another layer, at the same time.
        assert_eq!(charge(512 << 10, 0), 1000);
        assert_eq!(charge(256 << 10, 900), 350);
        // A pause saves up no more than the burst.
        assert_eq!(charge(1 << 20, 60_000), 750);
        assert_eq!(charge(0, 60_750), 0);
    }
}
