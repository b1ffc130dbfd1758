//! What happens outside while the agent waits.

use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::agent::runtime::{Nudge, Runtime};
use crate::ops::{Error, Result};

/// Longer than any word.
const WORD: usize = 64;

/// Something from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// The agent is to end.
    End,
    /// The configuration is to be read again.
    Reload,
    Nudge(Nudge),
}

/// Signals, the socket, and the watchdog that is kept quiet meanwhile.
pub struct Ears {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    words: UnixDatagram,
    watchdog: Option<Interval>,
}

impl Ears {
    /// Opens them; inside a runtime.
    pub fn open(runtime: &Runtime) -> Result<Self> {
        let listen = |kind: SignalKind| signal(kind).map_err(Error::io("listening for signals"));
        let words = UnixDatagram::from_std(runtime.socket()?).map_err(Error::io("listening for commands"))?;
        // Twice as often as systemd wants to hear something (sd_watchdog_enabled(3)).
        let watchdog = sd_notify::watchdog_enabled().map(|limit| {
            let mut ticks = interval(limit / 2);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            words,
            watchdog,
        })
    }

    /// The next thing that happens. May be dropped at any time.
    pub async fn next(&mut self) -> Outside {
        let mut word = [0; WORD];
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Outside::End,
                _ = self.interrupt.recv() => return Outside::End,
                _ = self.hangup.recv() => return Outside::Reload,
                read = self.words.recv(&mut word) => match read {
                    Ok(length) => match Nudge::parse(&word[..length]) {
                        Some(nudge) => return Outside::Nudge(nudge),
                        None => tracing::warn!(target: "reroot::agent", "a word that is none of reroot's"),
                    },
                    // It does not fail in use; if it did, signals are still heard.
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                },
                () = tick(&mut self.watchdog) => {
                    // Without systemd there is nobody to tell.
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }
    }
}

async fn tick(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
