//! Debian's prometheus on loopback.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http_server::ask;
use super::tools::{command, missing};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there can be no Prometheus here, if there cannot.
pub fn obstacle() -> Option<String> {
    missing(&["prometheus", "promtool"])
}

/// A running Prometheus; it ends when this is dropped.
pub struct Prometheus {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `target` every second, and evaluates the rules of a file.
    pub fn start(target: &str, rules: &Path) -> Self {
        // The port could be taken by another between here and the start: then it is tried again.
        for _ in 0..10 {
            let directory = tempfile::tempdir().unwrap();
            let config = format!(
                "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ['{}']\nscrape_configs:\n  - \
                 job_name: reroot\n    static_configs:\n      - targets: ['{target}']\n",
                rules.display()
            );
            fs::write(directory.path().join("prometheus.yml"), config).unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let process = command("prometheus")
                .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .stdout(Stdio::null())
                .stderr(fs::File::create(directory.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let mut this = Self { process, address, _directory: directory };
            if this.is_ready() {
                return this;
            }
        }
        panic!("prometheus does not start");
    }

    fn is_ready(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && self.process.try_wait().unwrap().is_none() {
            if ask(&self.address, "GET", "/-/ready", "").is_ok_and(|(status, _)| status == 200) {
                return true;
            }
            sleep(Duration::from_millis(20));
        }
        false
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = reqwest::Url::parse_with_params("http://x", query).unwrap();
        let path = format!("{path}?{}", url.query().unwrap_or_default());
        let (status, body) = ask(&self.address, "GET", &path, "").unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
    }

    /// Asks until there is what is looked for.
    fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            match look() {
                Some(found) => return found,
                None if started.elapsed() > PATIENCE => {
                    panic!("no {what}: {}", self.get("/api/v1/targets", &[]))
                }
                None => sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The value of an expression, as soon as it has one.
    pub fn value(&self, expression: &str) -> String {
        self.wait(expression, || {
            let data = self.get("/api/v1/query", &[("query", expression)]);
            Some(data["result"].get(0)?["value"][1].as_str()?.to_owned())
        })
    }

    /// The names of all metrics that begin like this.
    pub fn names(&self, prefix: &str) -> BTreeSet<String> {
        let data = self.get("/api/v1/label/__name__/values", &[]);
        let names = data.as_array().unwrap().iter().filter_map(Value::as_str);
        names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
    }

    /// Waits until an alert is pending or firing.
    pub fn wait_for_alert(&self, name: &str) {
        self.wait(name, || {
            let data = self.get("/api/v1/alerts", &[]);
            let alerts = data["alerts"].as_array()?;
            alerts.iter().any(|alert| alert["labels"]["alertname"] == name).then_some(())
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
