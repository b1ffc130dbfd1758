//! Layers: streamed to a reader, and continued where they broke off.
//!
//! Bytes that were handed over cannot be taken back, so a server that starts over is read past them. Whether
//! the pieces make the right blob is the reader's to check; what can be seen here (lengths, ranges) is.

use std::sync::Arc;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::pipe::Sender;
use super::range::is_rest;
use super::retry::Failure;
use super::server::{Request, Server};
use super::stall::Meter;
use super::throttle::Throttle;
use crate::digest::Sha256;
use crate::oci::{Error, Result};

/// An attempt that brought this much was worth it: the count of attempts starts again.
const PROGRESS: u64 = 64 << 10;

/// One blob on its way to a reader.
pub struct Transfer {
    pub digest: Sha256,
    pub size: u64,
    pub sender: Sender,
    throttle: Arc<Throttle>,
    /// Bytes handed over.
    delivered: u64,
}

/// How a transfer from one server ended.
enum Outcome {
    Complete,
    /// Nobody reads any more.
    Abandoned,
}

impl Transfer {
    pub fn new(digest: Sha256, size: u64, sender: Sender, throttle: Arc<Throttle>) -> Self {
        Self { digest, size, sender, throttle, delivered: 0 }
    }

    /// Gets the blob from the first of `servers` that has it. The next one continues where one gave up.
    pub async fn run(mut self, servers: Vec<Arc<Server>>) {
        let mut last_error = None;
        for server in servers {
            match self.from(&server).await {
                Ok(Outcome::Complete) => return self.sender.end(),
                Ok(Outcome::Abandoned) => return,
                Err(error) => {
                    if let Some(earlier) = last_error.replace(error) {
                        tracing::warn!("{earlier}");
                    }
                }
            }
        }
        let nowhere = || Error::NotFound { what: format!("blob {}", self.digest), known: Vec::new() };
        let error = last_error.unwrap_or_else(nowhere);
        self.sender.fail(error);
    }

    async fn from(&mut self, server: &Server) -> Result<Outcome> {
        let what = format!("blob {} of {}", self.digest, server.name());
        let mut attempts = server.attempts();
        let mut state = Resumption { ranges: true, ended_at: None };
        loop {
            let before = self.delivered;
            let failure = match self.attempt(server, &mut state, &what).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            if self.delivered - before >= PROGRESS {
                attempts.progressed();
            }
            if self.sender.is_abandoned() {
                return Ok(Outcome::Abandoned);
            }
            attempts.after(failure).await?;
        }
    }

    async fn attempt(
        &mut self,
        server: &Server,
        state: &mut Resumption,
        what: &str,
    ) -> Result<Outcome, Failure> {
        let from = (self.delivered > 0 && state.ranges).then_some(self.delivered);
        let path = format!("blobs/{}", self.digest);
        let mut response = server.send(&Request { from, ..Request::get(path, what) }).await?;
        let mut skip = self.bytes_to_skip(&response, from, state, what)?;
        let expected = self.size - self.delivered + skip;
        if let Some(announced) = response.content_length().filter(|announced| *announced != expected) {
            return Err(self.wrong_size(what, self.size - expected + announced).into());
        }
        let mut meter = Meter::new(server.options.timeouts);
        while let Some(mut piece) = meter.chunk(&mut response).await? {
            self.throttle.pass(piece.len()).await;
            let skipped = skip.min(piece.len() as u64);
            skip -= skipped;
            drop(piece.split_to(skipped as usize));
            if self.delivered + piece.len() as u64 > self.size {
                return Err(self.wrong_size(what, self.delivered + piece.len() as u64).into());
            }
            let length = piece.len() as u64;
            if length > 0 && self.sender.send(piece).await.is_err() {
                return Ok(Outcome::Abandoned);
            }
            self.delivered += length;
        }
        if self.delivered == self.size && skip == 0 {
            return Ok(Outcome::Complete);
        }
        self.ended_early(state, skip, what)
    }

    /// How much of an answer's body was handed over before.
    fn bytes_to_skip(
        &self,
        response: &Response,
        from: Option<u64>,
        state: &mut Resumption,
        what: &str,
    ) -> Result<u64, Failure> {
        let network = |reason: String| Error::Network { what: what.to_owned(), reason };
        match (response.status(), from) {
            // The server ignores ranges: from the start.
            (StatusCode::OK, Some(_)) => Ok(self.delivered),
            (StatusCode::OK, None) => Ok(self.delivered),
            (StatusCode::PARTIAL_CONTENT, Some(from)) => {
                let value = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
                if is_rest(value, from, self.size) {
                    return Ok(0);
                }
                state.ranges = false;
                let shown = crate::names::printable(value.unwrap_or("none").as_bytes());
                let reason = format!("asked for bytes from {from} of {}, got the range `{shown}`", self.size);
                Err(Failure::transient(network(reason)))
            }
            // There is nothing from there on: the server's blob ends earlier than ours should.
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(from)) => Err(self.wrong_size(what, from).into()),
            (status, _) => {
                Err(network(format!("it answered {status} to a request for the whole blob")).into())
            }
        }
    }

    /// A body ended as if it were whole. Once it may be a proxy's fault; if the next one ends there too, it is
    /// the blob.
    fn ended_early(&self, state: &mut Resumption, skip: u64, what: &str) -> Result<Outcome, Failure> {
        let end = self.delivered - skip;
        if state.ended_at == Some(end) {
            return Err(self.wrong_size(what, end).into());
        }
        state.ended_at = Some(end);
        let reason = format!("it ended after {end} of {} bytes", self.size);
        Err(Failure::transient(Error::Network { what: what.to_owned(), reason }))
    }

    fn wrong_size(&self, what: &str, found: u64) -> Error {
        let (expected, found) = (format!("{} bytes", self.size), format!("{found} bytes"));
        Error::Verification { what: what.to_owned(), expected, found }
    }
}

/// What was learnt about a server's way with interrupted transfers.
struct Resumption {
    /// False once an answer to a range was not what was asked for.
    ranges: bool,
    /// Where a body last ended without an error.
    ended_at: Option<u64>,
}
