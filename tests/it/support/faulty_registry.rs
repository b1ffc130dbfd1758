//! A registry in this process that does on request what a real one does not: refuse, cut, stall, lie.
//!
//! Serves images of [`super::image`] on loopback: a thread for each connection, one request on each. Faults are
//! queued by a part of the path; each request that matches takes the next one, and with none left the answer is
//! right.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine;
use reroot::digest::Sha256;
use serde_json::Value;

use super::image::{Built, INDEX, Image, index};

/// One wrong answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A status with headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The right headers and so many bytes of the right body; then the connection is gone.
    CutAfter(usize),
    /// The same; then silence.
    StallAfter(usize),
    /// The whole blob whatever was asked for.
    IgnoreRange,
    /// Both of these.
    IgnoreRangeAndCutAfter(usize),
    /// The right bytes under this `Content-Range`.
    ContentRange(String),
    /// Other bytes, with their length.
    Body(Vec<u8>),
    /// Other bytes without a length.
    Chunked(Vec<u8>),
    /// Zeros without an end.
    Endless,
    /// The connection is gone before an answer.
    Reset,
    /// Before the answer, the tag is moved to the image of this digest.
    MoveTag(&'static str, Sha256),
}

impl Fault {
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }

    pub fn retry_after(status: u16, value: &str) -> Self {
        Self::Status(status, vec![("Retry-After", value.into())], String::new())
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::Status(307, vec![("Location", to.into())], String::new())
    }
}

/// Who is let in.
#[derive(Debug, Clone)]
pub enum Access {
    Everybody,
    Password(&'static str, &'static str),
    Token(Tokens),
}

/// Access by tokens from `/token` of this server, or wherever `realm` says.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    pub realm: Option<String>,
    /// Whom `/token` gives one; everybody when not set.
    pub password: Option<(&'static str, &'static str)>,
    /// The refresh token that `/token` accepts by POST.
    pub refresh: Option<&'static str>,
    /// How many requests a token is good for.
    pub uses: Option<usize>,
    /// What is asked for beside the usual scope.
    pub scope: Option<&'static str>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

struct State {
    access: Access,
    tags: HashMap<String, Sha256>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    blobs: HashMap<String, Vec<u8>>,
    faults: Vec<(String, VecDeque<Fault>)>,
    /// Token -> uses left.
    tokens: HashMap<String, usize>,
    issued: usize,
    seen: Vec<Seen>,
}

/// A running registry. Ends with its value.
pub struct FaultyRegistry {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// The repository that everything is in.
pub const REPOSITORY: &str = "team/os";

impl FaultyRegistry {
    pub fn start() -> Self {
        Self::listen(None)
    }

    /// Speaks TLS, with a configuration that tests make.
    pub fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::listen(Some(Arc::new(config)))
    }

    fn listen(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            access: Access::Everybody,
            tags: HashMap::new(),
            manifests: HashMap::new(),
            blobs: HashMap::new(),
            faults: Vec::new(),
            tokens: HashMap::new(),
            issued: 0,
            seen: Vec::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopping) = (state.clone(), stop.clone());
        let listener = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                let (Ok(stream), shared, stopping) = (stream, shared.clone(), stopping.clone()) else {
                    continue;
                };
                let tls = tls.clone();
                // A client that goes away in the middle is not our failure.
                thread::spawn(move || drop(accept(stream, tls, &shared, &stopping, address)));
            }
        });
        Self { address, state, stop, listener: Some(listener) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// `127.0.0.1:PORT/team/os:TAG`.
    pub fn reference(&self, tag: &str) -> String {
        format!("{}/{REPOSITORY}:{tag}", self.address)
    }

    pub fn by_digest(&self, digest: Sha256) -> String {
        format!("{}/{REPOSITORY}@{digest}", self.address)
    }

    pub fn access(&self, access: Access) {
        self.state().access = access;
    }

    pub fn push(&self, tag: &str, image: &Image) -> Built {
        let built = image.build();
        let digest = self.store(&built);
        self.state().tags.insert(tag.into(), digest);
        built
    }

    /// Stores an image without naming it.
    pub fn store(&self, built: &Built) -> Sha256 {
        self.state().blobs.extend(built.blobs());
        self.push_manifest(None, &built.media_type, built.manifest.clone())
    }

    pub fn push_index(&self, tag: &str, manifests: &[Value]) -> Sha256 {
        self.push_manifest(Some(tag), INDEX, index(manifests))
    }

    /// Stores any bytes as a manifest.
    pub fn push_manifest(&self, tag: Option<&str>, media_type: &str, bytes: Vec<u8>) -> Sha256 {
        let digest = Sha256::of(&bytes);
        let mut state = self.state();
        state.manifests.insert(digest.to_string(), (media_type.into(), bytes));
        if let Some(tag) = tag {
            state.tags.insert(tag.into(), digest);
        }
        digest
    }

    /// Queues faults for requests whose path contains `part`.
    pub fn fail(&self, part: impl ToString, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.push((part.to_string(), faults.into_iter().collect()));
    }

    /// Every token so far is worth nothing any more.
    pub fn expire_tokens(&self) {
        self.state().tokens.clear();
    }

    /// The requests so far whose path contains `part`.
    pub fn seen(&self, part: impl ToString) -> Vec<Seen> {
        let part = part.to_string();
        self.state().seen.iter().filter(|seen| seen.path.contains(&part)).cloned().collect()
    }
}

impl Drop for FaultyRegistry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

fn accept(
    mut stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    state: &Mutex<State>,
    stop: &AtomicBool,
    address: SocketAddr,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            let mut tls = rustls::StreamOwned::new(connection, stream);
            serve(&mut tls, state, stop, address)?;
            tls.conn.send_close_notify();
            tls.flush()
        }
        None => {
            let mut first = [0];
            // A greeting in TLS: not spoken here.
            if stream.peek(&mut first)? == 1 && first[0] == 0x16 {
                return Ok(());
            }
            serve(&mut stream, state, stop, address)
        }
    }
}

fn serve(
    stream: &mut (impl Read + Write),
    state: &Mutex<State>,
    stop: &AtomicBool,
    address: SocketAddr,
) -> io::Result<()> {
    let request = read_request(stream)?;
    let (fault, answer) = state.lock().unwrap().take(&request, address);
    let whole = answer.body.len();
    match fault {
        None | Some(Fault::IgnoreRange | Fault::MoveTag(..)) => answer.send(stream, whole),
        Some(Fault::IgnoreRangeAndCutAfter(length)) => answer.send(stream, length),
        Some(Fault::Status(status, headers, body)) => {
            let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Answer { status, headers, body: body.into() }.send(stream, usize::MAX)
        }
        Some(Fault::CutAfter(length)) => answer.send(stream, length),
        Some(Fault::StallAfter(length)) => {
            answer.send(stream, length)?;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Some(Fault::ContentRange(range)) => {
            let mut answer = answer;
            answer.headers.retain(|(name, _)| name != "Content-Range");
            answer.headers.push(("Content-Range".into(), range));
            answer.send(stream, whole)
        }
        Some(Fault::Body(body)) => Answer { body, status: 200, headers: Vec::new() }.send(stream, usize::MAX),
        Some(Fault::Chunked(body)) => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
            for chunk in body.chunks(10_000) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        Some(Fault::Endless) => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
            while !stop.load(Ordering::Relaxed) {
                write!(stream, "{:x}\r\n", 65536)?;
                stream.write_all(&[0; 65536])?;
                stream.write_all(b"\r\n")?;
            }
            Ok(())
        }
        Some(Fault::Reset) => Ok(()),
    }
}

fn read_request(stream: &mut impl Read) -> io::Result<Seen> {
    // Byte by byte up to the empty line: requests are small, and the body must stay in the stream.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut lines = BufReader::new(&*head).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| {
            Some(line.split_once(':')?).map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()))
        })
        .collect();
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Seen { method, path, headers, body: String::from_utf8_lossy(&body).into() })
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    /// Sends the headers for the whole body, and at most `length` bytes of it.
    fn send(&self, stream: &mut impl Write, length: usize) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} x\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&self.body[..length.min(self.body.len())])?;
        stream.flush()
    }
}

impl State {
    /// Notes a request, and finds the right answer and the fault to spoil it with. Faults are for who is let
    /// in.
    fn take(&mut self, request: &Seen, address: SocketAddr) -> (Option<Fault>, Answer) {
        self.seen.push(request.clone());
        let for_token = request.path.starts_with("/token");
        if let Some(refusal) = (!for_token).then(|| self.refusal(request, address)).flatten() {
            return (None, refusal);
        }
        let fault = self.take_fault(&request.path);
        if let Some(Fault::MoveTag(tag, digest)) = &fault {
            self.tags.insert((*tag).into(), *digest);
        }
        let ignore_range = matches!(fault, Some(Fault::IgnoreRange | Fault::IgnoreRangeAndCutAfter(_)));
        let answer = if for_token { self.token(request) } else { self.content(request, ignore_range) };
        (fault, answer)
    }

    fn take_fault(&mut self, path: &str) -> Option<Fault> {
        self.faults
            .iter_mut()
            .filter(|(part, _)| path.contains(part.as_str()))
            .find_map(|(_, queue)| queue.pop_front())
    }

    fn content(&self, request: &Seen, ignore_range: bool) -> Answer {
        let prefix = format!("/v2/{REPOSITORY}/");
        let path = match request.path.strip_prefix(&prefix) {
            Some(path) => path,
            None if request.path == "/v2/" => return Answer::new(200),
            // Storage that a redirect points to.
            None => request.path.trim_start_matches("/storage/"),
        };
        if let Some(name) = path.strip_prefix("manifests/") {
            let digest = self.tags.get(name).map_or(name.to_owned(), Sha256::to_string);
            return match self.manifests.get(&digest) {
                Some((media_type, bytes)) => Answer { body: bytes.clone(), ..Answer::new(200) }
                    .header("Content-Type", media_type)
                    .header("Docker-Content-Digest", digest),
                None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            };
        }
        let digest = path.trim_start_matches("blobs/").split('?').next().unwrap_or_default();
        let Some(blob) = self.blobs.get(digest) else { return error(404, "BLOB_UNKNOWN", "blob unknown") };
        let from = request
            .header("range")
            .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from.filter(|_| !ignore_range) {
            Some(from) if from >= blob.len() => Answer::new(416),
            Some(from) => Answer { body: blob[from..].to_vec(), ..Answer::new(206) }
                .header("Content-Range", format!("bytes {from}-{}/{}", blob.len() - 1, blob.len())),
            None => Answer { body: blob.clone(), ..Answer::new(200) },
        }
    }

    /// The 401 for who is not let in.
    fn refusal(&mut self, request: &Seen, address: SocketAddr) -> Option<Answer> {
        // Storage has signed addresses instead.
        if request.path.starts_with("/storage/") {
            return None;
        }
        let given = request.header("authorization").unwrap_or_default();
        let (allowed, challenge) = match &self.access {
            Access::Everybody => (true, String::new()),
            Access::Password(user, password) => {
                (given == basic(user, password), "Basic realm=\"registry\"".into())
            }
            Access::Token(tokens) => {
                let token = given.strip_prefix("Bearer ").unwrap_or_default();
                let allowed = self.tokens.get_mut(token).is_some_and(|uses| {
                    let valid = *uses > 0;
                    *uses = uses.saturating_sub(1);
                    valid
                });
                let realm = tokens.realm.clone().unwrap_or_else(|| format!("http://{address}/token"));
                let scope = tokens
                    .scope
                    .map(str::to_owned)
                    .unwrap_or_else(|| format!("repository:{REPOSITORY}:pull"));
                (allowed, format!("Bearer realm=\"{realm}\",service=\"registry, here\",scope=\"{scope}\""))
            }
        };
        (!allowed).then(|| {
            error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge)
        })
    }

    fn token(&mut self, request: &Seen) -> Answer {
        let Access::Token(tokens) = &self.access else { return Answer::new(404) };
        let allowed = match request.method.as_str() {
            "POST" => tokens.refresh.is_some_and(|r| request.body.contains(&format!("refresh_token={r}"))),
            _ => tokens.password.is_none_or(|(u, p)| request.header("authorization") == Some(&basic(u, p))),
        };
        if !allowed {
            return error(401, "UNAUTHORIZED", "wrong user or password");
        }
        self.issued += 1;
        let token = format!("token-{}", self.issued);
        self.tokens.insert(token.clone(), tokens.uses.unwrap_or(usize::MAX));
        let body = serde_json::json!({"token": token, "expires_in": 300}).to_string();
        Answer { body: body.into(), ..Answer::new(200) }.header("Content-Type", "application/json")
    }
}

pub fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
    Answer { body: body.into(), ..Answer::new(status) }.header("Content-Type", "application/json")
}
