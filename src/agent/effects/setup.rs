//! Settings, and the servers that they name.

use std::time::Duration;

use crate::agent::config::{self, Follow, Settings, Users};
use crate::agent::fleet_lock::FleetLock;
use crate::agent::graph::GraphClient;
use crate::agent::http::{self, Patience};
use crate::agent::identity::Identity;
use crate::agent::machine::Rules;
use crate::env::Env;
use crate::oci::platform::Platform;
use crate::ops::{Error, Result};

/// Everything that the configuration decides. Replaced as a whole.
#[derive(Debug)]
pub struct Setup {
    pub settings: Settings,
    pub identity: Identity,
    graph: Option<String>,
    pub lock: Option<FleetLock>,
    env: Env,
}

impl Setup {
    /// Reads the configuration. Nothing is asked of any server.
    pub fn load(env: &Env) -> Result<Self> {
        let settings = config::load(env)?;
        let unusable = |error: http::Error| Error::invalid(error.to_string());
        let graph_settings = match &settings.follow {
            Follow::Graph(graph) => Some(graph),
            _ => None,
        };
        // Without one of its own a host would have the lock of all others that have none.
        let node_id = match graph_settings.is_some() || settings.reboot.fleet_lock.is_some() {
            true => Some(settings.identity.id()?),
            false => settings.identity.node_id,
        };
        let identity = Identity {
            node_id: node_id.map(|id| id.simple().to_string()).unwrap_or_default(),
            group: settings.identity.group.clone(),
            arch: Platform::host().architecture,
            platform: settings.identity.platform.clone(),
            stream: graph_settings.map(|graph| graph.stream.clone()).unwrap_or_default(),
            wariness: settings.identity.rollout_wariness,
        };
        let graph = graph_settings.map(|graph| graph.base_url.clone());
        let lock = settings.reboot.fleet_lock.as_ref();
        let lock = lock
            .map(|lock| FleetLock::new(&lock.base_url, &identity, Patience::default(), env))
            .transpose()
            .map_err(unusable)?;
        let this = Self { settings, identity, graph, lock, env: env.clone() };
        this.graph(false).transpose().map_err(unusable)?;
        Ok(this)
    }

    /// The server of the graph, when one is followed. `urgent`: as a host that is before every rollout.
    pub fn graph(&self, urgent: bool) -> Option<http::Result<GraphClient>> {
        let identity = Identity { wariness: Some(self.wariness(urgent)), ..self.identity.clone() };
        let base_url = self.graph.as_ref()?;
        Some(GraphClient::new(base_url, &identity, Patience::default(), &self.env))
    }

    /// Its place in a phased rollout, 0 to 1.
    pub fn wariness(&self, urgent: bool) -> f64 {
        if urgent { 0.0 } else { self.identity.wariness() }
    }
}

impl From<&Settings> for Rules {
    fn from(settings: &Settings) -> Self {
        let reboot = &settings.reboot;
        Self {
            policy: settings.policy,
            interval: settings.interval,
            jitter: settings.jitter,
            lock: reboot.fleet_lock.is_some(),
            postpone: reboot.postpone.max(Duration::from_secs(1)),
            postpone_times: match reboot.users {
                Users::Postpone => reboot.postpone_times,
                Users::Ignore => 0,
            },
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write what people write")]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn no_server_is_asked_by_a_machine_without_an_id() {
        let root = tempfile::tempdir().unwrap();
        let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        let directory = root.path().join("etc/reroot/agent.d");
        std::fs::create_dir_all(&directory).unwrap();
        assert_eq!(Setup::load(&env).unwrap().identity.node_id, "");
        for text in [
            "[reboot]\nstrategy = 'fleet-lock'\n[reboot.fleet-lock]\nbase-url = 'https://lock.example.com'\n",
            "[update]\nfollow = 'graph'\n[graph]\nbase-url = 'https://graph.example.com'\n",
        ] {
            std::fs::write(directory.join("50.toml"), text).unwrap();
            let error = Setup::load(&env).unwrap_err().to_string();
            assert!(error.starts_with("this machine has no id"), "{error}");
        }
    }
}
