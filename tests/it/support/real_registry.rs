//! Debian's `docker-registry` on loopback, filled by `skopeo`: what the faulty one is an imitation of.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::tls::{Certificates, certificates};

pub const USER: &str = "tester";
pub const PASSWORD: &str = "correct horse";

/// How a registry is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Plain HTTP for everybody.
    Plain,
    /// TLS with an authority of its own, and a password (htpasswd).
    Guarded,
}

/// A running registry. Ends with its value.
pub struct RealRegistry {
    pub address: SocketAddr,
    pub certificates: Option<Certificates>,
    process: Child,
    _storage: tempfile::TempDir,
}

impl RealRegistry {
    /// Starts one, or says what is missing here.
    pub fn start(setup: Setup) -> Result<Self, String> {
        let storage = tempfile::tempdir().unwrap();
        let certificates = match setup {
            Setup::Plain => None,
            Setup::Guarded => Some(certificates()?),
        };
        missing("skopeo", "--version")?;
        let auth = match setup {
            Setup::Plain => String::new(),
            Setup::Guarded => {
                let output = run("htpasswd", &["-Bbn", USER, PASSWORD])?;
                fs::write(storage.path().join("htpasswd"), output).unwrap();
                format!("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", storage.path().display())
            }
        };
        let tls = certificates.as_ref().map_or(String::new(), |c| {
            let (certificate, key) = (c.path("server.crt"), c.path("server.key"));
            format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display())
        });
        // Another process may take the port between our look and the registry's.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\n{auth}http: {{addr: '{address}'{tls}}}\n",
                storage.path().display()
            );
            let file = storage.path().join("config.yml");
            fs::write(&file, config).unwrap();
            let mut process = Command::new("docker-registry")
                .arg("serve")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("docker-registry is not installed: {error}"))?;
            if is_ready(&mut process, address) {
                return Ok(Self { address, certificates, process, _storage: storage });
            }
        }
        panic!("docker-registry does not come up");
    }

    /// Copies `oci:DIRECTORY:TAG` into the registry.
    pub fn push(&self, layout: &Path, tag: &str, name: &str) {
        let (from, to) =
            (format!("oci:{}:{tag}", layout.display()), format!("docker://{}/{name}", self.address));
        let credentials = format!("{USER}:{PASSWORD}");
        let arguments = match &self.certificates {
            None => vec!["--dest-tls-verify=false".to_owned()],
            Some(certificates) => {
                // All files of the directory count: only the authority may be in it.
                let dir = certificates.path("for-skopeo");
                fs::create_dir_all(&dir).unwrap();
                fs::copy(certificates.path("ca.crt"), dir.join("ca.crt")).unwrap();
                vec![format!("--dest-cert-dir={}", dir.display()), format!("--dest-creds={credentials}")]
            }
        };
        let mut command = vec!["--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests"];
        command.extend(arguments.iter().map(String::as_str));
        command.extend([from.as_str(), to.as_str()]);
        run("skopeo", &command).unwrap();
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        // Ours alone, by its id.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Polls until the registry accepts connections; false when it ended instead.
fn is_ready(process: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Too late or ended already; either way it is gone afterwards.
    let _ = process.kill();
    process.wait().unwrap();
    false
}

fn missing(program: &str, argument: &str) -> Result<(), String> {
    run(program, &[argument]).map(drop)
}

fn run(program: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program} is not installed: {error}"))?;
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
