//! What the agent keeps in `/var/lib/reroot`, where a power cut and a new deployment leave it alone.
//!
//! ```text
//! agent.json   {"version": 1, "memory": {…}}                                    what a restart must not lose
//! hold.json    {"version": 1, "until": "2026-12-01T06:00:00Z", "reason": "…"}   updates are held back
//! ```

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::machine::{Hold, Memory};
use crate::env::Env;
use crate::fsx::{self, Dir};
use crate::ops::{Error, Result};
use crate::sysroot::{parse_state, print_state};

/// Below [`Env::config_root`].
const DIRECTORY: &str = "var/lib/reroot";
const MEMORY: &str = "agent.json";
const HOLD: &str = "hold.json";
/// Both are small.
const LIMIT: u64 = 1 << 20;
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct KeptMemory {
    version: u32,
    memory: Memory,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptHold {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    reason: String,
}

/// What was remembered; nothing on the first run.
pub fn memory(env: &Env) -> Result<Memory> {
    Ok(read::<KeptMemory>(env, MEMORY)?.map(|kept| kept.memory).unwrap_or_default())
}

/// Remembers it. Durable when it returns.
pub fn remember(env: &Env, memory: &Memory) -> Result<()> {
    write(env, MEMORY, &KeptMemory { version: VERSION, memory: memory.clone() }, 0o600)
}

/// Who holds updates back; one whose time is over as well.
pub fn hold(env: &Env) -> Result<Option<Hold>> {
    Ok(read::<KeptHold>(env, HOLD)?.map(|kept| Hold { until: kept.until, reason: kept.reason }))
}

/// Holds updates back. Durable when it returns.
pub fn set_hold(env: &Env, hold: &Hold) -> Result<()> {
    write(env, HOLD, &KeptHold { version: VERSION, until: hold.until, reason: hold.reason.clone() }, 0o644)
}

/// Holds nothing back any more; false when nothing was. Durable when it returns.
pub fn release_hold(env: &Env) -> Result<bool> {
    let Some(directory) = open(env)? else { return Ok(false) };
    let removed = fsx::remove_file(&directory, HOLD).map_err(io("removing", HOLD))?;
    fsx::sync_dir(&directory).map_err(io("removing", HOLD))?;
    Ok(removed)
}

fn read<T: DeserializeOwned>(env: &Env, name: &str) -> Result<Option<T>> {
    let Some(directory) = open(env)? else { return Ok(None) };
    let bytes = fsx::read_limited(&directory, name, LIMIT).map_err(io("reading", name))?;
    Ok(bytes.map(|bytes| parse_state(&bytes, &format!("/{DIRECTORY}/{name}"))).transpose()?)
}

fn write<T: Serialize>(env: &Env, name: &str, state: &T, mode: u32) -> Result<()> {
    let write = || {
        let mut directory = fsx::open_dir(&env.config_root)?;
        for part in DIRECTORY.split('/') {
            directory = fsx::ensure_dir(&directory, part, 0o755)?;
        }
        fsx::write_atomic(&directory, name, &print_state(state), mode)
    };
    write().map_err(io("writing", name))
}

fn open(env: &Env) -> Result<Option<Dir>> {
    match fsx::open_dir(&env.config_root.join(DIRECTORY)) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening /{DIRECTORY}"))(error)),
    }
}

fn io(verb: &str, name: &str) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("{verb} /{DIRECTORY}/{name}"))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::agent::machine::{Attempts, Source, Target};
    use crate::digest::Sha256;

    fn known() -> Memory {
        Memory {
            staged: Some(Target {
                digest: Sha256([3; 32]),
                version: Some("42".into()),
                source: Source::NewTag("42".into()),
            }),
            staging: Some(Target { digest: Sha256([5; 32]), version: None, source: Source::Digest }),
            attempts: Some(Attempts { digest: Sha256([4; 32]), failures: 2 }),
            postponed: 3,
            lock: true,
            urgent: true,
        }
    }

    /// What a released version has written is read for ever.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test puts the examples in their places")]
    fn version_1_is_read() {
        let root = tempfile::tempdir().unwrap();
        let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        let directory = root.path().join(DIRECTORY);
        std::fs::create_dir_all(&directory).unwrap();
        let examples = [
            (MEMORY, include_str!("../../fixtures/state/v1/agent.json")),
            (HOLD, include_str!("../../fixtures/state/v1/hold.json")),
        ];
        for (name, text) in examples {
            std::fs::write(directory.join(name), text).unwrap();
        }
        assert_eq!(memory(&env).unwrap(), known());
        let until = "2026-12-01T06:00:00Z".parse().ok();
        assert_eq!(hold(&env).unwrap(), Some(Hold { until, reason: "release week".into() }));
    }

    #[test]
    fn what_is_kept_reads_back_and_nothing_is_kept_at_first() {
        let root = tempfile::tempdir().unwrap();
        let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        assert_eq!((memory(&env).unwrap(), hold(&env).unwrap()), (Memory::default(), None));
        assert!(!release_hold(&env).unwrap());

        remember(&env, &known()).unwrap();
        assert_eq!(memory(&env).unwrap(), known());
        for until in [None, Some("2026-12-01T06:00:00Z".parse().unwrap())] {
            let held = Hold { until, reason: "release week".into() };
            set_hold(&env, &held).unwrap();
            assert_eq!(hold(&env).unwrap(), Some(held));
        }
        assert!(release_hold(&env).unwrap() && hold(&env).unwrap().is_none());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test damages what is kept")]
    fn a_newer_or_damaged_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        remember(&env, &Memory::default()).unwrap();
        let file = root.path().join(DIRECTORY).join(MEMORY);
        for text in [r#"{"version": 9, "memory": {}}"#, "{"] {
            std::fs::write(&file, text).unwrap();
            assert!(memory(&env).unwrap_err().to_string().contains("/var/lib/reroot/agent.json"), "{text}");
        }
    }
}
