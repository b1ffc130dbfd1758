//! Asking for the graph.

use super::document::{BYTES, Graph};
use crate::agent::http::{Client, Error, Kind, Patience, Redirects, Result};
use crate::agent::identity::Identity;
use crate::agent::template::{basearch, expand};
use crate::env::Env;
use crate::names::printable;

/// Below the base address.
const PATH: &str = "v1/graph";

/// What is booted, for the server's own statistics and policies.
#[derive(Debug, Clone, Copy)]
pub struct Booted<'a> {
    pub version: &'a str,
    /// `HOST/REPOSITORY@sha256:…`, or the digest alone.
    pub image: &'a str,
}

/// A server of graphs.
#[derive(Debug, Clone)]
pub struct GraphClient {
    client: Client,
    identity: Identity,
}

impl GraphClient {
    /// Prepares asking the server at an address that may have variables ([`expand`]). Nothing is sent.
    pub fn new(base_url: &str, identity: &Identity, patience: Patience, env: &Env) -> Result<Self> {
        let expanded = expand(base_url, identity)
            .map_err(|reason| Error::new(Kind::Configuration, printable(base_url.as_bytes()), reason))?;
        let client = Client::new(&expanded, Redirects::Follow, patience, env)?;
        Ok(Self { client, identity: identity.clone() })
    }

    /// Gets the graph as it is for this host.
    pub async fn fetch(&self, booted: Booted<'_>) -> Result<Graph> {
        let answer = self.client.get(PATH, &query(&self.identity, booted)).await?;
        if answer.status() != 200 {
            return Err(answer.refused().await);
        }
        let malformed = answer.error(Kind::Malformed, "");
        let body = answer.body(BYTES).await?;
        Graph::parse(&body).map_err(|reason| malformed.because(format!("its answer is no graph: {reason}")))
    }
}

/// The query of zincati. The wariness is always in it: a server and [`super::Rollout`] then judge by the same number.
fn query(identity: &Identity, booted: Booted<'_>) -> [(&'static str, String); 9] {
    [
        ("basearch", basearch(&identity.arch).into()),
        ("stream", identity.stream.clone()),
        ("platform", identity.platform.clone()),
        ("group", identity.group.clone()),
        ("node_uuid", identity.node_id.clone()),
        ("os_version", booted.version.into()),
        ("os_checksum", booted.image.into()),
        ("rollout_wariness", format!("{:.6}", identity.wariness())),
        ("oci", "true".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_that_of_the_protocol() {
        let identity = Identity {
            node_id: "e0f3745b108f471cbd4883c6fbed8cdd".into(),
            group: "workers".into(),
            arch: "arm64".into(),
            platform: "metal".into(),
            stream: "stable".into(),
            wariness: Some(0.05),
        };
        let booted = Booted { version: "41.1", image: "quay.io/acme/os@sha256:00" };
        let query = query(&identity, booted).map(|(key, value)| format!("{key}={value}"));
        assert_eq!(
            query.join("&"),
            "basearch=aarch64&stream=stable&platform=metal&group=workers&node_uuid=e0f3745b108f471cbd4883c6fbed8cdd&\
             os_version=41.1&os_checksum=quay.io/acme/os@sha256:00&rollout_wariness=0.050000&oci=true"
        );
    }
}
