//! Who would be disturbed by a restart: people who are logged in, and programs that do not want one.
//!
//! Both are asked of systemd-logind, once each time, in forms that have not changed for many years: lists over D-Bus by busctl(1),
//! sessions by the properties that loginctl(1) shows. Nobody is disturbed where there is no logind, or where what it says makes no
//! sense: a machine that cannot tell must still be updated. Then there is a warning.
//!
//! | | disturbed | not disturbed |
//! |---|---|---|
//! | sessions | of class `user`, of a type: a terminal, a display, an SSH client, Cockpit | greeters, user managers, cron, lingering users; what is being closed |
//! | inhibitors | of mode `block`, with `shutdown` among what they inhibit | those that only delay it: they have their time at every shutdown |

mod ask;
mod read;

use std::fmt;

use serde::Serialize;

pub use ask::{find, tell};

/// Who would be disturbed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct People {
    pub sessions: Vec<Session>,
    pub inhibitors: Vec<Inhibitor>,
    /// What could not be found out.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub id: String,
    pub user: String,
    /// `tty2`, `pts/0`; `None` for an SSH client without a terminal, and for some displays.
    pub terminal: Option<String>,
}

/// A program that does not want a shutdown (<https://systemd.io/INHIBITOR_LOCKS>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inhibitor {
    pub who: String,
    pub why: String,
}

impl People {
    pub fn is_nobody(&self) -> bool {
        self.sessions.is_empty() && self.inhibitors.is_empty()
    }
}

/// `alice is logged in (pts/0), dpkg does not want a shutdown (upgrading)`; nothing for nobody.
impl fmt::Display for People {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = |detail: &str| if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        let sessions = self.sessions.iter().map(|Session { user, terminal, .. }| {
            format!("{user} is logged in{}", detail(terminal.as_deref().unwrap_or_default()))
        });
        let inhibitors = self
            .inhibitors
            .iter()
            .map(|Inhibitor { who, why }| format!("{who} does not want a shutdown{}", detail(why)));
        formatter.write_str(&sessions.chain(inhibitors).collect::<Vec<_>>().join(", "))
    }
}
