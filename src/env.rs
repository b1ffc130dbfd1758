//! What the program takes from its surroundings, read once at the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::fsx;

/// The process's surroundings. Tests make their own; nothing else reads environment variables, the clock or
/// the host's `/etc`.
#[derive(Debug, Clone)]
pub struct Env {
    /// The directory whose `etc`, `run`, `usr/lib` and `proc` configure the program: `/`, or the value of
    /// `REROOT_CONFIG_ROOT`.
    pub config_root: PathBuf,
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// True for user id 0: may own files as other users and make devices.
    pub privileged: bool,
    clock: Option<SystemTime>,
}

impl Env {
    /// Reads the process's own surroundings.
    pub fn from_process() -> Self {
        let vars: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let config_root =
            vars.get("REROOT_CONFIG_ROOT").filter(|v| !v.is_empty()).map_or("/".into(), PathBuf::from);
        Self { config_root, vars, privileged: rustix::process::geteuid().is_root(), clock: None }
    }

    /// Surroundings for tests: no variables, configuration under `config_root`, a clock that stands still.
    pub fn fixed(config_root: &Path, now: SystemTime) -> Self {
        Self {
            config_root: config_root.into(),
            vars: BTreeMap::new(),
            privileged: rustix::process::geteuid().is_root(),
            clock: Some(now),
        }
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The time of reproducible builds, in seconds since the epoch (reproducible-builds.org, SOURCE_DATE_EPOCH).
    pub fn source_date_epoch(&self) -> Result<Option<i64>, String> {
        let Some(text) = self.var("SOURCE_DATE_EPOCH") else { return Ok(None) };
        let seconds = text.parse().map_err(|_| {
            format!("SOURCE_DATE_EPOCH is `{}`, which is no number", crate::names::printable(text.as_bytes()))
        })?;
        Ok(Some(seconds))
    }

    /// Which boot of the kernel this is (random(4)), a UUID; `None` where there is no such file.
    pub fn boot_id(&self) -> Option<String> {
        let directory = fsx::open_dir(&self.config_root.join("proc/sys/kernel/random")).ok()?;
        let text = String::from_utf8(fsx::read_limited(&directory, "boot_id", 64).ok()??).ok()?;
        let text = text.trim();
        let is_uuid = text.len() == 36 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        is_uuid.then(|| text.into())
    }

    /// The user's home directory, when there is one.
    pub fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }

    /// The wall clock. Nothing is ordered by it; it is only shown and recorded.
    pub fn now(&self) -> SystemTime {
        self.clock.unwrap_or_else(now)
    }

    /// The wall clock as seconds since the epoch, 0 before it.
    pub fn unix_time(&self) -> u64 {
        self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
fn now() -> SystemTime {
    SystemTime::now()
}
