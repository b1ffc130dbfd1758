//! What a server asks for when it refuses a request, and whom credentials may be shown to.

use http_auth::ChallengeParser;
use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::oci::http::shown;
use crate::oci::registries_conf::is_loopback;

/// A way to be let in. `Bearer` is preferred where both are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer(Bearer),
}

/// Where a token is to be had (distribution's "Token Authentication Specification").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub realm: String,
    pub service: Option<String>,
    pub scope: Option<String>,
}

impl Challenge {
    /// Finds the best challenge in the headers of a 401; what cannot be parsed is passed over.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE);
        let mut basic = None;
        for value in values.iter().filter_map(|v| v.to_str().ok()) {
            for challenge in ChallengeParser::new(value).map_while(Result::ok) {
                let parameter = |name: &str| {
                    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = parameter("realm")
                {
                    let (service, scope) = (parameter("service"), parameter("scope"));
                    return Some(Self::Bearer(Bearer { realm, service, scope }));
                }
            }
        }
        basic
    }
}

/// Whether credentials go along to the realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrying {
    Credentials,
    Nothing,
}

/// Parses the realm of a token and checks that a server may send us there. HTTPS always; plain HTTP when the
/// server and the realm are both on this machine, or when the server itself is spoken to in plain HTTP (which
/// somebody configured) and the realm is on the same host or gets no credentials.
pub fn permitted_realm(realm: &str, server: &Url, carrying: Carrying) -> Result<Url, String> {
    let url = Url::parse(realm).map_err(|_| "it names no address to get a token from".to_owned())?;
    let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
    let on_this_machine = is_loopback(&host(&url)) && is_loopback(&host(server));
    let plain_already =
        server.scheme() == "http" && (carrying == Carrying::Nothing || host(&url) == host(server));
    match url.scheme() {
        "https" => Ok(url),
        "http" if on_this_machine || plain_already => Ok(url),
        _ => Err(format!("it wants us to get a token from {} without HTTPS", shown(&url))),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn parse(values: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        Challenge::from_headers(&headers)
    }

    #[test]
    fn the_best_challenge_is_found() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer(Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            }))
        };
        for (values, expected) in [
            (&[][..], None),
            (&["Basic realm=\"x\""], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (&["Bearer realm=\"https://a/token\""], bearer("https://a/token", None, None)),
            (
                &["Bearer realm=\"https://a/token\",service=\"s, t\",scope=\"repository:x:pull\""],
                bearer("https://a/token", Some("s, t"), Some("repository:x:pull")),
            ),
            (&["Basic realm=\"x\"", "BEARER Realm=\"r\""], bearer("r", None, None)),
            (&["Basic realm=\"x\", Bearer realm=\"r\""], bearer("r", None, None)),
            (&["Bearer service=\"s\""], None),
            (&["Negotiate"], None),
            (&["\"\"\"", ",,,", "Bearer"], None),
        ] {
            assert_eq!(parse(values), expected, "{values:?}");
        }
    }

    #[test]
    fn tokens_are_fetched_over_https_only() {
        use Carrying::*;
        for (realm, server, carrying, permitted) in [
            ("https://auth.io/token", "https://reg.io/", Credentials, true),
            ("http://auth.io/token", "https://reg.io/", Credentials, false),
            ("http://auth.io/token", "https://reg.io/", Nothing, false),
            ("http://reg.io/token", "https://reg.io/", Credentials, false),
            ("http://reg.io:81/token", "http://reg.io/", Credentials, true),
            ("http://auth.io/token", "http://reg.io/", Credentials, false),
            ("http://auth.io/token", "http://reg.io/", Nothing, true),
            ("http://127.0.0.1:5001/token", "http://localhost:5000/", Credentials, true),
            ("http://127.0.0.1:5001/token", "https://127.0.0.1:5000/", Credentials, true),
            ("http://127.0.0.1:5001/token", "https://reg.io/", Credentials, false),
            ("ftp://reg.io/token", "https://reg.io/", Nothing, false),
            ("file:///etc/passwd", "http://reg.io/", Nothing, false),
            ("/token", "https://reg.io/", Nothing, false),
        ] {
            let server = Url::parse(server).unwrap();
            assert_eq!(permitted_realm(realm, &server, carrying).is_ok(), permitted, "{realm} {server}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(text in "[ -~\\t]{0,60}", prefix in "(Bearer |Basic )?(realm=)?") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&format!("{prefix}{text}")) {
                headers.append(WWW_AUTHENTICATE, value);
            }
            Challenge::from_headers(&headers);
        }

        #[test]
        fn no_realm_but_https_is_permitted_to_a_server_with_https(realm in ".{0,20}(://)?.{0,40}") {
            let server = Url::parse("https://reg.io/").unwrap();
            if let Ok(url) = permitted_realm(&realm, &server, Carrying::Credentials) {
                proptest::prop_assert_eq!(url.scheme(), "https");
            }
        }
    }
}
