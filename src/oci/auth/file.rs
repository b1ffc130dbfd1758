//! One file of credentials: containers' `auth.json`, docker's `config.json`, or the older `.dockercfg`.

use std::collections::HashMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Credentials, Scope};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Keys are `host/namespace/.../repository` down to `host`.
    Containers,
    /// Keys are hosts or URLs, of which only the host counts.
    Docker,
    /// As docker's, but the object of `auths` is the whole file.
    DockerLegacy,
}

/// The credentials of a file and who else may be asked.
#[derive(Debug, Default, Deserialize)]
pub struct AuthFile {
    #[serde(default)]
    auths: HashMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: HashMap<String, String>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
    #[serde(skip)]
    docker: bool,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(..)")
    }
}

/// What a file says about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Found(Credentials),
    /// Ask this program about this server.
    Ask {
        helper: String,
        server: String,
        need: Need,
    },
    Nothing,
}

/// Whether a helper must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It is named for the host.
    Required,
    /// It is the default for all hosts, and the file may have come from another machine's desktop.
    Optional,
}

impl AuthFile {
    /// Parses a file. The reason of a failure names no secrets.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Self, String> {
        // An empty file is what `podman logout` may leave behind.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let position = |error: serde_json::Error| format!("line {}, column {}", error.line(), error.column());
        let mut file = match format {
            Format::Containers | Format::Docker => serde_json::from_slice::<Self>(bytes).map_err(position)?,
            Format::DockerLegacy => {
                Self { auths: serde_json::from_slice(bytes).map_err(position)?, ..Self::default() }
            }
        };
        file.docker = format != Format::Containers;
        Ok(file)
    }

    /// Looks for a repository: the host's own helper, then entries from the most to the least specific key, then
    /// the default store.
    pub fn look_up(&self, scope: Scope<'_>) -> Result<Answer, String> {
        let host = canonical(scope.host);
        if let Some(helper) = named_for(&self.cred_helpers, scope.host) {
            let server = server_url(scope.host);
            return Ok(Answer::Ask { helper: helper.clone(), server, need: Need::Required });
        }
        if !self.docker {
            for key in keys(scope) {
                if let Some(entry) = self.auths.get(&key)
                    && let Some(credentials) = entry.credentials(&key)?
                {
                    return Ok(Answer::Found(credentials));
                }
            }
        }
        // Sorted, so that of two spellings of a host the same one always wins.
        let mut spelled: Vec<_> = self.auths.iter().filter(|(key, _)| self.host_of(key) == host).collect();
        spelled.sort_by_key(|(key, _)| key.as_str());
        for (key, entry) in spelled {
            if let Some(credentials) = entry.credentials(key)? {
                return Ok(Answer::Found(credentials));
            }
        }
        Ok(match &self.creds_store {
            Some(store) if !store.is_empty() => {
                Answer::Ask { helper: store.clone(), server: server_url(scope.host), need: Need::Optional }
            }
            _ => Answer::Nothing,
        })
    }

    /// The host that a key stands for, empty for one with a namespace. URLs are docker's spelling.
    fn host_of<'k>(&self, key: &'k str) -> &'k str {
        let stripped = key.trim_start_matches("https://").trim_start_matches("http://");
        match stripped.split_once('/') {
            Some((host, _)) if self.docker || stripped != key => canonical(host),
            Some(_) => "",
            None => canonical(stripped),
        }
    }
}

impl Entry {
    /// `None` for an entry that only marks a login kept elsewhere (`{}`).
    fn credentials(&self, key: &str) -> Result<Option<Credentials>, String> {
        if let Some(token) = self.identity_token.as_ref().filter(|t| !t.is_empty()) {
            return Ok(Some(Credentials::IdentityToken(token.clone())));
        }
        let Some(auth) = self.auth.as_ref().filter(|a| !a.is_empty()) else { return Ok(None) };
        let malformed = || format!("the entry `{key}` is not base64 of USER:PASSWORD");
        // Padding is written by most tools and demanded by none.
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let decoded =
            GeneralPurpose::new(&alphabet::STANDARD, config).decode(auth.trim()).map_err(|_| malformed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
        let (username, password) = decoded.split_once(':').ok_or_else(malformed)?;
        // Old versions of docker padded the secret with NULs.
        let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
        Ok(Some(Credentials::Basic { username, password }))
    }
}

/// `host/a/b`, `host/a`, `host`.
fn keys(scope: Scope<'_>) -> impl Iterator<Item = String> {
    let full = format!("{}/{}", scope.host, scope.repository);
    let ends: Vec<_> = full.match_indices('/').map(|(at, _)| at).chain([full.len()]).collect();
    ends.into_iter().rev().map(move |end| full[..end].to_owned())
}

fn named_for<'h>(helpers: &'h HashMap<String, String>, host: &str) -> Option<&'h String> {
    helpers
        .get(host)
        .or_else(|| {
            let mut spelled: Vec<_> =
                helpers.iter().filter(|(k, _)| canonical(k) == canonical(host)).collect();
            spelled.sort();
            spelled.first().map(|(_, helper)| *helper)
        })
        .filter(|helper| !helper.is_empty())
}

/// Docker's hub goes by three names.
fn canonical(host: &str) -> &str {
    match host {
        "registry-1.docker.io" | "index.docker.io" => "docker.io",
        other => other,
    }
}

/// What a helper is asked for: docker stores its hub under a URL of the first API.
pub fn server_url(host: &str) -> String {
    match canonical(host) {
        "docker.io" => "https://index.docker.io/v1/".into(),
        host => host.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Answer {
        Answer::Found(Credentials::Basic { username: username.into(), password: password.into() })
    }

    fn ask(helper: &str, server: &str, need: Need) -> Answer {
        Answer::Ask { helper: helper.into(), server: server.into(), need }
    }

    fn look_up(json: &str, format: Format, name: &str) -> Result<Answer, String> {
        let (host, repository) = name.split_once('/').unwrap();
        AuthFile::parse(json.as_bytes(), format)?.look_up(Scope { host, repository })
    }

    // Base64 of a:1, b:2, c:3:4.
    const NAMESPACES: &str = r#"{"auths":{"quay.io":{"auth":"YTox"},"quay.io/team":{"auth":"Yjoy"},
        "quay.io/team/app":{"auth":"YzozOjQ="},"quay.io/empty":{},"https://reg.example/v2/":{"auth":"YTox"},
        "host:5000":{"auth":"Yjoy"}}}"#;

    #[test]
    fn the_most_specific_key_with_credentials_wins() {
        for (name, expected) in [
            ("quay.io/team/app", basic("c", "3:4")),
            ("quay.io/team/app/sub", basic("c", "3:4")),
            ("quay.io/team/apple", basic("b", "2")),
            ("quay.io/teams/app", basic("a", "1")),
            ("quay.io/empty/x", basic("a", "1")),
            ("reg.example/x", basic("a", "1")),
            ("host:5000/x", basic("b", "2")),
            ("host:5001/x", Answer::Nothing),
            ("host/x", Answer::Nothing),
            ("io/x", Answer::Nothing),
        ] {
            assert_eq!(look_up(NAMESPACES, Format::Containers, name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn docker_knows_hosts_only_and_spells_its_hub_as_a_url() {
        let json =
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTox"},"quay.io/ignored":{"auth":"Yjoy"}}}"#;
        assert_eq!(look_up(json, Format::Docker, "docker.io/library/debian"), Ok(basic("a", "1")));
        assert_eq!(look_up(json, Format::Containers, "docker.io/library/debian"), Ok(basic("a", "1")));
        assert_eq!(look_up(json, Format::Docker, "quay.io/x"), Ok(basic("b", "2")));
        let legacy = r#"{"https://quay.io":{"auth":"YTox"}}"#;
        assert_eq!(look_up(legacy, Format::DockerLegacy, "quay.io/x"), Ok(basic("a", "1")));
    }

    #[test]
    fn helpers_of_the_host_come_first_and_the_store_last() {
        let json = r#"{"auths":{"a.io":{},"b.io":{"auth":"YTox"},"c.io":{"auth":"YTox"}},
            "credHelpers":{"c.io":"vault","docker.io":"hub"},"credsStore":"desktop"}"#;
        for (name, expected) in [
            ("a.io/x", ask("desktop", "a.io", Need::Optional)),
            ("b.io/x", basic("a", "1")),
            ("c.io/x", ask("vault", "c.io", Need::Required)),
            ("docker.io/x", ask("hub", "https://index.docker.io/v1/", Need::Required)),
        ] {
            assert_eq!(look_up(json, Format::Docker, name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn identity_tokens_padding_and_nuls() {
        for (entry, expected) in [
            (r#"{"auth":"YTox","identitytoken":"t"}"#, Answer::Found(Credentials::IdentityToken("t".into()))),
            (r#"{"auth":"YzozOjQ"}"#, basic("c", "3:4")),
            (r#"{"auth":"YToxAAA="}"#, basic("a", "1")),
            (r#"{"auth":""}"#, Answer::Nothing),
            ("{}", Answer::Nothing),
        ] {
            let json = format!(r#"{{"auths":{{"h.io":{entry}}}}}"#);
            assert_eq!(look_up(&json, Format::Containers, "h.io/x"), Ok(expected), "{entry}");
        }
    }

    #[test]
    fn malformed_files_are_errors_without_secrets() {
        for json in [
            r#"{"auths":{"h.io":{"auth":"c2VjcmV0"}}}"#,
            r#"{"auths":{"h.io":{"auth":"!secret"}}}"#,
            "{secret",
        ] {
            let error = look_up(json, Format::Containers, "h.io/x").unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(look_up(" \n", Format::Containers, "h.io/x"), Ok(Answer::Nothing));
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let shown = format!("{:?}", basic("user", "hush"));
        assert!(shown.contains("user") && !shown.contains("hush"));
        let file = AuthFile::parse(NAMESPACES.as_bytes(), Format::Containers).unwrap();
        assert!(!format!("{file:?}").contains("YTox"));
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(entry in ".{0,40}", bytes: Vec<u8>) {
            let json = serde_json::json!({"auths": {"h.io": {"auth": entry}}}).to_string();
            for format in [Format::Containers, Format::Docker, Format::DockerLegacy] {
                drop(AuthFile::parse(&bytes, format));
                drop(look_up(&json, format, "h.io/x"));
            }
        }

        #[test]
        fn every_pair_is_found_again(user in "[^:]{0,20}", password in "[^\0]{0,20}") {
            use base64::engine::general_purpose::STANDARD;
            let auth = STANDARD.encode(format!("{user}:{password}"));
            let json = serde_json::json!({"auths": {"h.io": {"auth": auth}}}).to_string();
            proptest::prop_assert_eq!(look_up(&json, Format::Containers, "h.io/x"), Ok(basic(&user, &password)));
        }
    }
}
