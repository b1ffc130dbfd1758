//! Graphs from servers that are down, slow, wrong or hostile.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::support::graph_server::{GraphServer, Releases};
use crate::support::http_server::{HttpServer, Manner, Reply};
use crate::support::tls::{Clients, certificates};
use reroot::agent::graph::{BYTES, Booted, Graph, GraphClient, Outcome, Request, choose};
use reroot::agent::http::{Error, Patience};
use reroot::agent::identity::Identity;
use reroot::digest::Sha256;
use reroot::env::Env;
use reroot::ops::Downgrade;
use serde_json::json;

const BOOTED: Booted<'_> = Booted { version: "41.1", image: "quay.io/team/os@sha256:00" };

fn digest(n: u8) -> Sha256 {
    Sha256([n; 32])
}

pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub fn identity() -> Identity {
    Identity {
        node_id: "e0f3745b108f471cbd4883c6fbed8cdd".into(),
        group: "workers".into(),
        arch: "amd64".into(),
        platform: "metal".into(),
        stream: "stable".into(),
        wariness: Some(0.25),
    }
}

pub fn env(root: &Path) -> Env {
    Env::fixed(root, SystemTime::UNIX_EPOCH)
}

/// Shorter than a test is waited for, longer than a busy machine takes.
pub fn impatient() -> Patience {
    Patience { connect: Duration::from_secs(5), total: Duration::from_millis(1500) }
}

fn fetch(base_url: &str) -> Result<Graph, Error> {
    let client = GraphClient::new(base_url, &identity(), impatient(), &env(Path::new("/nonexistent")))?;
    run(client.fetch(BOOTED))
}

fn releases() -> Releases {
    Releases::new()
        .release("41.1", &digest(1), &[])
        .release("41.2", &digest(2), &[])
        .release("41.3", &digest(3), &[])
        .edge(0, 1)
        .edge(0, 2)
}

fn next(graph: &Graph, denied: &[u8]) -> Option<String> {
    let denied: BTreeSet<Sha256> = denied.iter().map(|n| digest(*n)).collect();
    let request = Request {
        booted: &[digest(1)],
        denied: &denied,
        downgrade: Downgrade::Refuse,
        wariness: 0.25,
        now: 0,
    };
    match choose(graph, &request).outcome {
        Outcome::Update(target) => Some(target.version),
        Outcome::Stay | Outcome::Unknown => None,
    }
}

#[test]
fn a_server_is_asked_as_zincati_asks_it() {
    let server = GraphServer::start(&releases());
    let graph = fetch(&server.base_url()).unwrap();
    assert_eq!((graph.nodes(), graph.edges()), (3, 2));
    assert_eq!(next(&graph, &[]).as_deref(), Some("41.3"));
    assert_eq!(next(&graph, &[3]).as_deref(), Some("41.2"));
    assert_eq!(next(&graph, &[2, 3]), None);
    let asked = &server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/v1/graph"));
    assert_eq!(asked.headers["accept"], "application/json");
    assert!(asked.headers["user-agent"].starts_with("reroot/"));
    let expected = [
        ("basearch", "x86_64"),
        ("stream", "stable"),
        ("platform", "metal"),
        ("group", "workers"),
        ("node_uuid", "e0f3745b108f471cbd4883c6fbed8cdd"),
        ("os_version", "41.1"),
        ("os_checksum", "quay.io/team/os@sha256:00"),
        ("rollout_wariness", "0.250000"),
        ("oci", "true"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(asked.query, expected);
}

#[test]
fn the_address_has_variables_and_may_be_a_file_of_any_web_server() {
    let document = releases().document();
    let server = HttpServer::start(move |asked| match asked.path.as_str() {
        "/os/stable/x86_64/workers/v1/graph" => Reply::json(200, &document),
        path => Reply::new(404, path),
    });
    assert!(fetch(&server.url("os/${stream}/${basearch}/${group}")).is_ok());
    let error = fetch(&server.url("os/${stream}")).unwrap_err();
    assert_eq!(error.label(), "http_404");
    let error = fetch(&server.url("${nothing}")).unwrap_err();
    assert_eq!(error.label(), "configuration");
}

#[test]
fn every_wrong_answer_is_an_error_with_a_kind() {
    let server = GraphServer::start(&releases());
    let whole = releases().document().to_string();
    let kind_and_value = json!({"kind": "graph_not_ready", "value": "try again\u{1b}[2J"});
    let elsewhere = server.base_url() + "loop";
    let many = json!({"nodes": vec![json!({"version": "", "payload": ""}); 10_001], "edges": []});
    for (reply, label, message) in [
        (Reply::new(503, ""), "http_503", "it answered 503"),
        (
            Reply::json(503, &kind_and_value),
            "graph_not_ready",
            "it answered 503: try again\\u{1b}[2J (graph_not_ready)",
        ),
        (Reply::json(500, &json!({"kind": "Ünknown", "value": ""})), "http_500", "it answered 500"),
        (Reply::new(500, vec![b'x'; 100_000]), "http_500", "it answered 500"),
        (Reply::new(500, "x").manner(Manner::Endless), "http_500", "it answered 500"),
        (Reply::new(204, ""), "http_204", "it answered 204"),
        (Reply::page(), "malformed", "its answer is no graph: expected value at line 1 column 1"),
        (Reply::new(200, ""), "malformed", "its answer is no graph: EOF"),
        (Reply::json(200, &json!([])), "malformed", "its answer is no graph: invalid"),
        (Reply::json(200, &many), "malformed", "a list has more than 10000 entries"),
        (Reply::new(200, vec![b' '; BYTES + 1]), "too_large", "more than 16777216 bytes"),
        (Reply::new(200, vec![b' '; 65536]).manner(Manner::Endless), "too_large", "more than 16777216 bytes"),
        (Reply::new(200, whole.clone()).manner(Manner::CutAfter(20)), "interrupted", ""),
        (Reply::new(200, "").manner(Manner::Reset), "interrupted", ""),
        (
            Reply::new(200, whole.clone()).manner(Manner::SilentAfter(20)),
            "timed_out",
            "no whole answer in 1.5 seconds",
        ),
        (
            Reply::new(200, whole.repeat(100)).manner(Manner::Dribble),
            "timed_out",
            "no whole answer in 1.5 seconds",
        ),
        (Reply::redirect(302, "ftp://127.0.0.1/"), "redirect", ""),
    ] {
        server.fail([reply.clone()]);
        let error = fetch(&server.base_url()).unwrap_err();
        assert_eq!(error.label(), label, "{error} for {:?}", reply.manner);
        assert!(error.to_string().starts_with(&server.base_url()), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    server.fail((0..10).map(|_| Reply::redirect(302, elsewhere.clone())));
    let error = fetch(&server.base_url()).unwrap_err();
    assert_eq!(error.label(), "redirect");
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
}

#[test]
fn a_server_that_is_down_is_unreachable_at_once() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = Instant::now();
    let error = fetch(&format!("http://{address}/")).unwrap_err();
    assert_eq!(error.label(), "unreachable");
    assert!(started.elapsed() < Duration::from_secs(5));
    // A name that cannot exist (RFC 6761).
    assert_eq!(fetch("http://updates.invalid/").unwrap_err().label(), "unreachable");
}

#[test]
fn what_a_server_says_about_asking_again_is_kept() {
    let server = GraphServer::start(&releases());
    server.fail([Reply::new(429, "").header("Retry-After", "90")]);
    let error = fetch(&server.base_url()).unwrap_err();
    assert_eq!(error.refusal().unwrap().retry_after, Some(Duration::from_secs(90)));
}

#[test]
fn passwords_in_an_address_are_used_and_not_shown() {
    let document = releases().document();
    let server = HttpServer::start(move |asked| match asked.headers.get("authorization") {
        Some(value) if value == "Basic dXNlcjpzZWNyZXQ=" => Reply::json(200, &document),
        _ => Reply::new(401, ""),
    });
    assert!(fetch(&format!("http://user:secret@{}/", server.address)).is_ok());
    let error = fetch(&format!("http://user:wrong@{}/", server.address)).unwrap_err();
    assert_eq!(error.to_string(), format!("http://{}/v1/graph: it answered 401", server.address));
}

#[test]
fn certificates_are_those_that_registries_have() {
    let test = "agent_graph::certificates_are_those_that_registries_have";
    let certificates = match certificates() {
        Ok(certificates) => certificates,
        Err(reason) => return crate::support::skip::skip(test, reason),
    };
    let root = tempfile::tempdir().unwrap();
    let registry =
        crate::support::faulty_registry::FaultyRegistry::start_tls(certificates.server_config(Clients::All));
    let ask = || {
        let base = format!("https://{}/", registry.address);
        let client = GraphClient::new(&base, &identity(), impatient(), &env(root.path()))?;
        run(client.fetch(BOOTED))
    };
    let error = ask().unwrap_err();
    assert_eq!(error.label(), "tls");
    assert!(error.to_string().contains("its certificate is not trusted"), "{error}");
    let place = root.path().join(format!("etc/containers/certs.d/{}", registry.address));
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("ca.crt"), certificates.pem("ca.crt")).unwrap();
    // It is no server of graphs, but it is trusted.
    assert_eq!(ask().unwrap_err().label(), "http_404");
}

#[test]
fn a_graph_full_of_nonsense_still_leads_to_the_right_release() {
    let twice = Releases::new()
        .release("41.1", &digest(1), &[])
        .release("41.2", &digest(2), &[])
        .release("41.1 again", &digest(1), &[])
        .release("41.3", &digest(3), &[])
        .edge(0, 1)
        .edge(1, 0)
        .edge(1, 1)
        .edge(2, 3)
        .edge(0, 77);
    let server = GraphServer::start(&twice);
    let graph = fetch(&server.base_url()).unwrap();
    assert_eq!(next(&graph, &[]).as_deref(), Some("41.3"));
    let found: Vec<_> = graph.oddities.named().into_iter().filter(|(_, count)| *count > 0).collect();
    let expected = [("edges_nowhere", 1), ("edges_to_self", 1), ("payloads_twice", 1), ("on_cycles", 2)];
    assert_eq!(found, expected);
}
