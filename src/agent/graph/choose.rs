//! Which release of a graph a host goes to.

use std::collections::BTreeSet;

use super::document::{Graph, Node};
use crate::digest::Sha256;
use crate::ops::Downgrade;

/// What is asked of a graph.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The digests under which the booted image may be listed: of its manifest, of the index that it was chosen from.
    pub booted: &'a [Sha256],
    /// Images that are not wanted: those that failed here, those that were left by a rollback.
    pub denied: &'a BTreeSet<Sha256>,
    pub downgrade: Downgrade,
    /// The host's place in a phased rollout, 0 to 1.
    pub wariness: f64,
    /// Seconds since the epoch.
    pub now: u64,
}

/// What a graph says to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub outcome: Outcome,
    /// Why no update leads on from the booted release.
    pub dead_end: Option<String>,
    /// Releases that an edge leads to, and why they were not taken; in the order of the document.
    pub ignored: Vec<Ignored>,
}

/// Where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The booted image is not in the graph: nothing is known about where one may go from it.
    Unknown,
    /// Here is where to be, for now.
    Stay,
    Update(Target),
}

/// A release to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub digest: Sha256,
    /// For people; fit for a terminal.
    pub version: String,
    /// Where the server says that the image is.
    pub repository: Option<String>,
    pub age_index: u64,
    pub barrier: bool,
}

/// A release that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    pub version: String,
    pub why: Why,
}

/// Why a release is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Its payload is no image.
    NoImage,
    /// It, or the booted one, has no `age_index`: nobody knows which is newer.
    NoAge,
    Denied,
    /// It is not newer than what is booted.
    Older,
    /// Its rollout has not reached this host.
    NotYet,
}

/// Chooses the newest release that an edge from the booted one leads to. Of two of the same age the higher digest, so that the
/// order of a document is of no matter.
pub fn choose(graph: &Graph, request: &Request<'_>) -> Choice {
    let Some((index, booted)) = graph.find(request.booted) else {
        return Choice { outcome: Outcome::Unknown, dead_end: None, ignored: Vec::new() };
    };
    let (mut best, mut ignored) = (None::<Target>, Vec::new());
    for node in graph.targets(index) {
        match judge(node, booted, request) {
            Ok(target) => {
                let rank = |t: &Target| (t.age_index, t.digest);
                if best.as_ref().is_none_or(|best| rank(best) < rank(&target)) {
                    best = Some(target);
                }
            }
            Err(why) => ignored.push(Ignored { version: node.version.clone(), why }),
        }
    }
    let outcome = best.map_or(Outcome::Stay, Outcome::Update);
    Choice { outcome, dead_end: booted.dead_end.clone(), ignored }
}

fn judge(node: &Node, booted: &Node, request: &Request<'_>) -> Result<Target, Why> {
    let payload = node.payload.as_ref().ok_or(Why::NoImage)?;
    if request.booted.contains(&payload.digest) || request.denied.contains(&payload.digest) {
        return Err(Why::Denied);
    }
    let age_index = node.age_index.ok_or(Why::NoAge)?;
    if request.downgrade == Downgrade::Refuse && age_index <= booted.age_index.ok_or(Why::NoAge)? {
        return Err(Why::Older);
    }
    if node.rollout.as_ref().is_some_and(|rollout| !rollout.reached(request.wariness, request.now)) {
        return Err(Why::NotYet);
    }
    Ok(Target {
        digest: payload.digest,
        version: node.version.clone(),
        repository: payload.repository.clone(),
        age_index,
        barrier: node.barrier,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(n: u8) -> Sha256 {
        Sha256([n; 32])
    }

    /// A node `n` with its number as age, and more metadata.
    fn node(n: u8, more: &[(&str, &str)]) -> Value {
        let mut metadata = serde_json::Map::new();
        metadata.insert("reroot.releases.age_index".into(), n.to_string().into());
        for (key, value) in more {
            metadata.insert(format!("reroot.{key}"), (*value).into());
        }
        json!({"version": format!("v{n}"), "payload": digest(n).to_string(), "metadata": metadata})
    }

    fn graph(nodes: &[Value], edges: &[(usize, usize)]) -> Graph {
        Graph::parse(json!({"nodes": nodes, "edges": edges}).to_string().as_bytes()).unwrap()
    }

    struct Host {
        booted: u8,
        denied: Vec<u8>,
        downgrade: Downgrade,
        wariness: f64,
        now: u64,
    }

    impl Default for Host {
        fn default() -> Self {
            Self { booted: 1, denied: Vec::new(), downgrade: Downgrade::Refuse, wariness: 0.5, now: 1000 }
        }
    }

    impl Host {
        fn ask(&self, graph: &Graph) -> Choice {
            let denied = self.denied.iter().map(|n| digest(*n)).collect();
            let request = Request {
                booted: &[digest(self.booted), digest(200)],
                denied: &denied,
                downgrade: self.downgrade,
                wariness: self.wariness,
                now: self.now,
            };
            choose(graph, &request)
        }

        /// `v3`, `stay` or `unknown`, and what was ignored.
        fn goes_to(&self, graph: &Graph) -> (String, Vec<Why>) {
            let Choice { outcome, ignored, .. } = self.ask(graph);
            let to = match outcome {
                Outcome::Unknown => "unknown".into(),
                Outcome::Stay => "stay".into(),
                Outcome::Update(target) => target.version,
            };
            (to, ignored.into_iter().map(|ignored| ignored.why).collect())
        }
    }

    fn to(version: &str, ignored: &[Why]) -> (String, Vec<Why>) {
        (version.into(), ignored.into())
    }

    #[test]
    fn the_newest_that_an_edge_leads_to_is_taken() {
        let nodes: Vec<_> = (0..5).map(|n| node(n, &[])).collect();
        let all = graph(&nodes, &[(1, 2), (1, 3), (3, 4), (2, 4)]);
        assert_eq!(Host::default().goes_to(&all), to("v3", &[]));
        assert_eq!(Host { booted: 4, ..Host::default() }.goes_to(&all), to("stay", &[]));
        assert_eq!(Host { booted: 9, ..Host::default() }.goes_to(&all), to("unknown", &[]));
        // Listed by the digest of its index.
        let by_index = graph(&[node(200, &[("releases.age_index", "1")]), node(2, &[])], &[(0, 1)]);
        assert_eq!(Host::default().goes_to(&by_index), to("v2", &[]));
        let turned: Vec<_> = nodes.iter().rev().cloned().collect();
        assert_eq!(Host::default().goes_to(&graph(&turned, &[(3, 2), (3, 1)])), to("v3", &[]));
    }

    #[test]
    fn what_failed_or_was_left_is_not_taken_again() {
        let all = graph(&[node(1, &[]), node(2, &[]), node(3, &[])], &[(0, 1), (0, 2)]);
        assert_eq!(Host { denied: vec![3], ..Host::default() }.goes_to(&all), to("v2", &[Why::Denied]));
        let both = Host { denied: vec![2, 3], ..Host::default() };
        assert_eq!(both.goes_to(&all), to("stay", &[Why::Denied, Why::Denied]));
    }

    #[test]
    fn nothing_older_is_taken_unless_that_is_allowed() {
        let all = graph(&[node(1, &[]), node(2, &[])], &[(1, 0), (0, 1)]);
        let at_2 = Host { booted: 2, ..Host::default() };
        assert_eq!(at_2.goes_to(&all), to("stay", &[Why::Older]));
        let allowed = Host { downgrade: Downgrade::Allow, ..at_2 };
        assert_eq!(allowed.goes_to(&all), to("v1", &[]));
        // A cycle leads nowhere: what was left is denied.
        assert_eq!(Host { denied: vec![1], ..allowed }.goes_to(&all), to("stay", &[Why::Denied]));
    }

    #[test]
    fn without_an_age_nothing_is_newer() {
        let nameless = json!({"version": "?", "payload": digest(9).to_string(), "metadata": {}});
        let bad = node(2, &[("releases.age_index", "-3")]);
        let all = graph(&[node(1, &[]), nameless.clone(), bad], &[(0, 1), (0, 2)]);
        assert_eq!(Host::default().goes_to(&all), to("stay", &[Why::NoAge, Why::NoAge]));
        let from_nameless = graph(&[nameless, node(2, &[])], &[(0, 1)]);
        let at_nameless = Host { booted: 9, ..Host::default() };
        assert_eq!(at_nameless.goes_to(&from_nameless), to("stay", &[Why::NoAge]));
    }

    #[test]
    fn a_rollout_is_waited_for() {
        let rollout = [
            ("updates.rollout", "true"),
            ("updates.start_epoch", "1000"),
            ("updates.start_value", "0.1"),
            ("updates.duration_minutes", "100"),
        ];
        let all = graph(&[node(1, &[]), node(2, &[]), node(3, &rollout)], &[(0, 1), (0, 2)]);
        let of = |wariness, now| Host { wariness, now, ..Host::default() }.goes_to(&all);
        assert_eq!(of(0.05, 1000), to("v3", &[]));
        assert_eq!(of(0.5, 1000), to("v2", &[Why::NotYet]));
        assert_eq!(of(0.5, 1000 + 50 * 60), to("v3", &[]));
        assert_eq!(of(1.0, 1000 + 100 * 60), to("v3", &[]));
        assert_eq!(of(0.0, 0), to("v3", &[]));
    }

    #[test]
    fn a_dead_end_is_said_with_its_reason() {
        let dead =
            node(1, &[("updates.deadend", "true"), ("updates.deadend_reason", "https://example.com/1")]);
        let choice = Host::default().ask(&graph(&[dead], &[]));
        assert_eq!(choice.dead_end.as_deref(), Some("https://example.com/1"));
        let silent = node(1, &[("updates.deadend", "true")]);
        let choice = Host::default().ask(&graph(&[silent], &[]));
        assert_eq!(choice.dead_end.as_deref(), Some("no reason is given"));
    }

    #[test]
    fn the_target_is_told_with_all_that_is_known_of_it() {
        let barrier = json!({
            "version": "41.1",
            "payload": format!("quay.io/acme/os@{}", digest(7)),
            "metadata": {
                "org.fedoraproject.coreos.scheme": "oci",
                "org.fedoraproject.coreos.releases.age_index": "12",
                "org.fedoraproject.coreos.updates.barrier": "true",
            },
        });
        let choice = Host::default().ask(&graph(&[node(1, &[]), barrier], &[(0, 1)]));
        let expected = Target {
            digest: digest(7),
            version: "41.1".into(),
            repository: Some("quay.io/acme/os".into()),
            age_index: 12,
            barrier: true,
        };
        assert_eq!(choice.outcome, Outcome::Update(expected));
    }

    proptest::proptest! {
        /// Whoever follows a graph comes to an end, whatever the graph is.
        #[test]
        fn nobody_goes_in_circles(
            ages in proptest::collection::vec(0_u8..6, 1..8),
            edges in proptest::collection::vec((0_usize..8, 0_usize..8), 0..30),
        ) {
            let nodes: Vec<_> = (0..ages.len() as u8)
                .map(|n| node(n, &[("releases.age_index", &ages[usize::from(n)].to_string())]))
                .collect();
            let graph = graph(&nodes, &edges);
            let mut booted = 0;
            for _ in 0..nodes.len() {
                let Outcome::Update(target) = (Host { booted, ..Host::default() }).ask(&graph).outcome else {
                    return Ok(());
                };
                booted = target.digest.0[0];
            }
            proptest::prop_assert!(false, "it still goes on");
        }
    }
}
