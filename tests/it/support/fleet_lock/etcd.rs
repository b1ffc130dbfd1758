//! Debian's etcd on loopback, and the two calls of its JSON gateway that a semaphore needs.

use std::io;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::http_server::ask;
use super::super::tools::{command, missing};

/// Why there can be no etcd here, if there cannot.
pub fn obstacle() -> Option<String> {
    missing(&["etcd"])
}

/// A running etcd with nothing in it; it ends when this is dropped.
pub struct Etcd {
    process: Child,
    _directory: tempfile::TempDir,
    /// `127.0.0.1:PORT` for clients.
    pub address: String,
}

impl Etcd {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A port could be taken by another between here and the start: then it is tried again.
        for _ in 0..10 {
            let [clients, peers] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let [address, peer] =
                [clients, peers].map(|l| format!("127.0.0.1:{}", l.local_addr().unwrap().port()));
            let log = std::fs::File::create(directory.path().join("log")).unwrap();
            let mut process = command("etcd")
                .arg(format!("--data-dir={}", directory.path().join("data").display()))
                .arg(format!("--listen-client-urls=http://{address}"))
                .arg(format!("--advertise-client-urls=http://{address}"))
                .arg(format!("--listen-peer-urls=http://{peer}"))
                .arg(format!("--initial-advertise-peer-urls=http://{peer}"))
                .arg(format!("--initial-cluster=default=http://{peer}"))
                // Debian's package refuses architectures that nobody has tried.
                .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            if is_healthy(&mut process, &address) {
                return Self { process, _directory: directory, address };
            }
        }
        let log = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        panic!("etcd does not start:\n{log}");
    }

    /// Ends it at once; what was written stays lost.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until it has elected itself; false when the process ended before.
fn is_healthy(process: &mut Child, address: &str) -> bool {
    let patience = Instant::now() + Duration::from_secs(30);
    while Instant::now() < patience {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if ask(address, "GET", "/health", "")
            .is_ok_and(|(status, body)| status == 200 && body.contains("true"))
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = process.kill();
    let _ = process.wait();
    false
}

fn call(address: &str, path: &str, request: &Value) -> io::Result<Value> {
    let (status, body) = ask(address, "POST", path, &request.to_string())?;
    match status {
        200 => serde_json::from_str(&body).map_err(io::Error::other),
        _ => Err(io::Error::other(format!("etcd answered {status}: {body}"))),
    }
}

/// A value and the revision in which it was written last.
pub fn get(address: &str, key: &str) -> io::Result<Option<(Vec<u8>, u64)>> {
    let answer = call(address, "/v3/kv/range", &json!({"key": STANDARD.encode(key)}))?;
    let Some(found) = answer["kvs"].get(0) else { return Ok(None) };
    let text = |name: &str| found[name].as_str().unwrap_or_default();
    let value = STANDARD.decode(text("value")).map_err(io::Error::other)?;
    Ok(Some((value, text("mod_revision").parse().map_err(io::Error::other)?)))
}

/// Writes a value if the key was last written in this revision (0: never); says whether it was.
pub fn put_if(address: &str, key: &str, value: &[u8], revision: u64) -> io::Result<bool> {
    let key = STANDARD.encode(key);
    let request = json!({
        "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string()}],
        "success": [{"request_put": {"key": key, "value": STANDARD.encode(value)}}],
    });
    Ok(call(address, "/v3/kv/txn", &request)?["succeeded"] == true)
}
