//! The way to one server: whether HTTPS or plain HTTP, and what a failed request means.

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::{Client, Url};
use tokio::sync::OnceCell;

use super::options::Timeouts;
use super::retry::Failure;
use crate::env::Env;
use crate::oci::http::{Peer, Redirects, Trouble, Trust, shown, trouble};
use crate::oci::registries_conf::{Endpoint, Security};
use crate::oci::{Error, Result};

/// Docker's hub answers under another name than the one people write.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// The way to one server, found at the first request and kept.
#[derive(Debug)]
pub struct Transport {
    pub peer: Peer,
    security: Security,
    pub timeouts: Timeouts,
    env: Arc<Env>,
    route: OnceCell<Route>,
}

/// A client and the address it speaks to.
#[derive(Debug, Clone)]
pub struct Route {
    pub client: Client,
    /// `https://HOST[:PORT]/` or `http://HOST[:PORT]/`.
    pub base: Url,
}

impl Transport {
    pub fn new(endpoint: &Endpoint, timeouts: Timeouts, env: &Arc<Env>) -> Result<Self> {
        let mut peer = Peer::load(&endpoint.reference.host, timeouts.connect, env)?;
        if endpoint.security == Security::Insecure {
            peer.trust = Trust::Anybody;
        }
        Ok(Self { peer, security: endpoint.security, timeouts, env: env.clone(), route: OnceCell::new() })
    }

    /// This machine's time.
    pub fn now(&self) -> SystemTime {
        self.env.now()
    }

    /// The way to the server. Where plain HTTP is allowed beside HTTPS, HTTPS is tried first and the answer is
    /// remembered; no credentials are sent for that.
    pub async fn route(&self) -> Result<&Route, Failure> {
        self.route
            .get_or_try_init(async || {
                let https = self.route_by("https")?;
                if self.security == Security::Verified {
                    return Ok(https);
                }
                let secure_failure = match self.ping(&https).await {
                    Ok(()) => return Ok(https),
                    Err(failure) => failure,
                };
                let http = self.route_by("http")?;
                match self.ping(&http).await {
                    Ok(()) => {
                        tracing::debug!("{} is spoken to in plain HTTP", self.peer.host);
                        Ok(http)
                    }
                    // The one that people expect to work.
                    Err(_) => Err(secure_failure),
                }
            })
            .await
    }

    /// Asks for the one path that every registry has (distribution-spec, "Determining Support").
    async fn ping(&self, route: &Route) -> Result<(), Failure> {
        let url = join(&route.base, "v2/")?;
        let sending = route.client.get(url.clone()).send();
        let response = within(self.timeouts, sending, &url).await?;
        // What a server of HTTPS answers to plain HTTP.
        let plain_to_tls = route.base.scheme() == "http" && response.status() == 400;
        match plain_to_tls {
            true => Err(Failure::transient(network(&url, "it does not speak plain HTTP".into()))),
            false => Ok(()),
        }
    }

    fn route_by(&self, scheme: &str) -> Result<Route> {
        let host = if self.peer.host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { &self.peer.host };
        let base = Url::parse(&format!("{scheme}://{host}/")).map_err(|e| Error::Configuration {
            what: self.peer.host.clone(),
            reason: format!("it is no address: {e}"),
        })?;
        // Redirects are followed by us, who know where credentials may go.
        Ok(Route { client: self.peer.client(scheme, Redirects::Never)?, base })
    }
}

/// Sends a request and waits for the headers of the answer.
pub async fn within(
    timeouts: Timeouts,
    sending: impl Future<Output = reqwest::Result<reqwest::Response>>,
    url: &Url,
) -> Result<reqwest::Response, Failure> {
    match tokio::time::timeout(timeouts.response, sending).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(classify(&error, url)),
        Err(_) => {
            let reason = format!("no answer in {} seconds", timeouts.response.as_secs());
            Err(Failure::transient(network(url, reason)))
        }
    }
}

/// What a failed request means.
pub fn classify(error: &reqwest::Error, url: &Url) -> Failure {
    let (trouble, reason) = trouble(error);
    let failed = network(url, reason);
    match trouble {
        Trouble::Certificate | Trouble::Request => Failure::Final(failed),
        Trouble::Tls | Trouble::Connect => Failure::Unreachable(failed),
        Trouble::TimedOut if error.is_connect() => Failure::Unreachable(failed),
        Trouble::TimedOut | Trouble::Redirect | Trouble::Interrupted => Failure::transient(failed),
    }
}

/// An error of the network at an address.
pub fn network(url: &Url, reason: String) -> Error {
    Error::Network { what: shown(url), reason }
}

/// A path below a server's address.
pub fn join(base: &Url, path: &str) -> Result<Url> {
    base.join(path)
        .map_err(|e| Error::Configuration { what: shown(base), reason: format!("`{path}` is no path: {e}") })
}
