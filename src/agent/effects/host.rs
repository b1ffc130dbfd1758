//! The machine: its verbs run on a thread of their own, so that signals and the watchdog are heard meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::env::Env;
use crate::fsx::lock::Wait;
use crate::oci::Rate;
use crate::ops::{self, Context, Error, ErrorKind, Result};
use crate::progress::{Event, Reporter};
use crate::sysroot::Sysroot;

/// Somebody at a terminal is done by then, or does something longer.
const WAIT: Duration = Duration::from_secs(60);

/// A machine and how to get at it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Host {
    pub env: Arc<Env>,
    sysroot: Arc<PathBuf>,
}

impl Host {
    pub fn new(env: &Env, sysroot: PathBuf) -> Self {
        Self { env: Arc::new(env.clone()), sysroot: Arc::new(sysroot) }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::try_from(self.env.now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Does something with the sysroot.
    pub async fn verb<T: Send + 'static>(
        &self,
        limit_rate: Option<Rate>,
        verb: impl FnOnce(&Sysroot, &Context<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.work(move |host| {
            let config = ops::config::load(&host.env)?;
            let sysroot = host.open()?;
            let context = Context {
                env: &host.env,
                config: &config,
                reporter: &Journal,
                wait: Wait::For(WAIT),
                limit_rate,
            };
            verb(&sysroot, &context)
        })
        .await
    }

    /// For a look at it.
    pub fn open(&self) -> Result<Sysroot> {
        Ok(Sysroot::open(&self.sysroot, &self.env)?)
    }

    /// Does something else that takes its time.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let host = self.clone();
        match tokio::task::spawn_blocking(move || work(&host)).await {
            Ok(result) => result,
            // The panic has been printed. It must not end the agent, and is tried again like everything that fails.
            Err(error) => Err(Error::bug(format!("a part of the agent has ended: {error}"))),
        }
    }
}

/// What verbs report goes to the journal.
pub struct Journal;

impl Reporter for Journal {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::Warning(text) => tracing::warn!(target: "reroot::agent", "{text}"),
            Event::Phase(text) => tracing::debug!(target: "reroot::agent", "{text}"),
            Event::Output { of, line } => tracing::info!(target: "reroot::agent", "{of}: {line}"),
            _ => {}
        }
    }
}

/// A word for metrics.
pub fn kind(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidInput => "invalid-input",
        ErrorKind::NotFound => "not-found",
        ErrorKind::Busy => "busy",
        ErrorKind::Network => "network",
        ErrorKind::Verification => "verification",
        ErrorKind::NoSpace => "no-space",
        ErrorKind::Incompatible => "incompatible",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Io => "io",
        ErrorKind::Bug => "bug",
    }
}
