//! Debian's `docker-registry` on loopback, in the two set-ups that people run: plain HTTP, and TLS with a password.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use super::reroot::Reroot;
use super::tools::{command, missing, run};

pub const USER: &str = "tester";
pub const PASSWORD: &str = "pass:word with spaces";

/// Why there can be no registry here, if there cannot.
pub fn obstacle() -> Option<String> {
    missing(&["docker-registry", "skopeo", "openssl", "htpasswd"])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, over HTTP.
    Plain,
    /// TLS with an authority of the test's own, and basic authentication.
    Protected,
}

/// A running registry; it ends when this is dropped.
pub struct Registry {
    process: Child,
    directory: tempfile::TempDir,
    /// `127.0.0.1:PORT`
    pub host: String,
    access: Access,
}

/// A request for a blob or manifest, from the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub path: String,
    pub status: u16,
    pub bytes: u64,
}

impl Registry {
    /// Starts a registry that keeps its blobs in `storage`.
    pub fn start(storage: &Path, access: Access) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The port could be taken by another between here and the start: then it is tried again.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let host = format!("127.0.0.1:{port}");
            let config = directory.path().join("config.yml");
            fs::write(&config, configuration(directory.path(), storage, &host, access)).unwrap();
            let log = File::create(directory.path().join("log")).unwrap();
            let mut process = command("docker-registry")
                .arg("serve")
                .arg(&config)
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            if answers(&mut process, &host) {
                return Self { process, directory, host, access };
            }
        }
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        panic!("docker-registry does not start:\n{log}");
    }

    /// The reference of an image here.
    pub fn reference(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host)
    }

    /// Copies an image here, layers as they are.
    pub fn push(&self, from: &str, name: &str) {
        let mut copy = command("skopeo");
        copy.args(["copy", "--quiet", "--all", "--preserve-digests"]);
        match self.access {
            Access::Plain => copy.arg("--dest-tls-verify=false"),
            Access::Protected => copy
                .arg("--dest-cert-dir")
                .arg(self.certificates())
                .arg(format!("--dest-creds={USER}:{PASSWORD}")),
        };
        run(copy.arg(from).arg(self.reference(name)));
    }

    /// The directory with the authority's certificate, as `certs.d` wants it.
    pub fn certificates(&self) -> PathBuf {
        self.directory.path().join("certs")
    }

    /// Writes what a host needs to use this registry: certificate and credentials.
    pub fn configure(&self, reroot: &Reroot) {
        if self.access == Access::Protected {
            let authority = fs::read_to_string(self.certificates().join("ca.crt")).unwrap();
            reroot.configure(&format!("etc/containers/certs.d/{}/ca.crt", self.host), &authority);
            let login = base64(format!("{USER}:{PASSWORD}").as_bytes());
            let auth = serde_json::json!({"auths": {&self.host: {"auth": login}}});
            reroot.configure("etc/reroot/auth.json", &auth.to_string());
        }
    }

    /// What was read since the start.
    pub fn fetched(&self) -> Vec<Fetched> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
        log.lines().filter_map(parse_access).collect()
    }

    /// Digests of the blobs that were read whole or in part since the start.
    pub fn blobs_fetched(&self) -> Vec<String> {
        let blob = |fetched: &Fetched| {
            let (_, digest) = fetched.path.rsplit_once("/blobs/")?;
            matches!(fetched.status, 200 | 206).then(|| digest.to_owned())
        };
        self.fetched().iter().filter_map(blob).collect()
    }

    /// Forgets what was read so far.
    pub fn clear_log(&self) {
        // The registry appends to its descriptor's own position; what is before is zeros then, which no line matches.
        File::options().write(true).open(self.directory.path().join("log")).unwrap().set_len(0).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until the port answers; false when the process ended before.
fn answers(process: &mut Child, host: &str) -> bool {
    let patience = Instant::now() + Duration::from_secs(30);
    while Instant::now() < patience {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(host).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    false
}

fn configuration(directory: &Path, storage: &Path, host: &str, access: Access) -> String {
    let mut text = format!(
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    \
         rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {host}\n",
        storage.display()
    );
    if access == Access::Protected {
        let certificates = directory.join("certs");
        make_certificates(&certificates);
        let password = directory.join("htpasswd");
        let line = run(command("htpasswd").args(["-nbB", USER, PASSWORD]));
        fs::write(&password, line).unwrap();
        text += &format!(
            "  tls:\n    certificate: {0}/server.pem\n    key: {0}/server.key.pem\nauth:\n  htpasswd:\n    realm: \
             test\n    path: {1}\n",
            certificates.display(),
            password.display()
        );
    }
    text
}

/// An authority (`ca.crt`) and a certificate of it for 127.0.0.1.
fn make_certificates(directory: &Path) {
    if directory.exists() {
        return;
    }
    fs::create_dir_all(directory).unwrap();
    let openssl = |arguments: &str| {
        run(command("openssl").current_dir(directory).args(arguments.split(' ')));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key.pem -out ca.crt -days 3 -subj /CN=test-authority -addext \
         basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
    ));
    openssl(&format!("req {key} -keyout server.key.pem -out server.csr -subj /CN=127.0.0.1"));
    File::create(directory.join("names")).unwrap().write_all(b"subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key.pem -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    // Only `*.crt`, `*.cert` and `*.key` mean something in certs.d.
    for name in ["server.csr", "names", "ca.key.pem"] {
        fs::remove_file(directory.join(name)).unwrap();
    }
}

/// A line of the combined log format: `HOST - - [TIME] "GET /v2/… HTTP/1.1" 200 1234 "" "agent"`.
fn parse_access(line: &str) -> Option<Fetched> {
    let (_, rest) = line.split_once("\"GET ")?;
    let (path, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once("\" ")?;
    let mut words = rest.split(' ');
    let status = words.next()?.parse().ok()?;
    Some(Fetched { path: path.to_owned(), status, bytes: words.next()?.parse().unwrap_or(0) })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
