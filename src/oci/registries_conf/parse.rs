//! One file, from text to checked rules.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Mirror, Pulls, Registry};

/// What one file says. `None` where it says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    pub registries: Vec<Registry>,
    pub aliases: BTreeMap<String, String>,
    pub credential_helpers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawFile {
    #[serde(default)]
    registry: Vec<RawRegistry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    credential_helpers: Option<Vec<String>>,
    /// The tables of version 1.
    #[serde(default)]
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawRegistry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMirror {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

/// Parses one file. The reason of a failure names the rule.
pub fn parse(text: &str) -> Result<Fragment, String> {
    let raw: RawFile = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    if raw.registries.is_some() {
        return Err(
            "`[registries.…]` is the format of version 1, which is not read any more; write `[[registry]]`"
                .into(),
        );
    }
    for (name, target) in &raw.aliases {
        check_alias(name, target)?;
    }
    let registries = raw.registry.into_iter().map(registry).collect::<Result<_, _>>()?;
    Ok(Fragment { registries, aliases: raw.aliases, credential_helpers: raw.credential_helpers })
}

fn registry(raw: RawRegistry) -> Result<Registry, String> {
    let location = location(&raw.location)?;
    let prefix = match raw.prefix.trim_end_matches('/') {
        "" => location.clone().ok_or("a `[[registry]]` has neither `prefix` nor `location`")?,
        prefix => prefix.to_owned(),
    };
    if prefix.contains("://") {
        return Err(format!("`prefix = \"{prefix}\"` has a scheme; it is HOST[/NAMESPACE]"));
    }
    let wildcard = prefix.strip_prefix("*.").is_some_and(|domain| !domain.contains(['*', '/', ':']));
    if prefix.contains('*') && !wildcard {
        return Err(format!("`prefix = \"{prefix}\"`: a wildcard is `*.` before a domain and nothing else"));
    }
    if location.is_none() && !prefix.starts_with("*.") {
        return Err(format!("the registry with `prefix = \"{prefix}\"` has no `location`"));
    }
    let mirrors = raw
        .mirror
        .into_iter()
        .map(|mirror| self::mirror(mirror, raw.mirror_by_digest_only))
        .collect::<Result<_, _>>()
        .map_err(|reason| format!("the registry with `prefix = \"{prefix}\"`: {reason}"))?;
    Ok(Registry { prefix, location, insecure: raw.insecure, blocked: raw.blocked, mirrors })
}

fn mirror(raw: RawMirror, by_digest_only: bool) -> Result<Mirror, String> {
    let location = location(&raw.location)?.ok_or("a mirror has no `location`")?;
    let pulls = match (raw.pull_from_mirror.as_str(), by_digest_only) {
        ("", true) => Pulls::DigestOnly,
        ("" | "all", false) => Pulls::All,
        ("digest-only", false) => Pulls::DigestOnly,
        ("tag-only", false) => Pulls::TagOnly,
        ("all" | "digest-only" | "tag-only", true) => {
            return Err("`pull-from-mirror` and `mirror-by-digest-only` exclude each other".into());
        }
        (other, _) => {
            return Err(format!(
                "`pull-from-mirror = \"{other}\"` is none of `all`, `digest-only` and `tag-only`"
            ));
        }
    };
    Ok(Mirror { location, insecure: raw.insecure, pulls })
}

fn location(text: &str) -> Result<Option<String>, String> {
    let text = text.trim_end_matches('/');
    if text.contains("://") {
        return Err(format!(
            "`location = \"{text}\"` has a scheme; it is HOST[/NAMESPACE], with `insecure` for plain HTTP"
        ));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn check_alias(name: &str, target: &str) -> Result<(), String> {
    use crate::oci::ImageReference;
    let is_short = matches!(name.parse(), Ok(ImageReference::ShortName(short)) if short.name == name);
    if !is_short {
        return Err(format!("the alias `{name}` is not a short name"));
    }
    // An empty one takes back what an earlier file said.
    let is_full = target.is_empty()
        || (!target.contains('@')
            && !target.rsplit('/').next().unwrap_or_default().contains(':')
            && matches!(format!("docker://{target}").parse(), Ok(ImageReference::Registry(_))));
    if !is_full {
        return Err(format!(
            "the alias `{name} = \"{target}\"` is not HOST/REPOSITORY without tag or digest"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_their_defaults() {
        let text = r#"
            unqualified-search-registries = ["docker.io"]
            short-name-mode = "enforcing"
            credential-helpers = ["containers-auth.json", "vault"]
            additional-layer-store-auth-helper = "unknown here"
            [[registry]]
            location = "reg.example/"
            [[registry]]
            prefix = "*.example.org"
            blocked = true
            [[registry]]
            prefix = "a.io/x"
            location = "b.io/y"
            insecure = true
            [[registry.mirror]]
            location = "m1.io"
            [[registry.mirror]]
            location = "m2.io"
            insecure = true
            pull-from-mirror = "tag-only"
            [aliases]
            debian = "docker.io/library/debian"
            "team/os" = ""
        "#;
        let mirror = |location: &str, insecure, pulls| Mirror { location: location.into(), insecure, pulls };
        let registry = |prefix: &str, location: Option<&str>| Registry {
            prefix: prefix.into(),
            location: location.map(Into::into),
            insecure: false,
            blocked: false,
            mirrors: Vec::new(),
        };
        let fragment = parse(text).unwrap();
        assert_eq!(
            fragment.registries,
            [
                registry("reg.example", Some("reg.example")),
                Registry { blocked: true, ..registry("*.example.org", None) },
                Registry {
                    insecure: true,
                    mirrors: vec![mirror("m1.io", false, Pulls::All), mirror("m2.io", true, Pulls::TagOnly)],
                    ..registry("a.io/x", Some("b.io/y"))
                },
            ]
        );
        assert_eq!(fragment.aliases["debian"], "docker.io/library/debian");
        assert_eq!(fragment.credential_helpers.unwrap(), ["containers-auth.json", "vault"]);
    }

    #[test]
    fn mirror_by_digest_only_is_for_all_mirrors() {
        let text =
            "[[registry]]\nlocation='a.io'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='m.io'";
        assert_eq!(parse(text).unwrap().registries[0].mirrors[0].pulls, Pulls::DigestOnly);
        let both = format!("{text}\npull-from-mirror='all'");
        assert!(parse(&both).unwrap_err().contains("exclude each other"));
    }

    #[test]
    fn contradictions_and_mistakes_are_named() {
        for (text, message) in [
            ("[[registry]]", "neither `prefix` nor `location`"),
            ("[[registry]]\nprefix='a.io'", "has no `location`"),
            ("[[registry]]\nlocation='https://a.io'", "has a scheme"),
            ("[[registry]]\nprefix='a.*.io'\nlocation='x'", "wildcard"),
            ("[[registry]]\nprefix='*.a.io/x'\nlocation='x'", "wildcard"),
            ("[[registry]]\nlocation='a.io'\n[[registry.mirror]]", "a mirror has no `location`"),
            (
                "[[registry]]\nlocation='a.io'\n[[registry.mirror]]\nlocation='b'\npull-from-mirror='x'",
                "is none of",
            ),
            ("[[registry]]\nlocation='a.io'\ninsecure='yes'", "invalid type"),
            ("[registries.search]\nregistries=['a.io']", "version 1"),
            ("[aliases]\n\"a.io/x\"='b.io/x'", "not a short name"),
            ("[aliases]\nx='b.io/x:1'", "without tag or digest"),
            ("[aliases]\nx='y'", "without tag or digest"),
            ("x", "TOML parse error"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
