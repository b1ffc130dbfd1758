//! A FleetLock server whose semaphores are in etcd, written to the protocol
//! (<https://coreos.github.io/zincati/development/fleetlock/protocol/>). Test code: it counts slots and nothing else.
//!
//! ```text
//! POST /v1/pre-reboot | /v1/steady-state
//!   -> read `fleet-lock/GROUP` and its revision   etcd
//!   -> who holds what after this                    semaphore, pure
//!   -> write it if the revision is still that one   etcd; else from the start
//! ```

pub mod etcd;
mod semaphore;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use semaphore::Semaphore;
use serde::Deserialize;
use serde_json::json;

use super::http_server::{Asked, HttpServer, Reply};

/// Writes that may lose against another before it is an error.
const RACES: usize = 100;

#[derive(Deserialize)]
struct Body {
    client_params: Client,
}

#[derive(Deserialize)]
struct Client {
    id: String,
    group: String,
}

/// A running lock server. Ends with its value; what it knows is in etcd.
pub struct FleetLockServer {
    pub server: HttpServer,
    faults: Arc<Mutex<VecDeque<Reply>>>,
}

impl FleetLockServer {
    /// Every group has so many slots. `etcd` is `HOST:PORT` of its client port.
    pub fn start(etcd: &str, slots: usize) -> Self {
        let (etcd, faults) = (etcd.to_owned(), Arc::new(Mutex::new(VecDeque::new())));
        let shared: Arc<Mutex<VecDeque<Reply>>> = faults.clone();
        let server = HttpServer::start(move |asked| {
            let fault = shared.lock().unwrap().pop_front();
            fault.unwrap_or_else(|| answer(asked, &etcd, slots).unwrap_or_else(|refusal| refusal))
        });
        Self { server, faults }
    }

    pub fn base_url(&self) -> String {
        self.server.url("")
    }

    /// The next answers are these, and nothing is locked or unlocked.
    pub fn fail(&self, faults: impl IntoIterator<Item = Reply>) {
        self.faults.lock().unwrap().extend(faults);
    }
}

/// Who holds a slot of a group, sorted.
pub fn holders(etcd: &str, group: &str) -> Vec<String> {
    let (semaphore, _) = load(etcd, group).unwrap();
    semaphore.holders.into_iter().collect()
}

/// Takes a slot away from its holder, as an operator does with a machine that is gone for good.
pub fn take_away(etcd: &str, group: &str, id: &str) {
    change(etcd, group, |semaphore| {
        semaphore.unlock(id);
        Ok(())
    })
    .unwrap();
}

fn refusal(status: u16, kind: &str, value: impl Into<String>) -> Reply {
    Reply::json(status, &json!({"kind": kind, "value": value.into()}))
}

fn answer(asked: &Asked, etcd: &str, slots: usize) -> Result<Reply, Reply> {
    if asked.method != "POST" {
        return Err(refusal(405, "method_not_allowed", "only POST"));
    }
    if asked.headers.get("fleet-lock-protocol").map(String::as_str) != Some("true") {
        return Err(refusal(400, "missing_header", "no `fleet-lock-protocol: true`"));
    }
    let Body { client_params: Client { id, group } } = serde_json::from_slice(&asked.body)
        .map_err(|error| refusal(400, "invalid_body", error.to_string()))?;
    let is_group = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if id.is_empty() || group.is_empty() || !group.chars().all(is_group) {
        return Err(refusal(400, "invalid_client_params", "no id, or no group"));
    }
    match asked.path.as_str() {
        "/v1/pre-reboot" => change(etcd, &group, |semaphore| {
            semaphore
                .lock(&id, slots)
                .map_err(|()| refusal(409, "failed_lock_semaphore_full", "all slots are locked already"))
        })?,
        "/v1/steady-state" => change(etcd, &group, |semaphore| {
            semaphore.unlock(&id);
            Ok(())
        })?,
        path => return Err(refusal(404, "not_found", path)),
    }
    Ok(Reply::new(200, ""))
}

fn load(etcd: &str, group: &str) -> Result<(Semaphore, u64), Reply> {
    let unavailable = |error: std::io::Error| refusal(500, "failed_etcd", error.to_string());
    match etcd::get(etcd, &key(group)).map_err(unavailable)? {
        Some((value, revision)) => {
            Ok((serde_json::from_slice(&value).expect("only this server writes it"), revision))
        }
        None => Ok((Semaphore::default(), 0)),
    }
}

/// Reads, changes and writes, until nobody wrote in between.
fn change(
    etcd: &str,
    group: &str,
    change: impl Fn(&mut Semaphore) -> Result<(), Reply>,
) -> Result<(), Reply> {
    for _ in 0..RACES {
        let (mut semaphore, revision) = load(etcd, group)?;
        let before = semaphore.clone();
        change(&mut semaphore)?;
        if semaphore == before {
            return Ok(());
        }
        let value = serde_json::to_vec(&semaphore).unwrap();
        match etcd::put_if(etcd, &key(group), &value, revision) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return Err(refusal(500, "failed_etcd", error.to_string())),
        }
    }
    Err(refusal(500, "failed_etcd", "others were always faster"))
}

fn key(group: &str) -> String {
    format!("fleet-lock/{group}")
}
