//! The fleet's lock: only so many hosts of a group may be restarting at once (FleetLock).
//!
//! ```text
//! POST {base}/v1/pre-reboot     may I?    until the answer is 200, the host does not restart
//! POST {base}/v1/steady-state   I am back; sent after every boot before anything else, until the answer is 200
//! ```
//! Both may be sent again and again: who has a slot gets no second one, who has none gives none back. Nothing but a 200 counts, and
//! not even that when it brings a page for people: a portal's log-in page must not restart a fleet.

use serde_json::json;

use super::http::{Answer, Client, Error, Kind, Patience, Redirects, Result};
use super::identity::Identity;
use super::template::expand;
use crate::env::Env;
use crate::names::printable;

/// A lock server, and who asks.
#[derive(Debug, Clone)]
pub struct FleetLock {
    client: Client,
    body: String,
}

/// What is asked of a lock server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A slot is wanted.
    PreReboot,
    /// A slot is given back, if there was one.
    SteadyState,
}

impl Operation {
    /// Its name in the protocol and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreReboot => "pre-reboot",
            Self::SteadyState => "steady-state",
        }
    }
}

impl FleetLock {
    /// Prepares asking the server at an address that may have variables ([`expand`]). Nothing is sent.
    pub fn new(base_url: &str, identity: &Identity, patience: Patience, env: &Env) -> Result<Self> {
        let expanded = expand(base_url, identity)
            .map_err(|reason| Error::new(Kind::Configuration, printable(base_url.as_bytes()), reason))?;
        // A redirect would make a GET of it, and a 200 of anything.
        let client = Client::new(&expanded, Redirects::Never, patience, env)?;
        let body = json!({"client_params": {"id": identity.node_id, "group": identity.group}});
        Ok(Self { client, body: body.to_string() })
    }

    /// Asks for a slot. With `Ok` this host has one, and may have had it before. An error with a
    /// [`refusal`](Error::refusal) is the usual answer while others have them all.
    pub async fn pre_reboot(&self) -> Result<()> {
        self.send(Operation::PreReboot).await
    }

    /// Gives a slot back. With `Ok` this host has none.
    pub async fn steady_state(&self) -> Result<()> {
        self.send(Operation::SteadyState).await
    }

    /// Sends one of the two.
    pub async fn send(&self, operation: Operation) -> Result<()> {
        let path = format!("v1/{}", operation.name());
        let answer = self.client.post(&path, ("fleet-lock-protocol", "true"), self.body.clone()).await?;
        judge(answer).await
    }
}

async fn judge(answer: Answer) -> Result<()> {
    match answer.status() {
        200 if answer.is_html() => {
            Err(answer.error(Kind::Malformed, "its answer is a web page: is this a lock server?"))
        }
        200 => Ok(()),
        300..400 => {
            Err(answer.error(Kind::Redirect, "it sends us elsewhere, and locks are asked for where they are"))
        }
        _ => Err(answer.refused().await),
    }
}
