//! Blobs and manifests to a server (distribution-spec, "Push").
//!
//! A blob goes in one piece: it is asked for, mounted where another repository has it, and otherwise sent by POST and PUT. A
//! transfer that broke off starts again from its beginning, since servers differ in what they keep of one.

use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::options::Timeouts;
use super::response;
use super::retry::Failure;
use super::server::{Request, Server, location, same_origin};
use super::transport::{classify, network};
use crate::digest::Sha256;
use crate::oci::push::OutgoingBlob;
use crate::oci::{Error, Result};

/// One read of the blob.
const PIECE: usize = 256 << 10;
/// Pieces between the thread that reads and the connection.
const PIECES: usize = 4;
/// Registries move a blob to its place before they answer; large ones take their time.
const STORING_WINDOWS: u32 = 5;

/// How a blob came there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Present,
    Mounted,
    Whole,
}

/// Opens a blob from its beginning.
pub type Open<'o> = &'o (dyn Fn() -> Result<Box<dyn Read + Send>> + Sync);

/// Where the server wants a blob, or that it took it from elsewhere.
enum Begun {
    Mounted,
    At(Url),
}

impl Server {
    /// Sees to it that the server has a blob.
    pub async fn upload(&self, blob: &OutgoingBlob, from: Option<&str>, open: Open<'_>) -> Result<Sent> {
        let what = format!("blob {} to {}", blob.digest, self.name());
        let (mut attempts, mut refused) = (self.attempts(), false);
        loop {
            match self.attempt_upload(blob, from, open, &what).await {
                Ok(sent) => return Ok(sent),
                // Authorization was there a moment ago: a token may have ended meanwhile, and the next attempt gets another.
                Err(Failure::Final(Error::Unauthorized { what, reason })) if !refused => {
                    refused = true;
                    attempts.after(Failure::transient(Error::Network { what, reason })).await?;
                }
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    async fn attempt_upload(
        &self,
        blob: &OutgoingBlob,
        from: Option<&str>,
        open: Open<'_>,
        what: &str,
    ) -> Result<Sent, Failure> {
        if self.has(&blob.digest, what).await? {
            return Ok(Sent::Present);
        }
        match self.begin(&blob.digest, from, what).await? {
            Begun::Mounted => Ok(Sent::Mounted),
            Begun::At(url) => self.put(blob, url, open, what).await.map(|()| Sent::Whole),
        }
    }

    async fn has(&self, digest: &Sha256, what: &str) -> Result<bool, Failure> {
        match self.send(&Request::new(Method::HEAD, format!("blobs/{digest}"), what)).await {
            Ok(_) => Ok(true),
            // It is not there, or the server says nothing about it: some know no HEAD, and some refuse it for a repository before its
            // first push. What is really wrong is told when the upload begins.
            Err(Failure::Final(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn begin(&self, digest: &Sha256, from: Option<&str>, what: &str) -> Result<Begun, Failure> {
        let post = async |path: String| self.send(&Request::new(Method::POST, path, what)).await;
        let mounting = match from {
            Some(repository) => {
                match post(format!("blobs/uploads/?mount={digest}&from={repository}")).await {
                    // Who may not read there, or a server that knows no mounts: then it is sent.
                    Err(Failure::Final(error)) => {
                        tracing::debug!("blob {digest} cannot be mounted from {repository}: {error}");
                        None
                    }
                    answer => Some(answer?),
                }
            }
            None => None,
        };
        let is_mount = mounting.is_some();
        let answer = match mounting {
            Some(answer) => answer,
            None => post("blobs/uploads/".into()).await.map_err(|failure| self.no_repository(failure))?,
        };
        match answer.status() {
            StatusCode::CREATED if is_mount => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => Ok(Begun::At(location(&answer, answer.url())?)),
            status => {
                Err(network(answer.url(), format!("it answered {status} to the start of an upload")).into())
            }
        }
    }

    async fn put(
        &self,
        blob: &OutgoingBlob,
        mut url: Url,
        open: Open<'_>,
        what: &str,
    ) -> Result<(), Failure> {
        let route = self.transport.route().await?;
        let for_registry = same_origin(&url, &route.base);
        url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let (body, progress) = body(open()?, blob.size);
        let mut request = route.client.put(url.clone()).header(CONTENT_TYPE, "application/octet-stream");
        // Without a body its length is not said by itself, and some want it said.
        request = request.header(CONTENT_LENGTH, blob.size).body(reqwest::Body::wrap(body));
        // A storage host that the registry sends us to has its credentials in the address.
        if let Some(header) = self.authorizer.header().await.filter(|_| for_registry) {
            request = request.header(AUTHORIZATION, header);
        }
        let answer = patiently(self.options.timeouts, request.send(), &progress, blob.size, &url).await;
        if let Some(error) = progress.failed() {
            return Err(Error::from_io(error, || format!("reading {what}")).into());
        }
        let answer = answer?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.refused(answer, what).await),
        }
    }

    /// Gives the manifest its tag; from then on the image is there.
    pub async fn name_it(&self, manifest: &[u8], media_type: &str) -> Result<()> {
        let tag = self.reference.tag.as_deref().unwrap_or("latest");
        let what = format!("{}:{tag}", self.name());
        let mut attempts = self.attempts();
        loop {
            let body = Some((Bytes::copy_from_slice(manifest), media_type));
            let request = Request { body, ..Request::new(Method::PUT, format!("manifests/{tag}"), &what) };
            match self.send(&request).await {
                Ok(answer) => return same_digest(&answer, &Sha256::of(manifest), &what),
                Err(failure) => attempts.after(self.no_repository(failure)).await?,
            }
        }
    }

    fn no_repository(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Final(Error::NotFound { .. }) => Error::Network {
                what: self.name(),
                reason: "the registry has no such repository; some want it made before the first push".into(),
            }
            .into(),
            other => other,
        }
    }

    async fn refused(&self, answer: Response, what: &str) -> Failure {
        match response::failure(answer, what, self.transport.now()).await {
            // The place of an upload does not last.
            Failure::Final(Error::NotFound { what, .. }) => {
                Failure::transient(Error::Network { what, reason: "the server forgot the upload".into() })
            }
            other => other,
        }
    }
}

fn same_digest(answer: &Response, expected: &Sha256, what: &str) -> Result<()> {
    let said = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match said.and_then(|text| text.parse::<Sha256>().ok()) {
        Some(found) if found != *expected => Err(Error::Verification {
            what: what.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Waits for the answer to an upload as long as it goes on.
async fn patiently(
    timeouts: Timeouts,
    sending: impl Future<Output = reqwest::Result<Response>>,
    progress: &Progress,
    size: u64,
    url: &Url,
) -> Result<Response, Failure> {
    let mut sending = pin!(sending);
    let (mut before, mut storing) = (0, 0);
    loop {
        if let Ok(answer) = tokio::time::timeout(timeouts.stall_window, &mut sending).await {
            return answer.map_err(|error| classify(&error, url));
        }
        let sent = progress.sent.load(Ordering::Relaxed);
        storing += u32::from(sent == size);
        // A blob that comes from elsewhere may keep us waiting; that has limits of its own.
        let waits_for_us = !progress.is_hungry.load(Ordering::Relaxed);
        let stalled = sent < size && waits_for_us && sent - before < timeouts.stall_bytes;
        if stalled || storing > STORING_WINDOWS {
            let seconds = timeouts.stall_window.as_secs_f32();
            let reason = match stalled {
                true => format!("it stalled: {} bytes in {seconds:.0} seconds", sent - before),
                false => "it has all bytes and does not answer".into(),
            };
            return Err(Failure::transient(network(url, reason)));
        }
        before = sent;
    }
}

/// What became of a body, for whoever waits for the answer.
#[derive(Debug, Default)]
struct Progress {
    sent: AtomicU64,
    /// Whether the connection waits for the thread that reads.
    is_hungry: AtomicBool,
    error: Mutex<Option<io::Error>>,
}

impl Progress {
    fn failed(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A blob as a body: a thread reads, the connection takes.
struct Pieces {
    pieces: Receiver<Bytes>,
    left: u64,
    progress: Arc<Progress>,
}

fn body(blob: Box<dyn Read + Send>, size: u64) -> (Pieces, Arc<Progress>) {
    let (sender, pieces) = channel(PIECES);
    let progress = Arc::new(Progress::default());
    let of_thread = progress.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = feed(blob, size, &sender) {
            *of_thread.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    });
    (Pieces { pieces, left: size, progress: progress.clone() }, progress)
}

/// Gives exactly `size` bytes; an end before that is an error, and whatever follows is not looked at: the digest is the server's to
/// check.
fn feed(mut blob: Box<dyn Read + Send>, size: u64, to: &Sender<Bytes>) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        let read = blob.read(&mut piece)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{left} of {size} bytes are missing"),
            ));
        }
        piece.truncate(read);
        left -= read as u64;
        if to.blocking_send(piece.into()).is_err() {
            // Nobody sends it any more; why is told there.
            return Ok(());
        }
    }
    Ok(())
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.pieces.poll_recv(context);
        self.progress.is_hungry.store(piece.is_pending(), Ordering::Relaxed);
        piece.map(|piece| match piece {
            Some(piece) => {
                self.left -= piece.len() as u64;
                self.progress.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Some(Ok(Frame::data(piece)))
            }
            None if self.left == 0 => None,
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
