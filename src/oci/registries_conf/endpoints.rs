//! From a reference to the servers that are asked for it.

use super::prefix::matched;
use super::{Pulls, RegistriesConf, Registry};
use crate::oci::{Error, ImageReference, RegistryReference, Result};

/// One place an image may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The reference after rewriting.
    pub reference: RegistryReference,
    pub security: Security,
}

/// How a server may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// HTTPS with a certificate that verifies.
    Verified,
    /// The same, or else plain HTTP: the server is on this machine.
    Loopback,
    /// HTTPS with any certificate, or else plain HTTP: `insecure = true`.
    Insecure,
}

impl RegistriesConf {
    /// The places to ask, in order: mirrors, then the primary. Never empty.
    pub fn endpoints(&self, reference: &RegistryReference) -> Result<Vec<Endpoint>> {
        let name = name_of(reference);
        let Some((length, registry)) = self.chosen(&name)? else {
            return Ok(vec![Endpoint { reference: reference.clone(), security: security(reference, false) }]);
        };
        let by_digest = reference.digest.is_some();
        let mirrors = registry.mirrors.iter().filter(|mirror| match mirror.pulls {
            Pulls::All => true,
            Pulls::DigestOnly => by_digest,
            Pulls::TagOnly => !by_digest,
        });
        let endpoint = |location: Option<&str>, insecure| {
            let reference = match location {
                Some(location) => rewrite(&name, length, location, registry)?,
                None => reference.clone(),
            };
            Ok(Endpoint { security: security(&reference, insecure), reference })
        };
        let primary = endpoint(registry.location.as_deref(), registry.insecure)?;
        let mut endpoints =
            mirrors.map(|m| endpoint(Some(&m.location), m.insecure)).collect::<Result<Vec<_>>>()?;
        endpoints.push(primary);
        Ok(endpoints)
    }
}

impl RegistriesConf {
    /// Where an image is pushed: to the name that was typed. `location` and mirrors are for pulling alone, as for podman.
    pub fn endpoint_to_push(&self, reference: &RegistryReference) -> Result<Endpoint> {
        let insecure = self.chosen(&name_of(reference))?.is_some_and(|(_, registry)| registry.insecure);
        Ok(Endpoint { reference: reference.clone(), security: security(reference, insecure) })
    }

    /// The table for a name, and how much of the name its prefix is. The longest prefix decides; of equals, the first.
    fn chosen(&self, name: &str) -> Result<Option<(usize, &Registry)>> {
        let chosen = self
            .registries
            .iter()
            .filter_map(|registry| Some((matched(name, &registry.prefix)?, registry)))
            .min_by_key(|(_, registry)| std::cmp::Reverse(registry.prefix.len()));
        match chosen {
            Some((_, registry)) if registry.blocked => {
                let reason = format!("`prefix = \"{}\"` is blocked in registries.conf", registry.prefix);
                Err(Error::Configuration { what: name.to_owned(), reason })
            }
            chosen => Ok(chosen),
        }
    }
}

/// `host/repository[:tag][@digest]`.
fn name_of(reference: &RegistryReference) -> String {
    let shown = ImageReference::Registry(reference.clone()).to_string();
    shown.strip_prefix("docker://").map(str::to_owned).unwrap_or(shown)
}

fn rewrite(name: &str, length: usize, location: &str, registry: &Registry) -> Result<RegistryReference> {
    let rewritten = format!("{location}{}", &name[length..]);
    let error = |reason: String| Error::Configuration {
        what: name.to_owned(),
        reason: format!(
            "the registry with `prefix = \"{}\"` in registries.conf makes `{rewritten}` of it: {reason}",
            registry.prefix
        ),
    };
    match format!("docker://{rewritten}").parse() {
        Ok(ImageReference::Registry(reference)) => Ok(reference),
        Ok(_) => Err(error("it names no registry".into())),
        Err(Error::InvalidReference { reason, .. }) => Err(error(reason)),
        Err(other) => Err(other),
    }
}

fn security(reference: &RegistryReference, insecure: bool) -> Security {
    match insecure {
        true => Security::Insecure,
        false if is_loopback(&reference.host) => Security::Loopback,
        false => Security::Verified,
    }
}

/// True for `localhost`, 127.0.0.0/8 and `[::1]`, with or without a port.
pub fn is_loopback(host: &str) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr};
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = r#"
        [[registry]]
        prefix = "a.io"
        location = "a.io"
        [[registry.mirror]]
        location = "m1.io/a"
        [[registry.mirror]]
        location = "m2.io:5000"
        insecure = true
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "m3.io"
        pull-from-mirror = "tag-only"
        [[registry]]
        prefix = "a.io/team"
        location = "b.io/other/team"
        insecure = true
        [[registry]]
        prefix = "a.io/team/app:old"
        location = "c.io/app:older"
        [[registry]]
        prefix = "*.corp.example"
        [[registry.mirror]]
        location = "cache.example/corp"
        [[registry]]
        location = "evil.io"
        blocked = true
        [[registry]]
        prefix = "broken.io"
        location = "BROKEN IO"
    "#;

    fn endpoints(text: &str) -> Result<Vec<(String, Security)>, String> {
        let Ok(ImageReference::Registry(reference)) = text.parse() else { panic!("{text}") };
        let conf = RegistriesConf::from_text(CONF).unwrap();
        let found = conf.endpoints(&reference).map_err(|e| e.to_string())?;
        Ok(found.into_iter().map(|e| (name_of(&e.reference), e.security)).collect())
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_decides() {
        use Security::*;
        let digest = format!("sha256:{}", "ab".repeat(32));
        let by_digest = format!("a.io/x@{digest}");
        for (text, expected) in [
            ("z.io/x:1", vec![("z.io/x:1", Verified)]),
            ("a.io/x:1", vec![("m1.io/a/x:1", Verified), ("m3.io/x:1", Verified), ("a.io/x:1", Verified)]),
            ("a.io/team/app:1", vec![("b.io/other/team/app:1", Insecure)]),
            (
                "a.io/teams/app:1",
                endpoints_of(&["m1.io/a/teams/app:1", "m3.io/teams/app:1", "a.io/teams/app:1"]),
            ),
            ("a.io/team/app:old", vec![("c.io/app:older", Verified)]),
            (
                "x.corp.example/os:1",
                vec![("cache.example/corp/os:1", Verified), ("x.corp.example/os:1", Verified)],
            ),
            ("localhost:5000/x:1", vec![("localhost:5000/x:1", Loopback)]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(name, s)| (name.to_owned(), s)).collect();
            assert_eq!(endpoints(text), Ok(expected), "{text}");
        }
        let names: Vec<_> = endpoints(&by_digest).unwrap();
        let expected = [("m1.io/a/x", Verified), ("m2.io:5000/x", Insecure), ("a.io/x", Verified)]
            .map(|(name, security)| (format!("{name}@{digest}"), security));
        assert_eq!(names, expected);
    }

    fn endpoints_of<'n>(names: &[&'n str]) -> Vec<(&'n str, Security)> {
        names.iter().map(|name| (*name, Security::Verified)).collect()
    }

    #[test]
    fn blocked_and_broken_rules_are_named() {
        for (text, message) in [
            ("evil.io/x", "`prefix = \"evil.io\"` is blocked"),
            ("evil.io:443/x", "blocked"),
            ("broken.io/x", "makes `BROKEN IO/x:latest` of it"),
        ] {
            let error = endpoints(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn hosts_on_this_machine_are_known() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.8.9.1:80", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("128.0.0.1", false),
            ("localhost.example", false),
            ("127.example", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_rule_panics_and_the_primary_is_always_there(prefix in "[a-z.*:/]{1,12}", location in "[a-zA-Z.:/ ]{0,12}") {
            let text = format!("[[registry]]\nprefix='{prefix}'\nlocation='{location}'");
            let Ok(ImageReference::Registry(reference)) = "a.io/b/c:1".parse() else { panic!() };
            if let Ok(conf) = RegistriesConf::from_text(&text)
                && let Ok(endpoints) = conf.endpoints(&reference)
            {
                proptest::prop_assert_eq!(endpoints.len(), 1);
            }
        }
    }
}
