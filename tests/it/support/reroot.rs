//! The built program, run on a sysroot of the test's own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::tools;
use super::tree::Facts;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_reroot");

/// A sysroot, and the directory from which the configuration of the host is read.
#[derive(Debug, Clone)]
pub struct Reroot {
    pub sysroot: PathBuf,
    pub config: PathBuf,
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }
}

impl Reroot {
    /// Names the places; nothing is made.
    pub fn at(directory: &Path) -> Self {
        Self { sysroot: directory.join("sysroot"), config: directory.join("config") }
    }

    /// A new sysroot in an existing directory.
    pub fn init(directory: &Path) -> Self {
        let reroot = Self::at(directory);
        fs::create_dir_all(&reroot.sysroot).unwrap();
        fs::create_dir_all(reroot.config.join("etc/reroot/config.d")).unwrap();
        reroot.run(["init"]).ok();
        reroot
    }

    /// Writes a file of the host's configuration, such as `etc/reroot/config.d/50-test.toml`.
    pub fn configure(&self, path: &str, content: &str) {
        let path = self.config.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A copy of everything, hard links kept.
    pub fn copy_to(&self, directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let copy = Self::at(directory);
        tools::run(tools::command("cp").arg("-a").arg("--").arg(&self.sysroot).arg(&copy.sysroot));
        Self { config: self.config.clone(), ..copy }
    }

    /// The arguments that say where this sysroot is.
    pub fn prepare(&self, command: &mut Command) {
        command
            .arg("--sysroot")
            .arg(&self.sysroot)
            .env("REROOT_CONFIG_ROOT", &self.config)
            .env_remove("REROOT_CRASHPOINT")
            .env_remove("REGISTRY_AUTH_FILE")
            .env("HOME", self.config.join("home"))
            .env("NO_COLOR", "1");
    }

    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = tools::command(PROGRAM);
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Runs a command that must succeed and returns its JSON.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        let mut command = self.command(arguments);
        command.arg("--json");
        Ran::of(&command.output().unwrap()).ok().json()
    }

    /// The deployments as `status --json` lists them, in boot order.
    pub fn deployments(&self) -> Vec<Value> {
        let status = self.json(["status"]);
        status["deployments"].as_array().unwrap().clone()
    }

    /// The numbers of the deployments, in boot order.
    pub fn ids(&self) -> Vec<u64> {
        self.deployments().iter().map(|d| d["id"].as_u64().unwrap()).collect()
    }

    /// Where a deployment of `status --json` is.
    pub fn path_of(&self, deployment: &Value) -> PathBuf {
        self.sysroot.join(deployment["path"].as_str().unwrap().trim_start_matches('/'))
    }

    pub fn deployment(&self, id: u64) -> PathBuf {
        self.sysroot.join(format!("reroot/deploy/default/deploy/{id}"))
    }

    /// All facts of a deployment's files, times too.
    pub fn facts(&self, id: u64) -> Facts {
        Facts::read(&self.deployment(id))
    }

    /// Runs `fsck`, which must find nothing.
    pub fn assert_sound(&self, when: &str) {
        let ran = self.run(["fsck", "--json"]);
        assert_eq!(ran.code, Some(0), "fsck {when}:\n{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.json()["sound"], true, "fsck {when}: {}", ran.stdout);
    }

    /// Nothing lies about that no deployment and no running command needs.
    pub fn assert_tidy(&self, when: &str) {
        let status = self.json(["status"]);
        assert_eq!(status["problems"], serde_json::json!([]), "{when}: {status}");
        let deploy = self.sysroot.join("reroot/deploy/default/deploy");
        let expected: BTreeSet<String> = self
            .ids()
            .into_iter()
            .flat_map(|id| [format!("{id}"), format!("{id}.json"), format!("{id}.origin")])
            .collect();
        let found: BTreeSet<String> = names(&deploy).into_iter().collect();
        assert_eq!(found, expected, "in {} {when}", deploy.display());
        let staging = self.sysroot.join("reroot/repo/staging");
        assert_eq!(names(&staging), Vec::<String>::new(), "in {} {when}", staging.display());
    }
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
