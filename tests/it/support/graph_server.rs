//! A Cincinnati server in this process: a graph that tests make, and on request everything but a graph.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use reroot::digest::Sha256;
use serde_json::{Map, Value, json};

use super::http_server::{Asked, HttpServer, Reply};

/// A graph in the making.
#[derive(Debug, Clone, Default)]
pub struct Releases {
    nodes: Vec<Value>,
    edges: Vec<(usize, usize)>,
}

impl Releases {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a release, newer than those before it, with metadata beside its age.
    pub fn release(mut self, version: &str, digest: &Sha256, metadata: &[(&str, &str)]) -> Self {
        let mut all = Map::new();
        all.insert("org.fedoraproject.coreos.scheme".into(), "oci".into());
        all.insert("org.fedoraproject.coreos.releases.age_index".into(), self.nodes.len().to_string().into());
        for (key, value) in metadata {
            all.insert(format!("org.fedoraproject.coreos.updates.{key}"), (*value).into());
        }
        let payload = format!("quay.io/team/os@{digest}");
        self.nodes.push(json!({"version": version, "payload": payload, "metadata": all}));
        self
    }

    pub fn edge(mut self, from: usize, to: usize) -> Self {
        self.edges.push((from, to));
        self
    }

    pub fn document(&self) -> Value {
        json!({"nodes": self.nodes, "edges": self.edges})
    }
}

struct State {
    document: Value,
    faults: VecDeque<Reply>,
}

/// A running server. Ends with its value.
pub struct GraphServer {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

impl GraphServer {
    pub fn start(releases: &Releases) -> Self {
        let state = State { document: releases.document(), faults: VecDeque::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let server = HttpServer::start(move |asked| {
            let mut state = shared.lock().unwrap();
            state.faults.pop_front().unwrap_or_else(|| answer(asked, &state.document))
        });
        Self { server, state }
    }

    /// What stands in a configuration.
    pub fn base_url(&self) -> String {
        self.server.url("")
    }

    pub fn publish(&self, releases: &Releases) {
        self.state.lock().unwrap().document = releases.document();
    }

    /// The next answers are these.
    pub fn fail(&self, faults: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.server.asked()
    }
}

fn answer(asked: &Asked, document: &Value) -> Reply {
    let error =
        |status, kind: &str, value: String| Reply::json(status, &json!({"kind": kind, "value": value}));
    if asked.method != "GET" || asked.path != "/v1/graph" {
        return error(404, "not_found", asked.path.clone());
    }
    match ["basearch", "stream"].iter().find(|key| asked.query.get(**key).is_none_or(String::is_empty)) {
        Some(key) => error(400, "missing_client_params", format!("mandatory parameter missing: {key}")),
        None => Reply::json(200, document),
    }
}
