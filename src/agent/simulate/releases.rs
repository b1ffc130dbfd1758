//! The graph server: what is released, how far, and what was stopped.

use jiff::Timestamp;
use serde_json::json;

use super::plan::{Plan, ReleasePlan};
use crate::agent::graph::Graph;
use crate::digest::Sha256;

/// A release by its number: 0 is what all run at the start, `n` the `n`-th of the plan.
pub type Number = usize;

#[derive(Debug)]
pub struct Releases {
    plans: Vec<ReleasePlan>,
    start: Timestamp,
    /// How many of the plan are out.
    out: usize,
    stopped: Vec<bool>,
    /// What hosts get to see.
    pub graph: Graph,
}

impl Releases {
    pub fn new(plan: &Plan) -> Self {
        let stopped = vec![false; plan.releases.len() + 1];
        let graph = Graph::parse(br#"{"nodes": [], "edges": []}"#).expect("a graph of nothing");
        let mut this = Self { plans: plan.releases.clone(), start: plan.start, out: 0, stopped, graph };
        this.draw();
        this
    }

    /// The next release of the plan is out; gives its number.
    pub fn publish(&mut self) -> Number {
        self.out += 1;
        self.draw();
        self.out
    }

    /// Nobody is offered it any more.
    pub fn stop(&mut self, number: Number) {
        self.stopped[number] = true;
        self.draw();
    }

    pub fn is_stopped(&self, number: Number) -> bool {
        self.stopped[number]
    }

    /// What a tag names: the newest that was not stopped.
    pub fn newest(&self) -> Number {
        (0..=self.out).rev().find(|number| !self.stopped[*number]).unwrap_or(0)
    }

    pub fn plan(&self, number: Number) -> Option<&ReleasePlan> {
        number.checked_sub(1).map(|index| &self.plans[index])
    }

    fn draw(&mut self) {
        let node = |number: Number| {
            let mut metadata =
                json!({"reroot.scheme": "oci", "reroot.releases.age_index": number.to_string()});
            if let Some(plan) = self.plan(number).filter(|plan| !plan.rollout.is_zero() || plan.share > 0.0) {
                let out = self.start.as_second() + plan.at.as_secs() as i64;
                metadata["reroot.updates.rollout"] = "true".into();
                metadata["reroot.updates.start_epoch"] = out.to_string().into();
                metadata["reroot.updates.start_value"] = plan.share.to_string().into();
                metadata["reroot.updates.duration_minutes"] =
                    (plan.rollout.as_secs() / 60).to_string().into();
            }
            let version = self.plan(number).map_or("1", |plan| &plan.version);
            json!({"version": version, "payload": digest(number).to_string(), "metadata": metadata})
        };
        let nodes: Vec<_> = (0..=self.out).map(node).collect();
        let newer = |from: Number| (from + 1..=self.out).map(move |to| [from, to]);
        let edges: Vec<_> = (0..=self.out).flat_map(newer).filter(|[_, to]| !self.stopped[*to]).collect();
        let document = json!({"nodes": nodes, "edges": edges}).to_string();
        self.graph = Graph::parse(document.as_bytes()).expect("a graph that was just written");
    }
}

/// The image of a release.
pub fn digest(number: Number) -> Sha256 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    Sha256(bytes)
}

/// The release of an image.
pub fn number(digest: &Sha256) -> Number {
    u64::from_le_bytes(digest.0[..8].try_into().expect("eight bytes")) as Number - 1
}
