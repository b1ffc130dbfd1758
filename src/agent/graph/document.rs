//! The graph as a server sends it.
//!
//! Metadata stands under keys of `reroot.` or, as Fedora CoreOS has it, of `org.fedoraproject.coreos.`; the former wins.
//!
//! | key | |
//! |---|---|
//! | `scheme` | `oci`, or nothing; payloads of others are no images |
//! | `releases.age_index` | the order of the releases: a decimal number, higher is newer |
//! | `updates.deadend`, `updates.deadend_reason` | `true` for a release from which no update leads on |
//! | `updates.barrier` | `true` for a release that must not be left out |
//! | `updates.rollout`, `.start_epoch`, `.start_value`, `.duration_minutes` | see [`Rollout`] |

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::rollout::Rollout;
use crate::digest::Sha256;
use crate::names::printable;

/// The most bytes of a document. Fedora CoreOS has some ten thousand for a stream of years.
pub const BYTES: usize = 16 << 20;
/// The most releases: one an hour for a year.
const NODES: usize = 10_000;
/// The most edges.
const EDGES: usize = 250_000;
/// How much of a version or a reason is kept.
const VERSION_CHARS: usize = 128;
const REASON_CHARS: usize = 300;
/// Where metadata stands, best first.
const PREFIXES: [&str; 2] = ["reroot.", "org.fedoraproject.coreos."];

/// Releases, and the steps between them that are allowed. A payload stands in it once, an edge leads from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Where one may go from a node, as indexes; sorted.
    edges: BTreeMap<usize, Vec<usize>>,
    pub oddities: Oddities,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// For people; fit for a terminal.
    pub version: String,
    /// The image; `None` for a payload that is something else.
    pub payload: Option<Payload>,
    /// `None` when the server gave none, or no number.
    pub age_index: Option<u64>,
    /// Why no update leads on from here; fit for a terminal.
    pub dead_end: Option<String>,
    pub barrier: bool,
    pub rollout: Option<Rollout>,
}

/// An image in a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub digest: Sha256,
    /// The repository, where the server names it: `quay.io/acme/os`.
    pub repository: Option<String>,
}

/// What makes no sense in a graph and does no harm. It is left away and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// Edges from or to a node that does not exist.
    pub edges_nowhere: usize,
    pub edges_to_self: usize,
    pub edges_twice: usize,
    /// Nodes with the image of an earlier one. They are the same release.
    pub payloads_twice: usize,
    /// Nodes without an image.
    pub payloads_unknown: usize,
    /// Nodes on a cycle, or between two of them. Steps back are never taken because a graph has them.
    pub on_cycles: usize,
}

impl Oddities {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, usize); 6] {
        [
            ("edges_nowhere", self.edges_nowhere),
            ("edges_to_self", self.edges_to_self),
            ("edges_twice", self.edges_twice),
            ("payloads_twice", self.payloads_twice),
            ("payloads_unknown", self.payloads_unknown),
            ("on_cycles", self.on_cycles),
        ]
    }
}

#[derive(Deserialize)]
struct RawGraph {
    nodes: Bounded<RawNode, NODES>,
    edges: Bounded<(u64, u64), EDGES>,
}

#[derive(Deserialize)]
struct RawNode {
    version: String,
    payload: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Graph {
    /// Reads a document. An error says what is wrong with it, without naming it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > BYTES {
            return Err(format!("it has more than {BYTES} bytes"));
        }
        let raw: RawGraph = serde_json::from_slice(bytes).map_err(|e| printable(e.to_string().as_bytes()))?;
        let mut oddities = Oddities::default();
        let nodes: Vec<Node> = raw.nodes.0.into_iter().map(Node::from).collect();
        // Releases with the same image are one, wherever an edge names one of them.
        let (mut first, mut same) = (HashMap::new(), Vec::with_capacity(nodes.len()));
        for (index, node) in nodes.iter().enumerate() {
            match &node.payload {
                Some(payload) => same.push(*first.entry(payload.digest).or_insert(index)),
                None => {
                    oddities.payloads_unknown += 1;
                    same.push(index);
                }
            }
        }
        oddities.payloads_twice = same.iter().enumerate().filter(|(index, first)| index != *first).count();
        let mut edges: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let node_of = |index: u64| same.get(usize::try_from(index).ok()?).copied();
        for (from, to) in raw.edges.0 {
            match (node_of(from), node_of(to)) {
                (Some(from), Some(to)) if from == to => oddities.edges_to_self += 1,
                (Some(from), Some(to)) => edges.entry(from).or_default().push(to),
                _ => oddities.edges_nowhere += 1,
            }
        }
        for targets in edges.values_mut() {
            let before = targets.len();
            targets.sort_unstable();
            targets.dedup();
            oddities.edges_twice += before - targets.len();
        }
        oddities.on_cycles = on_cycles(nodes.len(), &edges);
        Ok(Self { nodes, edges, oddities })
    }

    /// How many releases there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len() - self.oddities.payloads_twice
    }

    /// How many steps are allowed.
    pub fn edges(&self) -> usize {
        self.edges.values().map(Vec::len).sum()
    }

    /// The release with one of these images.
    pub fn find(&self, digests: &[Sha256]) -> Option<(usize, &Node)> {
        let is_it =
            |node: &Node| node.payload.as_ref().is_some_and(|payload| digests.contains(&payload.digest));
        self.nodes.iter().enumerate().find(|(_, node)| is_it(node))
    }

    /// Where one may go from a release.
    pub fn targets(&self, from: usize) -> impl Iterator<Item = &Node> {
        let targets = self.edges.get(&from).map(Vec::as_slice).unwrap_or_default();
        targets.iter().filter_map(|to| self.nodes.get(*to))
    }
}

/// How many nodes are left when those without an edge to them, or from them, are taken away again and again (Kahn 1962).
fn on_cycles(nodes: usize, edges: &BTreeMap<usize, Vec<usize>>) -> usize {
    let mut backwards: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, targets) in edges {
        for to in targets {
            backwards.entry(*to).or_default().push(*from);
        }
    }
    let mut gone = vec![false; nodes];
    for (ways_out, ways_in) in [(edges, &backwards), (&backwards, edges)] {
        let mut leading_here: Vec<usize> = (0..nodes)
            .map(|node| ways_in.get(&node).map_or(0, |from| from.iter().filter(|from| !gone[**from]).count()))
            .collect();
        let mut free: Vec<usize> =
            (0..nodes).filter(|node| !gone[*node] && leading_here[*node] == 0).collect();
        while let Some(node) = free.pop() {
            gone[node] = true;
            for to in ways_out.get(&node).into_iter().flatten().filter(|to| !gone[**to]) {
                leading_here[*to] -= 1;
                if leading_here[*to] == 0 {
                    free.push(*to);
                }
            }
        }
    }
    gone.iter().filter(|gone| !**gone).count()
}

impl From<RawNode> for Node {
    fn from(raw: RawNode) -> Self {
        let value = |key: &str| {
            PREFIXES.iter().find_map(|prefix| raw.metadata.get(&format!("{prefix}{key}"))).map(String::as_str)
        };
        let is_true = |key: &str| value(key) == Some("true");
        let reason = || value("updates.deadend_reason").filter(|reason| !reason.is_empty());
        let payload = match value("scheme") {
            None | Some("oci") => payload(&raw.payload),
            Some(_) => None,
        };
        Self {
            version: fit(&raw.version, VERSION_CHARS),
            payload,
            age_index: value("releases.age_index").and_then(number),
            dead_end: is_true("updates.deadend")
                .then(|| fit(reason().unwrap_or("no reason is given"), REASON_CHARS)),
            barrier: is_true("updates.barrier"),
            rollout: is_true("updates.rollout").then(|| {
                Rollout::parse(
                    value("updates.start_epoch"),
                    value("updates.start_value"),
                    value("updates.duration_minutes"),
                )
            }),
        }
    }
}

/// `sha256:…` or `HOST/REPOSITORY[:TAG]@sha256:…`.
fn payload(text: &str) -> Option<Payload> {
    match text.rsplit_once('@') {
        Some((name, digest)) => {
            let name = name.strip_prefix("docker://").unwrap_or(name);
            let repository = match name.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => repository,
                _ => name,
            };
            let repository = Some(printable(repository.as_bytes())).filter(|name| !name.is_empty());
            Some(Payload { digest: digest.parse().ok()?, repository })
        }
        None => Some(Payload { digest: text.parse().ok()?, repository: None }),
    }
}

/// A decimal number without sign or space.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The beginning of a text from outside, for a line of a terminal.
fn fit(text: &str, chars: usize) -> String {
    let text: String = text.chars().take(chars).collect();
    printable(text.as_bytes())
}

/// A list that is given up when it has more than `MOST` entries.
struct Bounded<T, const MOST: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounding(PhantomData))
    }
}

struct Bounding<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounding<T, MOST> {
    type Value = Bounded<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() == MOST {
                return Err(A::Error::custom(format!("a list has more than {MOST} entries")));
            }
            entries.push(entry);
        }
        Ok(Bounded(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub fn digest(n: u8) -> String {
        format!("sha256:{}", hex::encode([n; 32]))
    }

    fn parse(document: serde_json::Value) -> Result<Graph, String> {
        Graph::parse(document.to_string().as_bytes())
    }

    fn node(payload: &str, metadata: serde_json::Value) -> serde_json::Value {
        json!({"version": "1", "payload": payload, "metadata": metadata})
    }

    #[test]
    fn payloads_are_digests_or_pullspecs_of_the_scheme_for_images() {
        let found = |payload: &str, metadata| {
            let graph = parse(json!({"nodes": [node(payload, metadata)], "edges": []})).unwrap();
            graph.nodes[0].payload.clone().map(|p| (p.digest.to_string(), p.repository))
        };
        let repository = |name: &str| Some((digest(1), Some(name.to_owned())));
        assert_eq!(found(&digest(1), json!({})), Some((digest(1), None)));
        for (name, expected) in [
            ("quay.io/a/b", "quay.io/a/b"),
            ("quay.io:443/a/b", "quay.io:443/a/b"),
            ("quay.io/a/b:stable", "quay.io/a/b"),
            ("docker://quay.io/a/b", "quay.io/a/b"),
        ] {
            let oci = json!({"org.fedoraproject.coreos.scheme": "oci"});
            assert_eq!(found(&format!("{name}@{}", digest(1)), oci), repository(expected));
        }
        assert_eq!(found(&digest(1), json!({"reroot.scheme": "checksum"})), None);
        assert_eq!(found(&digest(1)[7..], json!({})), None);
        assert_eq!(found("quay.io/a/b:stable", json!({})), None);
    }

    #[test]
    fn metadata_stands_under_two_prefixes() {
        let metadata = json!({
            "org.fedoraproject.coreos.releases.age_index": "7",
            "org.fedoraproject.coreos.updates.deadend": "true",
            "org.fedoraproject.coreos.updates.deadend_reason": "too \u{1b}old",
            "reroot.releases.age_index": "8",
            "reroot.updates.barrier": "true",
        });
        let graph = parse(json!({"nodes": [node(&digest(1), metadata)], "edges": []})).unwrap();
        let node = &graph.nodes[0];
        assert_eq!((node.age_index, node.barrier, node.rollout.clone()), (Some(8), true, None));
        assert_eq!(node.dead_end.as_deref(), Some("too \\u{1b}old"));
    }

    #[test]
    fn what_makes_no_sense_is_left_away_and_counted() {
        let nodes = [1, 2, 1, 3].map(|n| node(&digest(n), json!({})));
        let graph = parse(json!({
            "nodes": [nodes[0], nodes[1], nodes[2], nodes[3], node("?", json!({}))],
            "edges": [[0, 1], [2, 1], [1, 3], [3, 0], [1, 1], [0, 2], [0, 9], [u64::MAX, 0], [1, 4]],
        }))
        .unwrap();
        let expected = Oddities {
            edges_nowhere: 2,
            edges_to_self: 2,
            edges_twice: 1,
            payloads_twice: 1,
            payloads_unknown: 1,
            on_cycles: 3,
        };
        assert_eq!(graph.oddities, expected);
        assert_eq!((graph.nodes(), graph.edges()), (4, 4));
        let (index, _) = graph.find(&[digest(3).parse().unwrap()]).unwrap();
        assert_eq!((index, graph.targets(index).count()), (3, 1));
    }

    #[test]
    fn documents_that_are_none_are_refused() {
        let many = |n: usize| json!({"nodes": vec![json!({"version": "", "payload": ""}); n], "edges": []});
        assert!(parse(many(NODES)).is_ok());
        for (document, message) in [
            (many(NODES + 1).to_string(), "a list has more than 10000 entries"),
            (format!("{{\"nodes\":[],\"edges\":[{}[0,0]]}}", "[0,0],".repeat(EDGES)), "more than 250000"),
            ("<html>".into(), "expected value"),
            ("{}".into(), "missing field `nodes`"),
            (r#"{"nodes":[]}"#.into(), "missing field `edges`"),
            (r#"{"nodes":[],"nodes":[],"edges":[]}"#.into(), "duplicate field"),
            (r#"{"nodes":[],"edges":[[0]]}"#.into(), "invalid length 1"),
            (r#"{"nodes":[],"edges":[[-1,0]]}"#.into(), "invalid value"),
            (r#"{"nodes":[{"version":"1"}],"edges":[]}"#.into(), "missing field `payload`"),
            ("[".repeat(100_000), "invalid type"),
            (" ".repeat(BYTES + 1), "bytes"),
        ] {
            let error = Graph::parse(document.as_bytes()).unwrap_err();
            assert!(error.contains(message), "{message}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_graph_panics(nodes in 0_usize..12, edges in proptest::collection::vec((0_u64..14, 0_u64..14), 0..40)) {
            let all: Vec<_> = (0..nodes).map(|n| node(&digest((n % 7) as u8), json!({}))).collect();
            let graph = parse(json!({"nodes": all, "edges": edges})).unwrap();
            proptest::prop_assert!(graph.oddities.on_cycles <= graph.nodes());
            // No edge is lost without being counted.
            let o = graph.oddities;
            let counted = graph.edges() + o.edges_nowhere + o.edges_to_self + o.edges_twice;
            proptest::prop_assert_eq!(counted, edges.len());
        }
    }
}
