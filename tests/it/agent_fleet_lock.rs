//! Locks from a server on a real etcd, and from servers that are none.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::agent_graph::{env, identity, impatient, run};
use crate::support::fleet_lock::etcd::{Etcd, obstacle};
use crate::support::fleet_lock::{FleetLockServer, holders, take_away};
use crate::support::http_server::{HttpServer, Manner, Reply};
use crate::support::skip::skip;
use reroot::agent::fleet_lock::FleetLock;
use reroot::agent::http::Error;
use reroot::agent::identity::Identity;
use serde_json::json;

fn host(base_url: &str, node_id: &str) -> FleetLock {
    let identity = Identity { node_id: node_id.into(), ..identity() };
    FleetLock::new(base_url, &identity, impatient(), &env(Path::new("/nonexistent"))).unwrap()
}

fn label(result: Result<(), Error>) -> String {
    result.err().map_or("ok".into(), |error| error.label().into_owned())
}

#[test]
fn only_so_many_hosts_have_the_lock() {
    let test = "agent_fleet_lock::only_so_many_hosts_have_the_lock";
    if let Some(reason) = obstacle() {
        return skip(test, reason);
    }
    let etcd = Etcd::start();
    let server = FleetLockServer::start(&etcd.address, 1);
    let [a, b] = ["a", "b"].map(|id| host(&server.base_url(), id));
    let held = || holders(&etcd.address, "workers").join(" ");
    let full = "failed_lock_semaphore_full";
    run(async {
        // Who has none gives none back.
        assert_eq!(label(a.steady_state().await), "ok");
        assert_eq!(label(a.pre_reboot().await), "ok");
        // It asks again after a restart in the middle: still one slot.
        assert_eq!(label(a.pre_reboot().await), "ok");
        let error = b.pre_reboot().await.unwrap_err();
        assert_eq!((error.label().as_ref(), error.refusal().unwrap().status), (full, 409));
        assert!(error.to_string().ends_with("all slots are locked already (failed_lock_semaphore_full)"));
        assert_eq!(label(b.steady_state().await), "ok");
        assert_eq!(held(), "a");
        assert_eq!(label(a.steady_state().await), "ok");
        assert_eq!(label(b.pre_reboot().await), "ok");
        assert_eq!(held(), "b");
        // The lock is lost on the server's side: whoever had it asks again, and another may be faster.
        take_away(&etcd.address, "workers", "b");
        assert_eq!(label(a.pre_reboot().await), "ok");
        assert_eq!(label(b.pre_reboot().await), full);
    });
    let asked = &server.server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/v1/steady-state"));
    assert_eq!(asked.headers["fleet-lock-protocol"], "true");
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body, json!({"client_params": {"id": "a", "group": "workers"}}));
}

#[test]
fn many_hosts_at_once_never_have_more_slots_than_there_are() {
    let test = "agent_fleet_lock::many_hosts_at_once_never_have_more_slots_than_there_are";
    if let Some(reason) = obstacle() {
        return skip(test, reason);
    }
    const SLOTS: usize = 2;
    let etcd = Etcd::start();
    let server = FleetLockServer::start(&etcd.address, SLOTS);
    let (down, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (lock, down, most) = (host(&server.base_url(), &format!("host-{n}")), &down, &most);
            scope.spawn(move || {
                run(async {
                    while lock.pre_reboot().await.is_err() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    most.fetch_max(down.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    down.fetch_sub(1, Ordering::SeqCst);
                    while lock.steady_state().await.is_err() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), SLOTS);
    assert_eq!(holders(&etcd.address, "workers"), [""; 0]);
}

#[test]
fn without_its_etcd_the_server_gives_no_lock() {
    let test = "agent_fleet_lock::without_its_etcd_the_server_gives_no_lock";
    if let Some(reason) = obstacle() {
        return skip(test, reason);
    }
    let mut etcd = Etcd::start();
    let server = FleetLockServer::start(&etcd.address, 1);
    let a = host(&server.base_url(), "a");
    assert_eq!(label(run(a.pre_reboot())), "ok");
    etcd.kill();
    assert_eq!(label(run(a.steady_state())), "failed_etcd");
    assert_eq!(label(run(a.pre_reboot())), "failed_etcd");
}

#[test]
fn nothing_but_a_plain_yes_is_a_yes() {
    for (reply, expected) in [
        (Reply::new(200, ""), "ok"),
        (Reply::new(200, "x").manner(Manner::Endless), "ok"),
        (Reply::page(), "malformed"),
        (Reply::new(201, ""), "http_201"),
        (Reply::new(202, ""), "http_202"),
        (Reply::new(204, ""), "http_204"),
        (Reply::redirect(302, "/login"), "redirect"),
        (Reply::redirect(307, "/v1/elsewhere"), "redirect"),
        (Reply::new(304, ""), "redirect"),
        (Reply::new(404, "<html>"), "http_404"),
        (Reply::json(409, &json!({"kind": "lock_held", "value": "by another"})), "lock_held"),
        (Reply::json(409, &json!({"kind": "", "value": "by another"})), "http_409"),
        (Reply::json(409, &json!("lock_held")), "http_409"),
        (Reply::new(503, "x").manner(Manner::Endless), "http_503"),
        (Reply::new(503, vec![b' '; 1000]).manner(Manner::SilentAfter(10)), "http_503"),
        (Reply::new(200, "").manner(Manner::Reset), "interrupted"),
    ] {
        let answer = reply.clone();
        let server = HttpServer::start(move |asked| match asked.path.as_str() {
            "/login" | "/v1/elsewhere" => Reply::new(200, ""),
            _ => answer.clone(),
        });
        let lock = host(&server.url(""), "a");
        assert_eq!(label(run(lock.pre_reboot())), expected, "{reply:?}");
        assert_eq!(label(run(lock.steady_state())), expected, "{reply:?}");
    }
}

#[test]
fn a_server_that_thinks_for_ever_is_left() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lock = host(&format!("http://{}/", silent.local_addr().unwrap()), "a");
    let error = run(lock.pre_reboot()).unwrap_err();
    assert_eq!(error.label(), "timed_out");
    assert!(error.to_string().ends_with("/v1/pre-reboot: no whole answer in 1.5 seconds"), "{error}");
}
