//! Reading a body from a server that may crawl, stop, or never end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Response;

use super::options::Timeouts;
use super::retry::Failure;
use super::transport::{classify, network};
use crate::oci::Error;

/// Measures how fast a body comes while we wait for it. The time that we take to use the bytes does not count.
#[derive(Debug)]
pub struct Meter {
    timeouts: Timeouts,
    /// Since the window began.
    received: u64,
    waited: Duration,
}

impl Meter {
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, received: 0, waited: Duration::ZERO }
    }

    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        loop {
            let left = self.timeouts.stall_window.saturating_sub(self.waited);
            let started = Instant::now();
            let next = tokio::time::timeout(left, response.chunk()).await;
            self.waited += started.elapsed();
            let chunk = match next {
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(chunk))) => Some(chunk),
                Ok(Err(error)) => {
                    return Err(match classify(&error, response.url()) {
                        // There was a connection.
                        Failure::Unreachable(error) => Failure::transient(error),
                        other => other,
                    });
                }
                Err(_) => None,
            };
            self.received += chunk.as_ref().map_or(0, |c| c.len() as u64);
            if self.waited >= self.timeouts.stall_window {
                if self.received < self.timeouts.stall_bytes {
                    let (bytes, seconds) = (self.received, self.timeouts.stall_window.as_secs_f32());
                    let reason = format!("it stalled: {bytes} bytes in {seconds:.0} seconds");
                    return Err(Failure::transient(network(response.url(), reason)));
                }
                (self.received, self.waited) = (0, Duration::ZERO);
            }
            if chunk.is_some() {
                return Ok(chunk);
            }
        }
    }

    /// Reads a whole body that may have `limit` bytes.
    pub async fn read_all(
        &mut self,
        mut response: Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, Failure> {
        let too_large = |size| Failure::Final(Error::TooLarge { what: what.to_owned(), size, limit });
        let announced = response.content_length().unwrap_or(0);
        if announced > limit {
            return Err(too_large(announced));
        }
        let mut body = Vec::with_capacity(announced as usize);
        while let Some(chunk) = self.chunk(&mut response).await? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                return Err(too_large(body.len() as u64));
            }
        }
        Ok(body)
    }
}
