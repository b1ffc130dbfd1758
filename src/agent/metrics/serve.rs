//! Where the metrics can be read: a socket, and a port of this machine.
//!
//! The socket is read as zincati's is: whoever connects gets the text. Whoever begins with a request of HTTP gets an answer of
//! HTTP, so that a proxy or curl can read it as well. The port speaks HTTP alone.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::{AtFlags, Mode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::Metrics;
use super::text::{OPENMETRICS, PROMETHEUS};
use crate::fsx;

/// Who reads metrics reads them once in a while.
const MOST_CONNECTIONS: usize = 16;
/// From the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whoever has said nothing for so long on the socket wants the text.
const SILENCE: Duration = Duration::from_millis(200);
/// After an error of the system in accepting, such as too many open files.
const RECOVERY: Duration = Duration::from_secs(1);

/// A place that is listened at.
#[derive(Debug)]
pub enum Endpoint {
    Socket(UnixListener),
    Port(TcpListener),
}

enum Stream {
    Socket(UnixStream),
    Port(TcpStream),
}

impl Endpoint {
    /// Listens at a path, where everybody may connect who reaches the directory. Replaces a socket that an earlier process left.
    /// Must be called inside a runtime.
    pub fn socket(path: &Path) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "it names no file in a directory");
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(bad)?;
        let parent = path.parent().ok_or_else(bad)?;
        let directory = fsx::open_dir(parent)?;
        // Under another name first: there is never a moment without the socket, or with one that nobody may use.
        let new = format!(".{name}.new");
        fsx::remove_file(&directory, &new)?;
        let listener = UnixListener::bind(parent.join(&new))?;
        rustix::fs::chmodat(&directory, new.as_str(), Mode::from_raw_mode(0o666), AtFlags::empty())?;
        fsx::rename(&directory, &new, &directory, name)?;
        Ok(Self::Socket(listener))
    }

    /// Listens at a port of this machine; another address is refused. Port 0 is any that is free.
    pub async fn port(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let reason = format!("{address} is not an address of this machine alone; take 127.0.0.1 or ::1");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Self::Port(TcpListener::bind(address).await?))
    }

    /// The address of a port.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(_) => None,
            Self::Port(listener) => listener.local_addr().ok(),
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Socket(listener) => Stream::Socket(listener.accept().await?.0),
            Self::Port(listener) => Stream::Port(listener.accept().await?.0),
        })
    }
}

/// Answers until it is dropped. No connection lives long, and there are few at a time.
pub async fn serve(endpoint: Endpoint, metrics: Arc<Metrics>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        let accepted = endpoint.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(_) if connections.len() >= MOST_CONNECTIONS => {}
            Ok(stream) => {
                let answering = answer(stream, metrics.clone());
                // Who is too slow, or gone, has no metrics and is not missed.
                connections.spawn(async move { drop(tokio::time::timeout(PATIENCE, answering).await) });
            }
            Err(error) => {
                tracing::warn!("waiting for somebody to read the metrics: {error}");
                tokio::time::sleep(RECOVERY).await;
            }
        }
    }
}

async fn answer(stream: Stream, metrics: Arc<Metrics>) -> io::Result<()> {
    match stream {
        Stream::Port(stream) => speak_http(stream, metrics).await,
        Stream::Socket(stream) => {
            let (mut from, mut to) = stream.into_split();
            let mut first = [0; 4];
            let heard = tokio::time::timeout(SILENCE, from.read(&mut first)).await;
            let heard = &first[..heard.ok().and_then(Result::ok).unwrap_or(0)];
            if heard.is_empty() || !["GET ", "HEAD"].iter().any(|method| method.as_bytes().starts_with(heard))
            {
                to.write_all(metrics.text().as_bytes()).await?;
                return to.shutdown().await;
            }
            speak_http(tokio::io::join(heard.chain(from), to), metrics).await
        }
    }
}

async fn speak_http(stream: impl AsyncRead + AsyncWrite + Unpin, metrics: Arc<Metrics>) -> io::Result<()> {
    let service = service_fn(|request| {
        let response = respond(&request, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    http.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

fn respond(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let say = |status, text: &'static str| reply(status, PROMETHEUS, text.into());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = say(StatusCode::METHOD_NOT_ALLOWED, "metrics are only read\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    if request.uri().path() != "/metrics" {
        return say(StatusCode::NOT_FOUND, "the metrics are at /metrics\n");
    }
    let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.into_iter().any(|value| value.contains("application/openmetrics-text")) {
        reply(StatusCode::OK, OPENMETRICS, metrics.openmetrics().into())
    } else {
        reply(StatusCode::OK, PROMETHEUS, metrics.text().into())
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
