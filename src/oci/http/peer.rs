//! A server, and how it is reached: certificates, proxies, redirects.

use std::sync::Once;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, Url};

use super::trouble::{reason, shown};
use crate::env::Env;
use crate::oci::certs::{self, Certificates};
use crate::oci::registries_conf::is_loopback;
use crate::oci::{Error, Result};

/// What servers see of us.
pub const USER_AGENT: &str = concat!("reroot/", env!("CARGO_PKG_VERSION"));

/// Where redirects are followed for us, how many.
const MAX_REDIRECTS: usize = 5;

/// A server, and what this machine's configuration says of it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// With a port if there is one, as people write it.
    pub host: String,
    pub certificates: Certificates,
    pub proxies: Proxies,
    pub trust: Trust,
    /// How long making a connection may take.
    pub connect: Duration,
}

/// Whose certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities and of `certs.d`.
    Authorities,
    /// Any: somebody configured it so.
    Anybody,
}

/// Whether redirects are followed without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    Never,
    /// A few, and none from HTTPS to HTTP.
    Follow,
}

impl Peer {
    /// Reads what `certs.d` and the surroundings have for a host.
    pub fn load(host: &str, connect: Duration, env: &Env) -> Result<Self> {
        // As Go's tools do: what is on this machine is not reached through a proxy.
        let proxies = if is_loopback(host) { Proxies::default() } else { Proxies::from_env(env) };
        let certificates = certs::load(host, env)?;
        Ok(Self { host: host.into(), certificates, proxies, trust: Trust::Authorities, connect })
    }

    /// A client for addresses of this scheme.
    pub fn client(&self, scheme: &str, redirects: Redirects) -> Result<Client> {
        install_crypto_provider();
        let build = |builder: ClientBuilder| builder.build().map_err(|e| self.misconfigured(&e));
        match build(self.builder(redirects)?) {
            // A machine without any certificate authorities can still speak plain HTTP.
            Err(_) if scheme == "http" => build(self.builder(redirects)?.tls_certs_only([])),
            built => built,
        }
    }

    fn builder(&self, redirects: Redirects) -> Result<ClientBuilder> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.connect)
            .redirect(redirects.policy())
            // A connection for each blob: in HTTP/2 one blob that waits for us would take the window of all.
            .http1_only()
            .referer(false)
            .tcp_nodelay(true)
            .tls_danger_accept_invalid_certs(self.trust == Trust::Anybody)
            .tls_certs_merge(self.authorities()?);
        builder = self.proxies.apply(builder).map_err(|e| self.misconfigured(&e))?;
        if let Some(client) = &self.certificates.client {
            let pem = [&client.certificate[..], b"\n", &client.key[..]].concat();
            let identity = Identity::from_pem(&pem).map_err(|e| Error::Configuration {
                what: client.path.clone(),
                reason: format!("the client certificate or its key cannot be used: {}", reason(&e)),
            })?;
            builder = builder.identity(identity);
        }
        Ok(builder)
    }

    fn authorities(&self) -> Result<Vec<Certificate>> {
        let mut authorities = Vec::new();
        for (path, pem) in &self.certificates.authorities {
            let error = |reason: String| Error::Configuration { what: path.clone(), reason };
            let found = Certificate::from_pem_bundle(pem)
                .map_err(|e| error(format!("the certificate cannot be read: {}", reason(&e))))?;
            if found.is_empty() {
                return Err(error("it has no certificate in PEM".into()));
            }
            authorities.extend(found);
        }
        Ok(authorities)
    }

    fn misconfigured(&self, error: &reqwest::Error) -> Error {
        Error::Configuration { what: self.host.clone(), reason: format!("preparing TLS: {}", reason(error)) }
    }
}

impl Redirects {
    fn policy(self) -> Policy {
        match self {
            Self::Never => Policy::none(),
            Self::Follow => Policy::custom(|attempt: Attempt<'_>| {
                let https = |url: &Url| url.scheme() == "https";
                if !matches!(attempt.url().scheme(), "http" | "https") {
                    let to = shown(attempt.url());
                    attempt.error(format!("its redirect to {to} leaves the web"))
                } else if attempt.previous().len() > MAX_REDIRECTS {
                    attempt.error(format!("more than {MAX_REDIRECTS} redirects"))
                } else if attempt.previous().iter().any(https) && !https(attempt.url()) {
                    let to = shown(attempt.url());
                    attempt.error(format!("its redirect to {to} would leave HTTPS"))
                } else {
                    attempt.follow()
                }
            }),
        }
    }
}

/// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, lower case first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    pub https: Option<String>,
    pub http: Option<String>,
    pub except: Option<String>,
}

impl Proxies {
    fn from_env(env: &Env) -> Self {
        let var =
            |name: &str| env.var(name).or_else(|| env.var(&name.to_ascii_uppercase())).map(str::to_owned);
        let all = var("all_proxy");
        // In a CGI program `HTTP_PROXY` is a header of the request (CVE-2016-5385).
        let http = match env.var("REQUEST_METHOD") {
            Some(_) => env.var("http_proxy").map(str::to_owned),
            None => var("http_proxy"),
        };
        Self {
            https: var("https_proxy").or_else(|| all.clone()),
            http: http.or(all),
            except: var("no_proxy"),
        }
    }

    fn apply(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let except = || self.except.as_deref().and_then(NoProxy::from_string);
        // Not what the HTTP library finds in the process's variables.
        let mut builder = builder.no_proxy();
        if let Some(proxy) = &self.https {
            builder = builder.proxy(Proxy::https(proxy)?.no_proxy(except()));
        }
        if let Some(proxy) = &self.http {
            builder = builder.proxy(Proxy::http(proxy)?.no_proxy(except()));
        }
        Ok(builder)
    }
}

/// Chooses `ring` for TLS in this process, once.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that one was chosen before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn proxies_come_from_the_surroundings() {
        let proxies = |vars: &[(&str, &str)]| {
            let mut env = Env::fixed(Path::new("/nonexistent"), SystemTime::UNIX_EPOCH);
            env.vars.extend(vars.iter().map(|(k, v)| (k.to_string(), v.to_string())));
            let p = Proxies::from_env(&env);
            [p.https, p.http, p.except].map(Option::unwrap_or_default)
        };
        for (vars, expected) in [
            (&[][..], ["", "", ""]),
            (&[("HTTPS_PROXY", "a"), ("HTTP_PROXY", "b"), ("NO_PROXY", "c")], ["a", "b", "c"]),
            (&[("HTTPS_PROXY", "a"), ("https_proxy", "b")], ["b", "", ""]),
            (&[("ALL_PROXY", "a"), ("http_proxy", "b")], ["a", "b", ""]),
            (&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")], ["", "", ""]),
            (&[("HTTP_PROXY", "")], ["", "", ""]),
        ] {
            assert_eq!(proxies(vars), expected, "{vars:?}");
        }
    }
}
