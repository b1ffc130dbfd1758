//! Credentials, or none, for a token (distribution's "Token Authentication Specification").
//!
//! oci-client does the exchange where it can. It cannot present a client certificate, use an identity token or
//! another scope than the repository's, and it hides status and `Retry-After` of an answer that is no token:
//! then the request is ours.

use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::RegistryToken;
use oci_client::{Reference, RegistryOperation};
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::OnceCell;

use super::challenge::{Bearer, Carrying, permitted_realm};
use super::response;
use super::retry::Failure;
use super::stall::Meter;
use super::transport::{Route, Transport, within};
use crate::oci::auth::Credentials;
use crate::oci::http::{Trust, USER_AGENT, shown};
use crate::oci::{Error, Result};

/// More than any token; registries' tokens have some kilobytes.
const ANSWER_LIMIT: u64 = 1 << 20;

/// For the whole exchange by oci-client, which reads an answer of any size.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes tokens for one server.
#[derive(Default)]
pub struct Exchange {
    client: OnceCell<Client>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange")
    }
}

impl Exchange {
    pub async fn token(
        &self,
        transport: &Transport,
        route: &Route,
        repository: &str,
        bearer: &Bearer,
        credentials: Option<&Credentials>,
    ) -> Result<String, Failure> {
        let carrying = if credentials.is_some() { Carrying::Credentials } else { Carrying::Nothing };
        let realm = permitted_realm(&bearer.realm, &route.base, carrying)
            .map_err(|reason| Error::Unauthorized { what: transport.peer.host.clone(), reason })?;
        tracing::debug!("{} sends us to {} for a token", transport.peer.host, shown(&realm));
        let scope = format!("repository:{repository}:pull");
        let usual =
            transport.peer.certificates.client.is_none() && bearer.scope.as_ref().is_none_or(|s| *s == scope);
        let auth = match credentials {
            None => Some(RegistryAuth::Anonymous),
            Some(Credentials::Basic { username, password }) => {
                Some(RegistryAuth::Basic(username.clone(), password.clone()))
            }
            Some(Credentials::IdentityToken(_)) => None,
        };
        if let Some(auth) = auth.filter(|_| usual)
            && let Some(token) = self.by_library(transport, route, repository, &auth).await
        {
            return Ok(token);
        }
        let scope = bearer.scope.as_deref().unwrap_or(&scope);
        by_request(transport, route, realm, bearer.service.as_deref(), scope, credentials).await
    }

    /// `None` for whatever was in the way: our own request then finds out what.
    async fn by_library(
        &self,
        transport: &Transport,
        route: &Route,
        repository: &str,
        auth: &RegistryAuth,
    ) -> Option<String> {
        let registry = route.base.authority().to_owned();
        let reference = Reference::with_tag(registry, repository.to_owned(), "latest".into());
        let client = self.client.get_or_try_init(async || Client::try_from(config(transport, route))).await;
        let asking = async {
            let token = client?.auth(&reference, auth, RegistryOperation::Pull).await?;
            Ok::<_, oci_client::errors::OciDistributionError>(token)
        };
        match tokio::time::timeout(LIBRARY_TIMEOUT.min(transport.timeouts.response), asking).await {
            Ok(Ok(token)) => token,
            Ok(Err(error)) => {
                tracing::debug!("oci-client got no token from {}: {error}", transport.peer.host);
                None
            }
            Err(_) => None,
        }
    }
}

fn config(transport: &Transport, route: &Route) -> ClientConfig {
    let authorities = &transport.peer.certificates.authorities;
    let certificate = |pem: &Vec<u8>| Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() };
    let proxies = transport.peer.proxies.clone();
    // The library looks for proxies in the process's variables unless it is given one; this one is for no host.
    let (https_proxy, no_proxy) = match (&proxies.https, &proxies.http) {
        (None, None) => (Some("http://127.0.0.1:9".into()), Some("*".into())),
        _ => (proxies.https, proxies.except),
    };
    ClientConfig {
        protocol: if route.base.scheme() == "http" { ClientProtocol::Http } else { ClientProtocol::Https },
        accept_invalid_certificates: transport.peer.trust == Trust::Anybody,
        extra_root_certificates: authorities.iter().map(|(_, pem)| certificate(pem)).collect(),
        connect_timeout: Some(transport.peer.connect),
        read_timeout: Some(transport.timeouts.response),
        user_agent: USER_AGENT,
        https_proxy,
        http_proxy: proxies.http,
        no_proxy,
        ..ClientConfig::default()
    }
}

async fn by_request(
    transport: &Transport,
    route: &Route,
    realm: Url,
    service: Option<&str>,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<String, Failure> {
    let service = service.unwrap_or_default();
    let request = match credentials {
        Some(Credentials::IdentityToken(token)) => {
            let fields = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("scope", scope),
                ("client_id", "reroot"),
                ("refresh_token", token),
            ];
            let body = with_query(realm.clone(), &fields).query().unwrap_or_default().to_owned();
            let request = route.client.post(realm.clone()).body(body);
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        }
        Some(Credentials::Basic { username, password }) => {
            let mut fields = fields(service, scope);
            fields.push(("account", username));
            route.client.get(with_query(realm.clone(), &fields)).basic_auth(username, Some(password))
        }
        None => route.client.get(with_query(realm.clone(), &fields(service, scope))),
    };
    let answer = within(transport.timeouts, request.send(), &realm).await?;
    // Redirects are not followed: nobody but the realm gets the credentials.
    if !answer.status().is_success() {
        let what = format!("getting a token for {} from {}", transport.peer.host, shown(&realm));
        return Err(response::failure(answer, &what, transport.now()).await);
    }
    let body = Meter::new(transport.timeouts).read_all(answer, ANSWER_LIMIT, &shown(&realm)).await?;
    match serde_json::from_slice::<RegistryToken>(&body) {
        Ok(token) if !token.token().is_empty() => Ok(token.token().to_owned()),
        _ => Err(Error::malformed(shown(&realm), "its answer holds no token").into()),
    }
}

/// Several scopes are several fields (distribution's "Token Authentication Specification", "Requesting a Token").
fn fields<'f>(service: &'f str, scope: &'f str) -> Vec<(&'f str, &'f str)> {
    let scopes = scope.split_ascii_whitespace().map(|scope| ("scope", scope));
    std::iter::once(("service", service)).chain(scopes).collect()
}

/// Adds fields to what the realm has already, leaving empty ones away.
fn with_query(mut url: Url, fields: &[(&str, &str)]) -> Url {
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        url.query_pairs_mut().append_pair(name, value);
    }
    url
}
