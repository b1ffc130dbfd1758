//! When to try again, and how long to wait before.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::options::Pause;
use crate::oci::Error;

/// Bounds of patience. An attempt that brought something (a stretch of a blob) starts the count again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts without progress.
    pub attempts: u32,
    /// As long as nothing was ever received: attempts to connect at all. A name typed wrong should fail soon.
    pub connect_attempts: u32,
    /// Doubles with each attempt, up to [`Self::longest_wait`].
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// The most that a server's `Retry-After` is believed.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            connect_attempts: 3,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(600),
        }
    }
}

/// Why an attempt failed.
#[derive(Debug)]
pub enum Failure {
    /// Another attempt would fail the same way.
    Final(Error),
    /// Another attempt may succeed; the server may have said when.
    Transient { error: Error, retry_after: Option<Duration> },
    /// There was no connection.
    Unreachable(Error),
}

impl Failure {
    pub fn transient(error: Error) -> Self {
        Self::Transient { error, retry_after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Counts the attempts at one thing.
#[derive(Debug)]
pub struct Attempts<'p> {
    policy: &'p RetryPolicy,
    pause: &'p Pause,
    failed: u32,
    was_connected: bool,
}

impl<'p> Attempts<'p> {
    pub fn new(policy: &'p RetryPolicy, pause: &'p Pause) -> Self {
        Self { policy, pause, failed: 0, was_connected: false }
    }

    /// Something arrived: start counting again.
    pub fn progressed(&mut self) {
        (self.failed, self.was_connected) = (0, true);
    }

    /// Waits until the next attempt is due, or gives the error back when there is to be none.
    pub async fn after(&mut self, failure: Failure) -> Result<(), Error> {
        self.failed += 1;
        let (error, retry_after, limit) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Transient { error, retry_after } => {
                self.was_connected = true;
                (error, retry_after, self.policy.attempts)
            }
            Failure::Unreachable(error) if self.was_connected => (error, None, self.policy.attempts),
            Failure::Unreachable(error) => (error, None, self.policy.connect_attempts),
        };
        if self.failed >= limit {
            return Err(tried(error, self.failed));
        }
        let wait = match retry_after {
            Some(wait) => wait.min(self.policy.longest_retry_after),
            None => jittered(backoff(self.policy, self.failed)),
        };
        tracing::info!("{error}; trying again in {:.1} s", wait.as_secs_f32());
        self.pause.wait(wait).await;
        Ok(())
    }
}

/// Says how often it was tried.
fn tried(error: Error, times: u32) -> Error {
    match error {
        Error::Network { what, reason } if times > 1 => {
            Error::Network { what, reason: format!("{reason} (tried {times} times)") }
        }
        other => other,
    }
}

fn backoff(policy: &RetryPolicy, failed: u32) -> Duration {
    let doubled = policy.first_wait.saturating_mul(1 << failed.saturating_sub(1).min(20));
    doubled.min(policy.longest_wait)
}

/// Between half of `wait` and all of it, so that machines that failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    // The hasher's keys are random; that is all the randomness this needs.
    let random = RandomState::new().hash_one(0_u8) as u32;
    wait / 2 + wait.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn network() -> Error {
        Error::Network { what: "x".into(), reason: "reset".into() }
    }

    /// Runs out of attempts with the failures that `next` makes; gives the waits and the last error.
    fn waits(next: impl Fn(u32) -> Failure) -> (Vec<Duration>, String) {
        let (policy, waits) = (RetryPolicy::default(), Arc::new(Mutex::new(Vec::new())));
        let pause = Pause::Record(waits.clone());
        let mut attempts = Attempts::new(&policy, &pause);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let error = runtime.block_on(async {
            for n in 0.. {
                if let Err(error) = attempts.after(next(n)).await {
                    return error.to_string();
                }
            }
            unreachable!()
        });
        let waits = waits.lock().unwrap().clone();
        (waits, error)
    }

    #[test]
    fn waits_double_with_jitter_up_to_a_limit() {
        let (waits, error) = waits(|_| Failure::transient(network()));
        assert_eq!(error, "x: reset (tried 8 times)");
        let full = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0];
        assert_eq!(waits.len(), full.len());
        for (wait, full) in waits.iter().zip(full) {
            assert!((full / 2.0..=full).contains(&wait.as_secs_f64()), "{wait:?} {full}");
        }
    }

    #[test]
    fn a_servers_word_is_kept_up_to_ten_minutes() {
        let after = |seconds| Some(Duration::from_secs(seconds));
        let (waits, _) = waits(|n| Failure::Transient {
            error: network(),
            retry_after: if n == 0 { after(7) } else { after(100_000) },
        });
        assert_eq!(waits[..2], [Duration::from_secs(7), Duration::from_secs(600)]);
    }

    #[test]
    fn what_was_never_reached_is_given_up_sooner() {
        let (waited, error) = waits(|_| Failure::Unreachable(network()));
        assert_eq!((waited.len(), error.as_str()), (2, "x: reset (tried 3 times)"));
        let (waited, _) =
            waits(|n| if n == 0 { Failure::transient(network()) } else { Failure::Unreachable(network()) });
        assert_eq!(waited.len(), 7);
        let (waited, error) = waits(|_| Failure::Final(network()));
        assert_eq!((waited.len(), error.as_str()), (0, "x: reset"));
    }
}
