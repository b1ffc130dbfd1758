//! Metrics as those who read them see them: sockets, Prometheus, rules, the dashboard, the documentation.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::agent_graph::run;
use crate::support::http_server::ask;
use crate::support::prometheus::{Prometheus, obstacle};
use crate::support::skip::skip;
use crate::support::tools::{command, run as run_program};
use reroot::agent::fleet_lock::Operation;
use reroot::agent::http::{Error, Kind, Refusal};
use reroot::agent::metrics::{Endpoint, Graph, Metrics, serve, write_textfile};
use reroot::digest::Sha256;

const STARTED: u64 = 1_795_000_000;

/// Metrics of an agent to which everything has happened once.
fn metrics() -> Metrics {
    let metrics = Metrics::new(&["starting", "steady", "staged"], STARTED);
    let refusal = Refusal { status: 409, kind: Some("failed_lock_semaphore_full".into()), retry_after: None };
    let refused = Error::new(Kind::Refused(refusal), "http://lock/", "it answered 409");
    metrics.state("steady", STARTED + 5);
    metrics.updates_enabled(true);
    metrics.held(false);
    metrics.check();
    metrics.check_error("timed_out");
    metrics.checked(STARTED + 60);
    metrics.stage();
    metrics.stage_failure("network");
    metrics.finalize();
    metrics.finalize_blocked("window");
    metrics.reboot_requested();
    metrics.postponed();
    metrics.lock_request(Operation::SteadyState, &Ok(()));
    metrics.lock_request(Operation::PreReboot, &Err(refused));
    metrics.lock_request(Operation::PreReboot, &Ok(()));
    let graph = Graph { nodes: 7, edges: 12, ignored_targets: 1, dead_end: true };
    metrics.graph(graph, &[("on_cycles", 2)]);
    metrics.rollout_wariness(0.25);
    metrics.window_minutes_per_week(120);
    metrics.configuration(true);
    metrics.configuration(false);
    metrics.failed_images(1);
    metrics.booted("41.1", &Sha256([1; 32]));
    metrics.booted("41.2 \"x\"\n", &Sha256([2; 32]));
    metrics
}

/// A server of metrics at an endpoint; ends with its value.
struct Served {
    _runtime: tokio::runtime::Runtime,
    address: String,
}

impl Served {
    fn socket(path: &Path) -> Self {
        Self::start(async { Endpoint::socket(path).unwrap() })
    }

    fn port() -> Self {
        Self::start(async { Endpoint::port("127.0.0.1:0".parse().unwrap()).await.unwrap() })
    }

    fn start(endpoint: impl Future<Output = Endpoint>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = runtime.block_on(endpoint);
        let address = endpoint.address().map(|address| address.to_string()).unwrap_or_default();
        runtime.spawn(serve(endpoint, Arc::new(metrics())));
        Self { _runtime: runtime, address }
    }
}

/// What a client gets that sends these bytes and then listens.
fn exchange(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The names of all samples of a text.
fn samples(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter(|line| !line.starts_with('#'));
    names.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

#[test]
fn the_text_is_what_prometheus_has_always_read() {
    insta::assert_snapshot!(metrics().text());
}

#[test]
fn openmetrics_says_the_same_and_that_it_is_whole() {
    let (new, old) = (metrics().openmetrics(), metrics().text());
    assert!(new.ends_with("\n# EOF\n") && !old.contains("EOF"));
    assert_eq!(samples(&new), samples(&old));
    assert!(new.contains("# TYPE reroot_agent_checks counter\nreroot_agent_checks_total 1\n"));
    assert!(old.contains("# TYPE reroot_agent_checks_total counter\nreroot_agent_checks_total 1\n"));
}

#[test]
fn the_socket_gives_the_text_to_whoever_connects_and_http_to_whoever_speaks_it() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("metrics.sock");
    // What an earlier process left, twice.
    for _ in 0..2 {
        drop(std::os::unix::net::UnixListener::bind(&socket));
        let _served = Served::socket(&socket);
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(exchange(&socket, ""), metrics().text());
        assert_eq!(exchange(&socket, "\n"), metrics().text());
        assert_eq!(exchange(&socket, "PUT"), metrics().text());
        let answer = exchange(&socket, "GET /metrics HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(&metrics().text()), "{answer}");
    }
}

#[test]
fn a_client_that_says_nothing_or_never_ends_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("metrics.sock");
    let _served = Served::socket(&socket);
    let silent: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            let _ = stream.write_all(b"GET /");
            stream
        })
        .collect();
    // All places are taken; they are free again when the patience is at its end.
    let started = Instant::now();
    while exchange_quietly(&socket).is_none_or(|text| text != metrics().text()) {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(silent);
}

fn exchange_quietly(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn the_port_speaks_http_to_this_machine_alone() {
    let served = Served::port();
    let get = |method, path| ask(&served.address, method, path, "").unwrap();
    assert_eq!(get("GET", "/metrics"), (200, metrics().text()));
    assert_eq!(get("HEAD", "/metrics"), (200, String::new()));
    assert_eq!(get("GET", "/"), (404, "the metrics are at /metrics\n".into()));
    assert_eq!(get("POST", "/metrics"), (405, "metrics are only read\n".into()));
    let mut stream = TcpStream::connect(&served.address).unwrap();
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    write!(stream, "GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    for address in ["0.0.0.0:0", "192.0.2.1:9100", "[::]:0"] {
        let error = run(Endpoint::port(address.parse().unwrap())).unwrap_err();
        assert!(error.to_string().contains("is not an address of this machine alone"), "{error}");
    }
}

#[test]
fn the_textfile_has_nothing_that_node_exporter_has_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("reroot.prom");
    write_textfile(&metrics(), &file).unwrap();
    write_textfile(&metrics(), &file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.split(' ').any(|word| word.starts_with("reroot_agent_"))), "{text}");
    let mut all = samples(&metrics().text());
    assert!(all.remove("process_start_time_seconds"));
    assert_eq!(samples(&text), all);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let table = read("docs/metrics.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let names = rows.filter(|name| ["reroot_", "process_"].iter().any(|prefix| name.starts_with(prefix)));
    let documented: BTreeSet<String> = names.map(str::to_owned).collect();
    assert_eq!(documented, samples(&metrics().text()));
}

/// The expressions of the dashboard, with values for its variables.
fn dashboard() -> Vec<String> {
    fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(text) if matches!(key.as_str(), "expr" | "definition") => {
                            found.push(text.into())
                        }
                        _ => collect(value, found),
                    }
                }
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/agent/dashboard.json")).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

/// The names that an expression has of ours.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("reroot_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_rules_name_only_metrics_that_exist() {
    let exist = samples(&metrics().text());
    let expressions = dashboard();
    assert!(expressions.len() > 10);
    for text in expressions.iter().chain(&[read("docs/agent/alerts.yml")]) {
        let unknown: Vec<_> = named(text).difference(&exist).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {text}");
    }
}

#[test]
fn promtool_accepts_metrics_rules_and_the_queries_of_the_dashboard() {
    let test = "agent_metrics::promtool_accepts_metrics_rules_and_the_queries_of_the_dashboard";
    if let Some(reason) = obstacle() {
        return skip(test, reason);
    }
    let mut check = command("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(metrics().text().as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    // Its opinions are on the one output or the other, whether it fails or not.
    let opinions = [&said.stdout[..], &said.stderr[..]].concat();
    assert!(said.status.success() && opinions.is_empty(), "{}", String::from_utf8_lossy(&opinions));

    run_program(command("promtool").args(["check", "rules"]).arg(repository("docs/agent/alerts.yml")));
    let tests = repository("tests/it/agent_alerts.test.yml");
    run_program(command("promtool").args(["test", "rules"]).arg(tests));

    let directory = tempfile::tempdir().unwrap();
    let queries = dashboard().into_iter().filter(|query| !query.starts_with("label_values("));
    let rules = queries.enumerate().map(|(n, query)| {
        let query = query.replace("$job", ".*").replace("$__rate_interval", "5m").replace("$__range", "1d");
        format!("      - record: query:{n}\n        expr: {}\n", serde_json::Value::from(query))
    });
    let file = directory.path().join("queries.yml");
    let text = format!("groups:\n  - name: dashboard\n    rules:\n{}", rules.collect::<String>());
    std::fs::write(&file, text).unwrap();
    run_program(command("promtool").args(["check", "rules"]).arg(&file));
}

#[test]
fn a_real_prometheus_scrapes_them_and_knows_the_rules() {
    let test = "agent_metrics::a_real_prometheus_scrapes_them_and_knows_the_rules";
    if let Some(reason) = obstacle() {
        return skip(test, reason);
    }
    let served = Served::port();
    let prometheus = Prometheus::start(&served.address, &repository("docs/agent/alerts.yml"));
    assert_eq!(prometheus.value("reroot_agent_graph_nodes"), "7");
    assert_eq!(prometheus.value("reroot_agent_state{state=\"steady\"}"), "1");
    assert_eq!(prometheus.value("reroot_agent_rollout_wariness"), "0.25");
    assert_eq!(prometheus.value("reroot_agent_booted_info{version=\"41.2 \\\"x\\\"\\n\"}"), "1");
    let kind = "failed_lock_semaphore_full";
    let refused = format!("reroot_agent_lock_errors_total{{operation=\"pre-reboot\",kind=\"{kind}\"}}");
    assert_eq!(prometheus.value(&refused), "1");
    let scraped = prometheus.names("reroot");
    assert_eq!(scraped, samples(&metrics().text()).into_iter().filter(|n| n.starts_with("reroot")).collect());
    prometheus.wait_for_alert("RerootAgentConfigurationInvalid");
}
