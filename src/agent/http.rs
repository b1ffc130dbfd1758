//! Questions of the agent to servers that somebody configured: for the graph, for the lock.
//!
//! No answer is read without a limit and no wait is without an end. HTTPS does not become HTTP. Certificates and proxies are
//! those that registries have ([`crate::oci`]): an authority of one's own and a client certificate belong into `certs.d`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;

use crate::env::Env;
use crate::names::printable;
use crate::oci::http::{Peer, Trouble, retry_after, shown, trouble};

pub use crate::oci::http::Redirects;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How much of a refusal is read. Those of the two protocols have a hundred bytes.
const REFUSAL_BYTES: usize = 64 << 10;
/// How much of a server's words is kept.
const WORDS: usize = 300;
/// The longest kind of a refusal that is believed to be one.
const LONGEST_KIND: usize = 64;

/// How long one question may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect: Duration,
    /// From the first packet to the last byte of the answer.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // Some servers think about a lock for a while; a graph of some megabytes comes over a slow line as well.
        Self { connect: Duration::from_secs(15), total: Duration::from_secs(300) }
    }
}

/// A server below a base address.
#[derive(Debug, Clone)]
pub struct Client {
    client: reqwest::Client,
    /// Ends with a slash.
    base: Url,
    patience: Patience,
    env: Env,
}

impl Client {
    /// Prepares asking below `base`. Nothing is sent. Credentials that stand in the address are used, and never shown.
    pub fn new(base: &str, redirects: Redirects, patience: Patience, env: &Env) -> Result<Self> {
        let misconfigured =
            |reason: String| Error::new(Kind::Configuration, printable(base.as_bytes()), reason);
        let mut base = Url::parse(base).map_err(|e| misconfigured(format!("it is no address: {e}")))?;
        let host = match (base.scheme(), base.host_str()) {
            ("http" | "https", Some(host)) => match base.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            _ => return Err(misconfigured("it must begin with https:// or http://".into())),
        };
        if base.query().is_some() || base.fragment().is_some() {
            return Err(misconfigured("it must not have a `?` or a `#`".into()));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let unusable = |e: crate::oci::Error| Error::new(Kind::Configuration, shown(&base), e.to_string());
        let peer = Peer::load(&host, patience.connect, env).map_err(unusable)?;
        let client = peer.client(base.scheme(), redirects).map_err(unusable)?;
        Ok(Self { client, base, patience, env: env.clone() })
    }

    /// The address of something below the base.
    fn url(&self, path: &str) -> Result<Url> {
        let bad = |e| Error::new(Kind::Configuration, shown(&self.base), format!("`{path}` is no path: {e}"));
        self.base.join(path).map_err(bad)
    }

    /// Asks with GET and a query.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.client.get(url.clone()).header("accept", "application/json");
        self.send(request, &url).await
    }

    /// Asks with POST.
    pub async fn post(
        &self,
        path: &str,
        header: (&'static str, &'static str),
        body: String,
    ) -> Result<Answer> {
        let url = self.url(path)?;
        // Without a content type, as the servers of the protocol are used to.
        let request = self.client.post(url.clone()).header(header.0, header.1).body(body);
        self.send(request, &url).await
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Answer> {
        let sent = request.timeout(self.patience.total).send().await;
        let response = sent.map_err(|e| failed(&e, url, self.patience))?;
        let retry_after = retry_after(&response, self.env.now());
        Ok(Answer { url: url.clone(), patience: self.patience, retry_after, response })
    }
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub struct Answer {
    /// What was asked for.
    url: Url,
    patience: Patience,
    retry_after: Option<Duration>,
    response: Response,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// True for a page for people: what proxies and portals send in place of the server that was meant.
    pub fn is_html(&self) -> bool {
        let kind = self.response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }

    /// An error about this answer.
    pub fn error(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error::new(kind, shown(&self.url), reason)
    }

    /// The whole body, which may have `limit` bytes.
    pub async fn body(mut self, limit: usize) -> Result<Vec<u8>> {
        let too_large =
            |this: &Self| this.error(Kind::TooLarge, format!("its answer has more than {limit} bytes"));
        if self.response.content_length().is_some_and(|announced| announced > limit as u64) {
            return Err(too_large(&self));
        }
        let mut body = Vec::new();
        loop {
            let chunk = self.response.chunk().await;
            let Some(chunk) = chunk.map_err(|e| failed(&e, &self.url, self.patience))? else {
                return Ok(body);
            };
            if body.len() + chunk.len() > limit {
                return Err(too_large(&self));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// What a status other than 200 says. Both protocols have `{"kind": …, "value": …}` for it; a body that is
    /// something else, or too much, or never comes, says nothing.
    pub async fn refused(self) -> Error {
        #[derive(Deserialize)]
        struct Said {
            kind: String,
            #[serde(default)]
            value: String,
        }
        let (status, retry_after, what) = (self.status(), self.retry_after, shown(&self.url));
        let body = self.body(REFUSAL_BYTES).await.unwrap_or_default();
        let said = serde_json::from_slice::<Said>(&body).ok().filter(|said| is_kind(&said.kind));
        let value = said.as_ref().map(|said| {
            let words: String = said.value.chars().take(WORDS).collect();
            printable(words.as_bytes())
        });
        let refusal = Refusal { status, kind: said.map(|said| said.kind), retry_after };
        let value = value.filter(|value| !value.is_empty());
        let reason = match (&refusal.kind, value) {
            (Some(kind), Some(value)) => format!("it answered {status}: {value} ({kind})"),
            (Some(kind), None) => format!("it answered {status}: {kind}"),
            (None, _) => format!("it answered {status}"),
        };
        Error::new(Kind::Refused(refusal), what, reason)
    }
}

/// Whether a text can be the kind of a refusal: it becomes a label of metrics.
fn is_kind(text: &str) -> bool {
    let may_be = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    !text.is_empty() && text.len() <= LONGEST_KIND && text.bytes().all(may_be)
}

fn failed(error: &reqwest::Error, url: &Url, patience: Patience) -> Error {
    let (trouble, reason) = trouble(error);
    let kind = match trouble {
        Trouble::Certificate | Trouble::Tls => Kind::Tls,
        Trouble::Connect => Kind::Unreachable,
        Trouble::TimedOut => Kind::TimedOut,
        // The address was parsed before: what cannot be sent is a redirect to no address.
        Trouble::Redirect | Trouble::Request => Kind::Redirect,
        Trouble::Interrupted => Kind::Interrupted,
    };
    let reason = match kind {
        Kind::TimedOut if error.is_connect() => {
            format!("no connection in {} seconds", patience.connect.as_secs_f32())
        }
        Kind::TimedOut => format!("no whole answer in {} seconds", patience.total.as_secs_f32()),
        _ => reason,
    };
    Error::new(kind, shown(url), reason)
}

/// Why a server's answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    /// The address, without secrets.
    what: String,
    reason: String,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The address or the certificates for it are no good.
    Configuration,
    /// There was no connection.
    Unreachable,
    /// TLS could not be agreed upon, or the certificate is not trusted.
    Tls,
    TimedOut,
    /// It sends us elsewhere, too often or to where we do not go.
    Redirect,
    /// The answer broke off.
    Interrupted,
    TooLarge,
    /// It said no, or that it cannot.
    Refused(Refusal),
    /// It answered something that is not of the protocol.
    Malformed,
}

/// A status other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// The protocol's word for it. `None` when the answer is not of the protocol.
    pub kind: Option<String>,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, what: what.into(), reason: reason.into() }
    }

    /// The same about the same address, for another reason.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    /// The value of the label `kind` in metrics: lower-case letters, digits, `_` and `-`.
    pub fn label(&self) -> Cow<'_, str> {
        match &self.kind {
            Kind::Configuration => "configuration".into(),
            Kind::Unreachable => "unreachable".into(),
            Kind::Tls => "tls".into(),
            Kind::TimedOut => "timed_out".into(),
            Kind::Redirect => "redirect".into(),
            Kind::Interrupted => "interrupted".into(),
            Kind::TooLarge => "too_large".into(),
            Kind::Malformed => "malformed".into(),
            Kind::Refused(Refusal { kind: Some(kind), .. }) => kind.into(),
            Kind::Refused(Refusal { status, .. }) => format!("http_{status}").into(),
        }
    }

    /// The server's "no", if that is what it is.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.kind {
            Kind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;

    fn client(base: &str) -> Result<Client> {
        let env = Env::fixed(Path::new("/nonexistent"), SystemTime::UNIX_EPOCH);
        Client::new(base, Redirects::Follow, Patience::default(), &env)
    }

    #[test]
    fn paths_are_below_the_base_with_and_without_a_slash() {
        for base in ["http://localhost:1/a/b", "http://localhost:1/a/b/"] {
            let url = client(base).unwrap().url("v1/graph").unwrap();
            assert_eq!(url.as_str(), "http://localhost:1/a/b/v1/graph");
        }
    }

    #[test]
    fn a_base_that_is_no_address_is_refused_without_its_secrets() {
        for (base, message) in [
            ("", ": it is no address: relative URL without a base"),
            ("localhost", "localhost: it is no address: relative URL without a base"),
            ("file:///etc", "file:///etc: it must begin with https:// or http://"),
            ("http://localhost/?a=b", "http://localhost/?a=b: it must not have a `?` or a `#`"),
        ] {
            let error = client(base).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.label().as_ref()), (message, "configuration"));
        }
    }

    #[test]
    fn kinds_of_servers_are_labels_only_when_they_look_like_one() {
        for (text, expected) in [
            ("failed_lock_semaphore_full", true),
            ("lock-held", true),
            ("", false),
            ("Not Found", false),
            ("ä", false),
            ("a\n", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(is_kind(text), expected, "{text:?}");
        }
    }
}
