//! How patient a source is, which tests change, and how fast it may be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::retry::RetryPolicy;
use crate::oci::Rate;

/// How patient and how fast a source is.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub retry: RetryPolicy,
    pub timeouts: Timeouts,
    pub pause: Pause,
    /// How fast layers may come, all together; `None`: as fast as they can.
    pub rate: Option<Rate>,
}

/// How long a server may be silent or slow.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// From a request to the headers of its answer.
    pub response: Duration,
    /// A body must bring [`Self::stall_bytes`] in each such time, not counting what we keep it waiting.
    pub stall_window: Duration,
    pub stall_bytes: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            response: Duration::from_secs(60),
            // 1 KiB/s: the slowest line that still finishes an image within a life.
            stall_window: Duration::from_secs(60),
            stall_bytes: 60 << 10,
        }
    }
}

/// How waiting between attempts is done.
#[derive(Debug, Clone, Default)]
pub enum Pause {
    #[default]
    Sleep,
    /// Writes down what would be waited, and does not wait.
    Record(Arc<Mutex<Vec<Duration>>>),
}

impl Pause {
    pub async fn wait(&self, duration: Duration) {
        match self {
            Self::Sleep => tokio::time::sleep(duration).await,
            Self::Record(waits) => {
                waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(duration);
            }
        }
    }
}
