//! HTTP and TLS of one server: which certificates, which proxies, and whether HTTPS or plain HTTP.

use std::error::Error as _;
use std::sync::{Arc, Once};
use std::time::SystemTime;

use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, Url};
use tokio::sync::OnceCell;

use super::options::Timeouts;
use super::retry::Failure;
use crate::env::Env;
use crate::oci::certs::{self, Certificates};
use crate::oci::registries_conf::{Endpoint, Security, is_loopback};
use crate::oci::{Error, Result};

/// What registries see of us.
pub const USER_AGENT: &str = concat!("reroot/", env!("CARGO_PKG_VERSION"));

/// Docker's hub answers under another name than the one people write.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// The way to one server, found at the first request and kept.
#[derive(Debug)]
pub struct Transport {
    /// As people write it.
    pub host: String,
    security: Security,
    pub certificates: Certificates,
    pub proxies: Proxies,
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
        let host = endpoint.reference.host.clone();
        // As Go's tools do: what is on this machine is not reached through a proxy.
        let proxies = if is_loopback(&host) { Proxies::default() } else { Proxies::from_env(env) };
        Ok(Self {
            certificates: certs::load(&host, env)?,
            security: endpoint.security,
            proxies,
            timeouts,
            host,
            env: env.clone(),
            route: OnceCell::new(),
        })
    }

    /// This machine's time.
    pub fn now(&self) -> SystemTime {
        self.env.now()
    }

    /// True where any certificate will do.
    pub fn accepts_any_certificate(&self) -> bool {
        self.security == Security::Insecure
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
                        tracing::debug!("{} is spoken to in plain HTTP", self.host);
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
        let host = if self.host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { &self.host };
        let base = Url::parse(&format!("{scheme}://{host}/")).map_err(|e| Error::Configuration {
            what: self.host.clone(),
            reason: format!("it is no address: {e}"),
        })?;
        Ok(Route { client: self.client(scheme)?, base })
    }

    fn client(&self, scheme: &str) -> Result<Client> {
        install_crypto_provider();
        let build = |builder: ClientBuilder| builder.build().map_err(|e| self.misconfigured(&e));
        match build(self.builder()?) {
            // A machine without any certificate authorities can still speak plain HTTP.
            Err(_) if scheme == "http" => build(self.builder()?.tls_certs_only([])),
            built => built,
        }
    }

    fn builder(&self) -> Result<ClientBuilder> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.timeouts.connect)
            // Followed by us, who know where credentials may go.
            .redirect(reqwest::redirect::Policy::none())
            // A connection for each blob: in HTTP/2 one blob that waits for us would take the window of all.
            .http1_only()
            .referer(false)
            .tcp_nodelay(true)
            .tls_danger_accept_invalid_certs(self.accepts_any_certificate())
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
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(tls) = tls_error(inner) {
            return match tls {
                rustls::Error::InvalidCertificate(certificate) => {
                    Failure::Final(network(url, bad_certificate(certificate)))
                }
                other => Failure::Unreachable(network(url, format!("TLS: {other}"))),
            };
        }
        cause = inner.source();
    }
    let failed = network(url, reason(error));
    if error.is_connect() {
        Failure::Unreachable(failed)
    } else if error.is_builder() {
        Failure::Final(failed)
    } else {
        Failure::transient(failed)
    }
}

/// TLS errors travel inside I/O errors, which may be nested and do not give what they carry as their source.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    let carried: &(dyn std::error::Error + 'static) = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_error(carried)
}

fn bad_certificate(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    let hint = match error {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "; is this machine's clock right?"
        }
        E::UnknownIssuer => "; an authority of your own belongs into /etc/containers/certs.d/HOST/ca.crt",
        _ => "",
    };
    format!("its certificate is not trusted: {error}{hint}")
}

/// The innermost causes without the address, whose query may be a secret.
pub fn reason(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut texts: Vec<String> = Vec::new();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Layers of the HTTP library like to repeat each other.
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        cause = inner.source();
    }
    match texts.is_empty() {
        false => texts.join(": "),
        true if error.is_timeout() => "timed out".into(),
        true => "the request failed".into(),
    }
}

/// An error of the network at an address.
pub fn network(url: &Url, reason: String) -> Error {
    Error::Network { what: shown(url), reason }
}

/// An address without user, query and fragment, which may be secrets.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    let text = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    crate::names::printable(text.as_bytes())
}

/// A path below a server's address.
pub fn join(base: &Url, path: &str) -> Result<Url> {
    base.join(path)
        .map_err(|e| Error::Configuration { what: shown(base), reason: format!("`{path}` is no path: {e}") })
}

/// Chooses `ring` for TLS in this process, once.
pub fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that one was chosen before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = Url::parse("https://user:secret@host:8443/path?signature=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://host:8443/path");
    }
}
