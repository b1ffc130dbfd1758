//! `/run/reroot/agent`: that an agent runs, what it does, and how it is woken up.
//!
//! ```text
//! lock          held by the agent that runs; there is one at a time
//! wake          a datagram socket: a word wakes it up
//! status.json   what it does and waits for, see [`super::status`]
//! ```

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use crate::env::Env;
use crate::fsx::lock::{ExclusiveGuard, LockError, LockFile, Wait};
use crate::fsx::{self, Dir};
use crate::ops::{Error, ErrorKind, Result};

/// Below [`Env::config_root`].
const DIRECTORY: &str = "run/reroot/agent";
const LOCK: &str = "lock";
const WAKE: &str = "wake";

/// Why an agent is woken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nudge {
    /// A hold was set or released.
    Changed,
    UpdateNow,
}

impl Nudge {
    fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::UpdateNow => "update-now",
        }
    }

    /// What a word means; nothing when it is none of ours.
    pub fn parse(word: &[u8]) -> Option<Self> {
        [Self::Changed, Self::UpdateNow].into_iter().find(|nudge| nudge.word().as_bytes() == word)
    }
}

/// The directory, held by the agent that runs.
#[derive(Debug)]
pub struct Runtime {
    pub directory: Dir,
    path: PathBuf,
    _lock: ExclusiveGuard,
}

impl Runtime {
    /// Becomes the agent of this machine. Busy when there is one.
    pub fn take(env: &Env) -> Result<Self> {
        let directory = make(env).map_err(Error::io(format!("making /{DIRECTORY}")))?;
        let file =
            LockFile::open(&directory, LOCK).map_err(Error::io(format!("opening /{DIRECTORY}/{LOCK}")))?;
        match file.exclusive(Wait::No) {
            Ok(lock) => Ok(Self { directory, path: env.config_root.join(DIRECTORY), _lock: lock }),
            Err(LockError::Busy(holders)) => {
                let pid = holders.first().map(|holder| format!(" as pid {}", holder.pid)).unwrap_or_default();
                let message = format!("an agent runs already{pid}");
                Err(Error::Other { kind: ErrorKind::Busy, message })
            }
            Err(LockError::Io(error)) => Err(Error::io(format!("locking /{DIRECTORY}/{LOCK}"))(error)),
        }
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Where words come in. Only root can send some.
    pub fn socket(&self) -> Result<UnixDatagram> {
        let bind = || {
            fsx::remove_file(&self.directory, WAKE)?;
            let socket = UnixDatagram::bind(self.path.join(WAKE))?;
            rustix::fs::chmodat(&self.directory, WAKE, 0o600.into(), rustix::fs::AtFlags::empty())?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        bind().map_err(Error::io(format!("opening /{DIRECTORY}/{WAKE}")))
    }
}

/// Wakes the agent up; false when none runs.
pub fn nudge(env: &Env, nudge: Nudge) -> Result<bool> {
    if !is_running(env)? {
        return Ok(false);
    }
    let send = || {
        UnixDatagram::unbound()?
            .send_to(nudge.word().as_bytes(), env.config_root.join(DIRECTORY).join(WAKE))
            .map(drop)
    };
    send().map_err(Error::io("waking up the agent"))?;
    Ok(true)
}

/// Whether an agent runs.
pub fn is_running(env: &Env) -> Result<bool> {
    let Some(directory) = open(env)? else { return Ok(false) };
    let looking = || format!("looking at /{DIRECTORY}/{LOCK}");
    let file = match LockFile::open(&directory, LOCK) {
        Ok(file) => file,
        // Only root may look; the report that the agent leaves behind is removed when it ends in order.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(true),
        Err(error) => return Err(Error::io(looking())(error)),
    };
    match file.shared(Wait::No) {
        Ok(_) => Ok(false),
        Err(LockError::Busy(_)) => Ok(true),
        Err(LockError::Io(error)) => Err(Error::io(looking())(error)),
    }
}

/// The directory, when there is one.
pub fn open(env: &Env) -> Result<Option<Dir>> {
    match fsx::open_dir(&env.config_root.join(DIRECTORY)) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening /{DIRECTORY}"))(error)),
    }
}

fn make(env: &Env) -> std::io::Result<Dir> {
    let mut directory = fsx::open_dir(&env.config_root)?;
    for part in DIRECTORY.split('/') {
        directory = fsx::ensure_dir(&directory, part, 0o755)?;
    }
    Ok(directory)
}
