//! One place an image may be fetched from or pushed to.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::authorize::{Actions, Authorizer};
use super::challenge::Challenge;
use super::options::Options;
use super::response;
use super::retry::{Attempts, Failure};
use super::transport::{Route, Transport, join, network, within};
use crate::env::Env;
use crate::oci::http::shown;
use crate::oci::registries_conf::Endpoint;
use crate::oci::{Error, RegistryReference, Result};

/// From registry to storage takes one or two.
const MAX_REDIRECTS: usize = 10;
/// Several requests at once may each want something else of one token.
const MAX_RENEWALS: usize = 8;

/// A mirror or the primary of a registry, and one repository there.
#[derive(Debug)]
pub struct Server {
    pub reference: RegistryReference,
    pub options: Options,
    pub(super) transport: Transport,
    pub(super) authorizer: Authorizer,
}

/// A request below `/v2/REPOSITORY/`. What it sends is small: blobs go their own way.
#[derive(Debug)]
pub struct Request<'r> {
    pub method: Method,
    pub path: String,
    pub accept: Option<&'r str>,
    /// The first byte that is wanted.
    pub from: Option<u64>,
    /// A document and its media type.
    pub body: Option<(Bytes, &'r str)>,
    /// What is asked for, for messages.
    pub what: &'r str,
}

impl<'r> Request<'r> {
    pub fn new(method: Method, path: String, what: &'r str) -> Self {
        Self { method, path, accept: None, from: None, body: None, what }
    }

    pub fn get(path: String, what: &'r str) -> Self {
        Self::new(Method::GET, path, what)
    }
}

impl Server {
    /// For pulling.
    pub fn new(endpoint: Endpoint, helpers: &[String], options: &Options, env: &Arc<Env>) -> Result<Self> {
        Self::with_actions(Actions::Pull, endpoint, helpers, options, env)
    }

    pub fn to_push(
        endpoint: Endpoint,
        helpers: &[String],
        options: &Options,
        env: &Arc<Env>,
    ) -> Result<Self> {
        Self::with_actions(Actions::Push, endpoint, helpers, options, env)
    }

    fn with_actions(
        actions: Actions,
        endpoint: Endpoint,
        helpers: &[String],
        options: &Options,
        env: &Arc<Env>,
    ) -> Result<Self> {
        let reference = endpoint.reference.clone();
        let (host, repository) = (&reference.host, &reference.repository);
        Ok(Self {
            transport: Transport::new(&endpoint, options.timeouts, env)?,
            authorizer: Authorizer::new(host, repository, actions, helpers, env.clone()),
            options: options.clone(),
            reference,
        })
    }

    /// `HOST/REPOSITORY` for messages.
    pub fn name(&self) -> String {
        format!("{}/{}", self.reference.host, self.reference.repository)
    }

    pub fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.options.retry, &self.options.pause)
    }

    /// Sends a request once, following redirects. A refused `Authorization` is renewed once. Gives answers that mean success, and 416;
    /// every other is a failure.
    pub async fn send(&self, request: &Request<'_>) -> Result<Response, Failure> {
        let route = self.transport.route().await?;
        let url = join(&route.base, &format!("v2/{}/{}", self.reference.repository, request.path))?;
        let mut renewed = false;
        for _ in 0..MAX_RENEWALS {
            let header = self.authorizer.header().await;
            let answer = self.follow(route, url.clone(), request, header.as_ref()).await?;
            if answer.status() == StatusCode::UNAUTHORIZED && same_origin(answer.url(), &url) && !renewed {
                let challenge = Challenge::from_headers(answer.headers());
                // What another request got meanwhile may be for less than this one needs.
                renewed = self.authorizer.renew(header.as_ref(), challenge, &self.transport, route).await?;
                continue;
            }
            return self.judge(answer, &url, request.what).await;
        }
        Err(self.authorizer.unauthorized("it refuses what it has just accepted").into())
    }

    async fn judge(&self, answer: Response, asked: &Url, what: &str) -> Result<Response, Failure> {
        if answer.status().is_success() || answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer);
        }
        let elsewhere = !same_origin(answer.url(), asked);
        Err(match response::failure(answer, what, self.transport.now()).await {
            // A signed address of a storage host may have expired; the registry gives another.
            Failure::Final(Error::Unauthorized { what, reason }) if elsewhere => {
                Failure::transient(Error::Network { what, reason })
            }
            Failure::Final(Error::Unauthorized { reason, .. }) => {
                self.authorizer.unauthorized(&reason).into()
            }
            other => other,
        })
    }

    /// Follows redirects. Credentials go along as long as scheme, host and port stay the same, and never again
    /// after that; HTTPS never becomes HTTP.
    async fn follow(
        &self,
        route: &Route,
        start: Url,
        request: &Request<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let mut authorization = authorization;
        let mut url = start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut builder = route.client.request(request.method.clone(), url.clone());
            if let Some((bytes, media_type)) = &request.body {
                builder = builder.header(CONTENT_TYPE, *media_type).body(bytes.clone());
            } else if request.method == Method::POST {
                // Nobody says it by itself, and some front ends want it said.
                builder = builder.header(CONTENT_LENGTH, 0);
            }
            if let Some(accept) = request.accept {
                builder = builder.header(ACCEPT, accept);
            }
            if let Some(from) = request.from {
                builder = builder.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(value) = authorization {
                builder = builder.header(reqwest::header::AUTHORIZATION, value.clone());
            }
            let answer = within(self.options.timeouts, builder.send(), &url).await?;
            let Some(next) = redirect(&answer, &url)? else { return Ok(answer) };
            if !same_origin(&next, &start) {
                authorization = None;
            }
            url = next;
        }
        Err(network(&start, format!("more than {MAX_REDIRECTS} redirects")).into())
    }
}

/// Where an answer sends us, if it does.
fn redirect(answer: &Response, from: &Url) -> Result<Option<Url>> {
    match answer.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => location(answer, from).map(Some),
        _ => Ok(None),
    }
}

/// The address in an answer's `Location`, which may be relative (RFC 9110, section 10.2.2).
pub(super) fn location(answer: &Response, from: &Url) -> Result<Url> {
    let error = |reason: &str| network(from, format!("it sends us on and {reason}"));
    let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok());
    let next = from.join(location.ok_or_else(|| error("says not where to"))?);
    let next = next.map_err(|_| error("names no address"))?;
    match (from.scheme(), next.scheme()) {
        ("http", "http") | (_, "https") => Ok(next),
        _ => Err(error(&format!("would leave HTTPS for {}", shown(&next)))),
    }
}

/// Scheme, host and port (RFC 6454).
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}
