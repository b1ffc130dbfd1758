//! The values, and when they change.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use super::labels::{Booted, By, Kind, Kinds, Operation, OperationKind, State};
use super::text;
use crate::agent::{fleet_lock, http};
use crate::digest::Sha256;

/// In front of every name but `process_start_time_seconds`.
pub(super) const PREFIX: &str = "reroot_agent";

/// A number of the last graph each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Graph {
    pub nodes: usize,
    pub edges: usize,
    /// Releases that an edge leads to and that were not taken.
    pub ignored_targets: usize,
    pub dead_end: bool,
}

/// The agent's metrics. Times are seconds since the epoch.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    states: Vec<&'static str>,
    kinds: Kinds,
    state: Family<State, Gauge>,
    state_change: Gauge,
    updates_enabled: Gauge,
    held: Gauge,
    checks: Counter,
    check_errors: Family<Kind, Counter>,
    last_check: Gauge,
    stage_attempts: Counter,
    stage_failures: Family<Kind, Counter>,
    finalize_attempts: Counter,
    finalize_blocked: Family<By, Counter>,
    reboots_requested: Counter,
    postponements: Counter,
    lock_requests: Family<Operation, Counter>,
    lock_errors: Family<OperationKind, Counter>,
    lock_held: Gauge,
    graph_nodes: Gauge,
    graph_edges: Gauge,
    graph_ignored_targets: Gauge,
    graph_oddities: Family<Kind, Gauge>,
    dead_end: Gauge,
    rollout_wariness: Gauge<f64, AtomicU64>,
    window_seconds_per_week: Gauge,
    config_errors: Counter,
    config_valid: Gauge,
    failed_images: Gauge,
    booted: Family<Booted, Gauge>,
}

/// Registers under a name with our prefix, and gives back what was registered.
fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(format!("{PREFIX}_{name}"), help, metric.clone());
    metric
}

impl Metrics {
    /// Makes them all, at zero. `states` are the names that [`Self::state`] may be given.
    pub fn new(states: &[&'static str], started: u64) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let start = Gauge::<i64>::default();
        start.set(gauge(started));
        let help = "When the agent started, in seconds since the epoch";
        r.register("process_start_time_seconds", help, start);
        let this = Self {
            state: register(r, "state", "1 for the state that the agent is in, 0 for the others"),
            state_change: register(
                r,
                "state_change_timestamp_seconds",
                "When the agent came into its state, in seconds since the epoch",
            ),
            updates_enabled: register(
                r,
                "updates_enabled",
                "Whether the policy lets the agent install updates",
            ),
            held: register(r, "held", "Whether somebody holds updates back"),
            checks: register(r, "checks", "Times the agent asked whether there is an update"),
            check_errors: register(r, "check_errors", "Times there was no usable answer, by kind"),
            last_check: register(
                r,
                "last_check_timestamp_seconds",
                "When the agent last got an answer whether there is an update, in seconds since the epoch",
            ),
            stage_attempts: register(
                r,
                "stage_attempts",
                "Times the agent began to fetch and stage an update",
            ),
            stage_failures: register(r, "stage_failures", "Times that failed, by kind"),
            finalize_attempts: register(
                r,
                "finalize_attempts",
                "Times the agent wanted to restart into a staged update",
            ),
            finalize_blocked: register(r, "finalize_blocked", "Times it was not allowed to, by what"),
            reboots_requested: register(r, "reboots_requested", "Restarts that the agent asked for"),
            postponements: register(r, "postponements", "Times a restart was put off for somebody"),
            lock_requests: register(r, "lock_requests", "Requests to the lock server, by operation"),
            lock_errors: register(
                r,
                "lock_errors",
                "Requests to the lock server that were refused or failed, by operation and kind",
            ),
            lock_held: register(r, "lock_held", "Whether this host has a slot of the fleet's lock"),
            graph_nodes: register(r, "graph_nodes", "Releases in the last graph"),
            graph_edges: register(r, "graph_edges", "Steps between releases in the last graph"),
            graph_ignored_targets: register(
                r,
                "graph_ignored_targets",
                "Releases that the last graph leads to and that are not taken",
            ),
            graph_oddities: register(r, "graph_oddities", "What made no sense in the last graph, by kind"),
            dead_end: register(r, "deadend", "Whether no update leads on from the booted release"),
            rollout_wariness: register(r, "rollout_wariness", "The host's place in phased rollouts, 0 to 1"),
            window_seconds_per_week: register(
                r,
                "window_seconds_per_week",
                "Seconds of a week in which the host may restart",
            ),
            config_errors: register(r, "config_errors", "Times the configuration could not be used"),
            config_valid: register(
                r,
                "config_valid",
                "Whether the configuration was right when it was last read",
            ),
            failed_images: register(
                r,
                "failed_images",
                "Images that failed here and are not installed again",
            ),
            booted: register(r, "booted_info", "The booted image: always 1"),
            states: states.to_vec(),
            kinds: Kinds::default(),
            registry,
        };
        for state in states {
            this.state.get_or_create(&State { state }).set(0);
        }
        for operation in [fleet_lock::Operation::PreReboot, fleet_lock::Operation::SteadyState] {
            this.lock_requests.get_or_create(&Operation { operation: operation.name() }).inc_by(0);
        }
        this
    }

    /// All of them in the text format of OpenMetrics 1.0.
    pub fn openmetrics(&self) -> String {
        text::openmetrics(&self.registry)
    }

    /// All of them in Prometheus' own text format 0.0.4.
    pub fn text(&self) -> String {
        text::prometheus(&self.openmetrics())
    }

    /// The agent came into a state.
    pub fn state(&self, now_in: &'static str, at: u64) {
        for state in &self.states {
            self.state.get_or_create(&State { state }).set((*state == now_in).into());
        }
        self.state_change.set(gauge(at));
    }

    pub fn updates_enabled(&self, enabled: bool) {
        self.updates_enabled.set(enabled.into());
    }

    pub fn held(&self, held: bool) {
        self.held.set(held.into());
    }

    /// A check begins.
    pub fn check(&self) {
        self.checks.inc();
    }

    /// It failed.
    pub fn check_error(&self, kind: &str) {
        self.check_errors.get_or_create(&self.kind(kind)).inc();
    }

    /// It brought an answer.
    pub fn checked(&self, at: u64) {
        self.last_check.set(gauge(at));
    }

    /// Fetching and staging begins.
    pub fn stage(&self) {
        self.stage_attempts.inc();
    }

    /// It failed.
    pub fn stage_failure(&self, kind: &str) {
        self.stage_failures.get_or_create(&self.kind(kind)).inc();
    }

    /// A restart into a staged update is wanted.
    pub fn finalize(&self) {
        self.finalize_attempts.inc();
    }

    /// It is not allowed now.
    pub fn finalize_blocked(&self, by: &'static str) {
        self.finalize_blocked.get_or_create(&By { by }).inc();
    }

    pub fn reboot_requested(&self) {
        self.reboots_requested.inc();
    }

    pub fn postponed(&self) {
        self.postponements.inc();
    }

    /// A request to the lock server, which came to an end.
    pub fn lock_request(&self, operation: fleet_lock::Operation, result: &http::Result<()>) {
        self.lock_requests.get_or_create(&Operation { operation: operation.name() }).inc();
        match result {
            Ok(()) => {
                self.lock_held.set((operation == fleet_lock::Operation::PreReboot).into());
            }
            Err(error) => {
                let kind = self.kinds.label(&error.label()).into_owned();
                let labels = OperationKind { operation: operation.name(), kind };
                self.lock_errors.get_or_create(&labels).inc();
            }
        }
    }

    /// What is in a graph that was fetched.
    pub fn graph(&self, graph: Graph, oddities: &[(&'static str, usize)]) {
        self.graph_nodes.set(gauge(graph.nodes as u64));
        self.graph_edges.set(gauge(graph.edges as u64));
        self.graph_ignored_targets.set(gauge(graph.ignored_targets as u64));
        self.dead_end.set(graph.dead_end.into());
        for (kind, count) in oddities {
            self.graph_oddities.get_or_create(&Kind { kind: (*kind).into() }).set(gauge(*count as u64));
        }
    }

    /// The host's place in phased rollouts, 0 to 1.
    pub fn rollout_wariness(&self, wariness: f64) {
        self.rollout_wariness.set(wariness);
    }

    /// Minutes of a week in which the host may restart.
    pub fn window_minutes_per_week(&self, minutes: u64) {
        self.window_seconds_per_week.set(gauge(minutes.saturating_mul(60)));
    }

    /// The configuration was read, and can be used or not.
    pub fn configuration(&self, valid: bool) {
        self.config_valid.set(valid.into());
        if !valid {
            self.config_errors.inc();
        }
    }

    /// How many images are not installed again.
    pub fn failed_images(&self, count: usize) {
        self.failed_images.set(gauge(count as u64));
    }

    /// What is booted; replaces what was said before.
    pub fn booted(&self, version: &str, digest: &Sha256) {
        self.booted.clear();
        let labels = Booted { version: version.into(), digest: digest.to_string() };
        self.booted.get_or_create(&labels).set(1);
    }

    fn kind(&self, kind: &str) -> Kind {
        Kind { kind: self.kinds.label(kind).into_owned() }
    }
}

/// A number of the registry's own type.
fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
