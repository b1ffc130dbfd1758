//! The `Authorization` header of one server, made when the server asks for it and renewed when it is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use reqwest::header::HeaderValue;
use tokio::sync::{Mutex, OnceCell};

use super::challenge::{Bearer, Challenge};
use super::retry::Failure;
use super::token::Exchange;
use super::transport::{Route, Transport};
use crate::env::Env;
use crate::oci::auth::{self, Credentials, Scope};
use crate::oci::{Error, Result};

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actions {
    Pull,
    Push,
}

/// Who we are to one server. Credentials are looked up when they are first needed, which is never for most
/// public images.
#[derive(Debug)]
pub struct Authorizer {
    host: String,
    repository: String,
    actions: Actions,
    helpers: Vec<String>,
    env: Arc<Env>,
    credentials: OnceCell<Option<Credentials>>,
    header: Mutex<Option<HeaderValue>>,
    exchange: Exchange,
    /// What was asked for beside the repository itself: that blobs may be taken from others.
    other_scopes: Mutex<BTreeSet<String>>,
}

impl Authorizer {
    pub fn new(host: &str, repository: &str, actions: Actions, helpers: &[String], env: Arc<Env>) -> Self {
        Self {
            host: host.into(),
            repository: repository.into(),
            actions,
            helpers: helpers.into(),
            env,
            credentials: OnceCell::new(),
            header: Mutex::new(None),
            exchange: Exchange::default(),
            other_scopes: Mutex::new(BTreeSet::new()),
        }
    }

    /// What the next request carries; nothing until a server asked.
    pub async fn header(&self) -> Option<HeaderValue> {
        self.header.lock().await.clone()
    }

    /// Makes a new header after `refused` was not accepted. Several requests that are refused at once make one. Says whether this call
    /// made it.
    pub async fn renew(
        &self,
        refused: Option<&HeaderValue>,
        challenge: Option<Challenge>,
        transport: &Transport,
        route: &Route,
    ) -> Result<bool, Failure> {
        let mut header = self.header.lock().await;
        if header.as_ref() != refused {
            // Another request was here first.
            return Ok(false);
        }
        let challenge = challenge
            .ok_or_else(|| self.unauthorized("it refused the request and asks for nothing that we have"))?;
        let credentials = self.credentials().await?;
        let text = match (challenge, credentials) {
            (Challenge::Basic, Some(Credentials::Basic { username, password })) => {
                let pair = format!("{username}:{password}");
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            (Challenge::Basic, Some(Credentials::IdentityToken(_))) => {
                return Err(self
                    .unauthorized("it wants a password, and an identity token is configured")
                    .into());
            }
            (Challenge::Basic, None) => return Err(self.unauthorized("it wants a password").into()),
            (Challenge::Bearer(bearer), credentials) => {
                let bearer = self.with_all_scopes(bearer).await;
                let token =
                    self.exchange.token(transport, route, &self.repository, &bearer, credentials).await?;
                format!("Bearer {token}")
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            self.unauthorized("its token or the password has characters that HTTP cannot carry")
        })?;
        value.set_sensitive(true);
        if refused == Some(&value) {
            return Err(self.unauthorized("it refused the configured password").into());
        }
        *header = Some(value);
        Ok(true)
    }

    /// A token to push with is for everything that was ever asked for, so that requests at the same time do not take it from each
    /// other. Whoever pulls asks for what the server says.
    async fn with_all_scopes(&self, bearer: Bearer) -> Bearer {
        if self.actions == Actions::Pull {
            return bearer;
        }
        let of_repository = format!("repository:{}:", self.repository);
        let mut others = self.other_scopes.lock().await;
        let asked = bearer.scope.as_deref().unwrap_or_default().split_ascii_whitespace();
        others.extend(asked.filter(|scope| !scope.starts_with(&of_repository)).map(String::from));
        let scopes = std::iter::once(format!("{of_repository}pull,push")).chain(others.iter().cloned());
        Bearer { scope: Some(scopes.collect::<Vec<_>>().join(" ")), ..bearer }
    }

    async fn credentials(&self) -> Result<Option<&Credentials>> {
        let found = self.credentials.get_or_try_init(async || {
            let (host, repository) = (self.host.clone(), self.repository.clone());
            let (helpers, env) = (self.helpers.clone(), self.env.clone());
            // Files and helper programs block.
            let finding = tokio::task::spawn_blocking(move || {
                auth::find(Scope { host: &host, repository: &repository }, &helpers, &env)
            });
            finding.await.unwrap_or_else(|e| {
                let context = format!("looking for credentials for {}", self.host);
                Err(Error::Io { context, source: std::io::Error::other(e) })
            })
        });
        Ok(found.await?.as_ref())
    }

    /// An error that says as well whether credentials were found.
    pub fn unauthorized(&self, reason: &str) -> Error {
        let hint = match self.credentials.get() {
            Some(None) => "; no credentials for it are configured",
            _ => "",
        };
        Error::Unauthorized {
            what: format!("{}/{}", self.host, self.repository),
            reason: format!("{reason}{hint}"),
        }
    }
}
