//! A sysroot in a temporary directory and the program run on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::listing::Listing;

/// Where short-lived worlds are made: in memory where that is possible, since what is killed here is a process
/// and not the machine. `REROOT_TEST_DIR` names another place.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = match std::env::var_os("REROOT_TEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None if rustix::fs::access(memory, rustix::fs::Access::WRITE_OK).is_ok() => memory.into(),
        None => env!("CARGO_TARGET_TMPDIR").into(),
    };
    tempfile::Builder::new().prefix("reroot-system-").tempdir_in(place).unwrap()
}

/// A sysroot of its own, with an empty configuration.
pub struct World {
    pub root: PathBuf,
    config: PathBuf,
    _temp: Option<TempDir>,
}

impl World {
    /// An initialised sysroot.
    pub fn new() -> Self {
        let world = Self::empty(scratch());
        world.succeed(&["init"]);
        crate::boot::enable(&world.root);
        world
    }

    /// An initialised sysroot in a directory that somebody else removes.
    pub fn at(root: &Path, config: &Path) -> Self {
        fs::create_dir_all(config).unwrap();
        let world = Self { root: root.into(), config: config.into(), _temp: None };
        world.succeed(&["init"]);
        crate::boot::enable(root);
        world
    }

    fn empty(temp: TempDir) -> Self {
        let (root, config) = (temp.path().join("sysroot"), temp.path().join("config"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&root).unwrap();
        Self { root, config, _temp: Some(temp) }
    }

    /// Another sysroot that is in the same state, with its host: hardlinks stay hardlinks.
    pub fn copy(&self) -> Self {
        let copy = Self::empty(scratch());
        for (from, to) in [(&self.root, &copy.root), (&self.config, &copy.config)] {
            let done = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
            assert!(done.success(), "copying a sysroot");
        }
        if self.runs() {
            fs::remove_file(copy.config.join("sysroot")).unwrap();
            copy.link();
        }
        copy
    }

    /// Whether something runs from it.
    pub fn runs(&self) -> bool {
        self.config.join("run/reroot/booted.json").exists()
    }

    /// The host finds the sysroot.
    fn link(&self) {
        std::os::unix::fs::symlink(&self.root, self.config.join("sysroot")).unwrap();
    }

    /// Ends the running system without a shutdown, and boots deployment `id`.
    pub fn cut_power(&self, id: u64) {
        fs::remove_dir_all(self.config.join("run")).unwrap();
        fs::remove_file(self.config.join("sysroot")).unwrap();
        self.boot(id);
    }

    /// Makes it look as if the running system was booted from deployment `id`.
    pub fn boot(&self, id: u64) {
        self.link();
        let run = self.config.join("run/reroot");
        fs::create_dir_all(&run).unwrap();
        let booted = format!(r#"{{"version": 1, "stateroot": "default", "id": {id}}}"#);
        fs::write(run.join("booted.json"), booted).unwrap();
    }

    /// The program with arguments, ready to be run here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reroot"));
        self.prepare(&mut command).args(self.arguments(args));
        command
    }

    /// The program run by another one, such as strace.
    pub fn under(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(wrapper[0]);
        self.prepare(&mut command).args(&wrapper[1..]);
        command.arg(env!("CARGO_BIN_EXE_reroot")).args(self.arguments(args));
        command
    }

    fn prepare<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("REROOT_CONFIG_ROOT", &self.config).env_remove("REROOT_CRASHPOINT");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
    }

    fn arguments(&self, args: &[&str]) -> Vec<String> {
        let sysroot = ["--sysroot".to_owned(), self.root.to_str().unwrap().to_owned(), "--quiet".to_owned()];
        sysroot.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect()
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub fn succeed(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "reroot {args:?}: {ran}");
        ran
    }

    /// Where deployment `id` of the default stateroot is.
    pub fn deployment(&self, id: u64) -> PathBuf {
        self.deployments().join(id.to_string())
    }

    /// The directory of deployments, records and origins.
    pub fn deployments(&self) -> PathBuf {
        self.root.join("reroot/deploy/default/deploy")
    }

    pub fn repo(&self) -> PathBuf {
        self.root.join("reroot/repo")
    }

    pub fn listing(&self, id: u64) -> Listing {
        Listing::of(&self.deployment(id))
    }

    /// `status --json`
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.succeed(&["status", "--json"]).stdout).unwrap()
    }

    /// Ids of the deployments in boot order.
    pub fn ids(&self) -> Vec<u64> {
        let status = self.status();
        status["deployments"].as_array().unwrap().iter().map(|d| d["id"].as_u64().unwrap()).collect()
    }

    /// Ids of the deployments that the boot loader should know, in boot order.
    pub fn finalized(&self) -> Vec<u64> {
        let is_finalized = |id: &u64| {
            let record = fs::read(self.deployments().join(format!("{id}.json"))).unwrap();
            serde_json::from_slice::<Value>(&record).unwrap()["finalized"] != false
        };
        self.ids().into_iter().filter(is_finalized).collect()
    }

    /// What will boot: the staged deployment, else the first in boot order.
    pub fn next(&self) -> u64 {
        let status = self.status();
        let deployments = status["deployments"].as_array().unwrap();
        let with =
            |slot: &str| deployments.iter().find(|d| d["slots"].as_array().unwrap().contains(&slot.into()));
        with("staged").or_else(|| with("default")).expect("a deployment")["id"].as_u64().unwrap()
    }

    /// Names of everything that the store holds by name, without work in progress.
    pub fn stored(&self) -> BTreeSet<PathBuf> {
        ["objects", "layers", "trees", "images", "refs"]
            .iter()
            .flat_map(|part| names_below(&self.repo().join(part)))
            .filter(|path| !is_scratch(path))
            .collect()
    }

    /// What interrupted commands left: scratch names anywhere, and everything in staging.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> = names_below(&self.repo().join("staging"));
        let places = [self.root.join("reroot"), self.root.join("reroot/deploy/default"), self.deployments()];
        for place in places.into_iter().filter(|place| place.exists()) {
            left.extend(
                fs::read_dir(place).unwrap().map(|e| e.unwrap().path()).filter(|path| is_scratch(path)),
            );
        }
        left
    }
}

fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".tmp-") || name.starts_with(".del-")
}

fn names_below(top: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => todo.push(entry.path()),
                false => names.push(entry.path().strip_prefix(top.parent().unwrap()).unwrap().to_owned()),
            }
        }
    }
    names
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}
