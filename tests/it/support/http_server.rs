//! A web server in this process for small answers, right or wrong: a thread for each connection, one request on each.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: HashMap<String, String>,
    /// All fields `scope` of the query, which may stand several times.
    pub scopes: Vec<String>,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub manner: Manner,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Whole,
    /// Nothing at all: the connection is gone.
    Reset,
    /// So many bytes of the body, and the connection is gone.
    CutAfter(usize),
    /// So many bytes of the body, and then silence.
    SilentAfter(usize),
    /// A byte of the body now and then.
    Dribble,
    /// The body again and again, without an end.
    Endless,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), manner: Manner::Whole }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).header("Content-Type", "application/json")
    }

    /// What a portal sends in place of everything.
    pub fn page() -> Self {
        let page = "<!DOCTYPE html><html><body>Please log in</body></html>";
        Self::new(200, page).header("Content-Type", "text/html; charset=utf-8")
    }

    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::new(status, "").header("Location", to)
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn manner(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }
}

type Answering = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running server. Ends with its value.
pub struct HttpServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl HttpServer {
    pub fn start(answering: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let answering: Arc<Answering> = Arc::new(answering);
        let (all, stopping) = (asked.clone(), stop.clone());
        let listener = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (all, stopping, answering) = (all.clone(), stopping.clone(), answering.clone());
                // A client that goes away in the middle is not our failure.
                thread::spawn(move || drop(serve(stream, &all, &stopping, &*answering)));
            }
        });
        Self { address, asked, stop, listener: Some(listener) }
    }

    /// `http://127.0.0.1:PORT/PATH`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    all: &Mutex<Vec<Asked>>,
    stop: &AtomicBool,
    answering: &Answering,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Whoever tries TLS first must not wait for an answer to it.
    let mut first = [0];
    if stream.peek(&mut first)? == 1 && first[0] == 0x16 {
        return Ok(());
    }
    let asked = read(&mut stream)?;
    all.lock().unwrap().push(asked.clone());
    let reply = answering(&asked);
    let waiting = || {
        thread::sleep(Duration::from_millis(10));
        !stop.load(Ordering::Relaxed)
    };
    if reply.manner == Manner::Reset {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if reply.manner != Manner::Endless {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    match reply.manner {
        Manner::Whole => stream.write_all(&reply.body),
        Manner::Reset => Ok(()),
        Manner::CutAfter(length) => stream.write_all(&reply.body[..length]),
        Manner::SilentAfter(length) => {
            stream.write_all(&reply.body[..length])?;
            while waiting() {}
            Ok(())
        }
        Manner::Dribble => {
            for byte in &reply.body {
                stream.write_all(&[*byte])?;
                if !waiting() {
                    break;
                }
            }
            Ok(())
        }
        Manner::Endless => {
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(&reply.body)?;
            }
            Ok(())
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let url = reqwest::Url::parse("http://x").unwrap().join(&target).map_err(io::Error::other)?;
    let query = url.query_pairs().into_owned().collect();
    let scopes = url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.into_owned());
    Ok(Asked { method, path: url.path().to_owned(), scopes: scopes.collect(), query, headers, body })
}

/// Sends one request and reads the whole answer: status and body.
pub fn ask(address: &str, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    // Without chunks, as long as the answer is one of HTTP/1.0.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let bad = || io::Error::other(format!("no answer of HTTP: {answer}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    Ok((status, body.to_owned()))
}
