//! What people type to name an image.
//!
//! ```text
//! docker://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]     a registry; the scheme may be left away
//! oci:DIRECTORY[:TAG][@DIGEST]                       an OCI image layout
//! oci-archive:FILE[:TAG][@DIGEST]                    the same in a tar
//! docker-archive:FILE[:TAG]                          what `docker save` writes
//! NAME[:TAG][@DIGEST]                                a short name, an alias of registries.conf
//! ```
//!
//! The grammar of registry references is that of the distribution specification.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};
use crate::digest::Sha256;
use crate::names::printable;

/// Where an image is, as far as the text says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImageReference {
    Registry(RegistryReference),
    /// A name without a registry. Only an alias of the machine's configuration makes it one; nothing is guessed.
    ShortName(ShortName),
    OciDir(LocalReference),
    OciArchive(LocalReference),
    DockerArchive(LocalReference),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    /// Host with an optional port, in lower case.
    pub host: String,
    pub repository: String,
    /// `latest` when neither tag nor digest was given.
    pub tag: Option<String>,
    pub digest: Option<Sha256>,
}

/// A name that an alias may resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShortName {
    pub name: String,
    pub tag: Option<String>,
    pub digest: Option<Sha256>,
}

/// An image in a directory or file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalReference {
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<Sha256>,
}

impl ImageReference {
    /// The name of the transport, as `status` shows it.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) | Self::ShortName(_) => "docker",
            Self::OciDir(_) => "oci",
            Self::OciArchive(_) => "oci-archive",
            Self::DockerArchive(_) => "docker-archive",
        }
    }

    pub fn digest(&self) -> Option<&Sha256> {
        match self {
            Self::Registry(r) => r.digest.as_ref(),
            Self::ShortName(r) => r.digest.as_ref(),
            Self::OciDir(r) | Self::OciArchive(r) | Self::DockerArchive(r) => r.digest.as_ref(),
        }
    }

    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry(r) => r.tag.as_deref(),
            Self::ShortName(r) => r.tag.as_deref(),
            Self::OciDir(r) | Self::OciArchive(r) | Self::DockerArchive(r) => r.tag.as_deref(),
        }
    }

    /// The same image under another tag, not pinned to a manifest any more.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        if !is_tag(tag) {
            return Err(Error::InvalidReference {
                text: printable(tag.as_bytes()).chars().take(300).collect(),
                reason: "the tag has characters that tags cannot have, or none".into(),
            });
        }
        let mut this = self.clone();
        let (own, digest) = match &mut this {
            Self::Registry(r) => (&mut r.tag, &mut r.digest),
            Self::ShortName(r) => (&mut r.tag, &mut r.digest),
            Self::OciDir(r) | Self::OciArchive(r) | Self::DockerArchive(r) => (&mut r.tag, &mut r.digest),
        };
        (*own, *digest) = (Some(tag.into()), None);
        Ok(this)
    }

    /// The same image place, pinned to a manifest.
    pub fn with_digest(&self, manifest: Sha256) -> Self {
        let mut this = self.clone();
        match &mut this {
            Self::Registry(r) => r.digest = Some(manifest),
            Self::ShortName(r) => r.digest = Some(manifest),
            Self::OciDir(r) | Self::OciArchive(r) | Self::DockerArchive(r) => r.digest = Some(manifest),
        }
        this
    }
}

impl FromStr for ImageReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let error = |reason: &str| Error::InvalidReference {
            text: printable(text.as_bytes()).chars().take(300).collect(),
            reason: reason.into(),
        };
        if let Some(rest) = text.strip_prefix("docker://") {
            return match parse_name(rest).map_err(error)? {
                Self::ShortName(_) => Err(error("it names no registry; write docker://HOST/NAME")),
                reference => Ok(reference),
            };
        }
        let local = |rest| parse_local(rest).map_err(error);
        if let Some(rest) = text.strip_prefix("oci:") {
            return Ok(Self::OciDir(local(rest)?));
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            return Ok(Self::OciArchive(local(rest)?));
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            return Ok(Self::DockerArchive(local(rest)?));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let scheme = printable(scheme.as_bytes());
            return Err(error(&format!(
                "`{scheme}` is no transport; there are docker://, oci:, oci-archive: and docker-archive:"
            )));
        }
        parse_name(text).map_err(error)
    }
}

/// Takes `@digest` and `:tag` off the end of a name.
fn split_suffixes(text: &str) -> Result<(&str, Option<String>, Option<Sha256>), &'static str> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (
            name,
            Some(
                digest
                    .parse()
                    .map_err(|_| "the digest is not sha256: and 64 lower-case hexadecimal digits")?,
            ),
        ),
        None => (text, None),
    };
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => {
            if !is_tag(tag) {
                return Err("the tag has characters that tags cannot have");
            }
            Ok((name, Some(tag.into()), digest))
        }
        _ => Ok((name, None, digest)),
    }
}

fn parse_name(text: &str) -> Result<ImageReference, &'static str> {
    let (name, tag, digest) = split_suffixes(text)?;
    let tag = tag.or_else(|| digest.is_none().then(|| "latest".into()));
    let is_host = |part: &str| part.contains(['.', ':']) || part.eq_ignore_ascii_case("localhost");
    match name.split_once('/') {
        Some((host, repository)) if is_host(host) => {
            if !is_host_name(host) {
                return Err("the registry's name is malformed");
            }
            if !is_repository(repository) {
                return Err(
                    "the repository's name is malformed; it has lower-case letters, digits and single `.`, `_`, `-` between them",
                );
            }
            let host = host.to_ascii_lowercase();
            // Docker's hub keeps images without a namespace under `library`.
            let official = host == "docker.io" && !repository.contains('/');
            let repository = if official { format!("library/{repository}") } else { repository.into() };
            Ok(ImageReference::Registry(RegistryReference { host, repository, tag, digest }))
        }
        _ if is_repository(name) => {
            Ok(ImageReference::ShortName(ShortName { name: name.into(), tag, digest }))
        }
        _ => Err("the name is malformed"),
    }
}

fn parse_local(text: &str) -> Result<LocalReference, &'static str> {
    // A path may contain colons and at signs; only a suffix that is a tag or a digest is taken off.
    let (rest, digest) = match text.rsplit_once('@') {
        Some((path, digest)) if digest.starts_with("sha256:") => {
            (path, Some(digest.parse().map_err(|_| "the digest is malformed")?))
        }
        _ => (text, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if is_tag(tag) => (path, Some(tag.into())),
        _ => (rest, None),
    };
    if path.is_empty() {
        return Err("the path is empty");
    }
    // It is shown and stored; a NUL cannot be part of a path anyway.
    if path.contains(char::is_control) {
        return Err("the path has control characters");
    }
    Ok(LocalReference { path: path.into(), tag, digest })
}

pub(super) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !tag.is_empty()
        && tag.len() <= 128
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_host_name(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_is_fine =
        port.is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse().is_ok_and(|n: u16| n > 0));
    let name_is_fine = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    port_is_fine && name_is_fine
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` for each component (distribution-spec, "Pulling manifests").
fn is_repository(name: &str) -> bool {
    let component = |part: &str| {
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
        let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        alphanumeric(first)
            && alphanumeric(last)
            && separators
                .into_iter()
                .all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
    };
    name.len() <= 255 && name.split('/').all(component)
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(r) => write!(f, "docker://{}/{}", r.host, r.repository)?,
            Self::ShortName(r) => f.write_str(&r.name)?,
            Self::OciDir(r) => write!(f, "oci:{}", r.path)?,
            Self::OciArchive(r) => write!(f, "oci-archive:{}", r.path)?,
            Self::DockerArchive(r) => write!(f, "docker-archive:{}", r.path)?,
        }
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest() {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        text.parse::<ImageReference>().map(|r| r.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn references_have_one_canonical_spelling() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let cases = [
            ("quay.io/a/b", "docker://quay.io/a/b:latest"),
            ("docker://quay.io/a/b:1.2", "docker://quay.io/a/b:1.2"),
            ("QUAY.io/a/b:V1", "docker://quay.io/a/b:V1"),
            ("localhost/a", "docker://localhost/a:latest"),
            ("localhost:5000/a/b__c-d:x", "docker://localhost:5000/a/b__c-d:x"),
            ("[::1]:5000/a", "docker://[::1]:5000/a:latest"),
            ("docker.io/debian", "docker://docker.io/library/debian:latest"),
            ("debian", "debian:latest"),
            ("fedora/bootc:42", "fedora/bootc:42"),
            ("oci:/srv/image", "oci:/srv/image"),
            ("oci:/srv/im:age/x:v1", "oci:/srv/im:age/x:v1"),
            ("oci-archive:./a.tar:v1", "oci-archive:./a.tar:v1"),
            ("docker-archive:a.tar", "docker-archive:a.tar"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(shown(expected).as_deref(), Ok(expected), "{expected}");
        }
        for (text, expected) in [
            (format!("quay.io/a@{digest}"), format!("docker://quay.io/a@{digest}")),
            (format!("quay.io/a:1@{digest}"), format!("docker://quay.io/a:1@{digest}")),
            (format!("oci:/a:1@{digest}"), format!("oci:/a:1@{digest}")),
        ] {
            assert_eq!(shown(&text), Ok(expected));
        }
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let bad = [
            "",
            "/",
            "docker://",
            "docker://debian",
            "quay.io/",
            "quay.io/A",
            "quay.io/a//b",
            "quay.io/a..b",
            "quay.io/a___b",
            "quay.io/-a",
            "quay.io/a:",
            "quay.io/a:b c",
            "quay.io/a@sha256:00",
            "quay.io/../a",
            "-x.io/a",
            "x.io:/a",
            "x.io:99999/a",
            "x.io:+80/a",
            "x.io:0/a",
            "x.io:80:80/a",
            "[::1/a",
            "oci:\u{1b}[2J",
            "oci:/a@sha256:00",
            "oci::v1",
            "http://quay.io/a",
            "oci:",
            "ftp://x/y",
            "quay.io/a\u{1b}[2J",
            "a b",
        ];
        for text in bad {
            assert!(shown(text).is_err(), "{text:?} became {:?}", shown(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_round_trips(text in "(docker://|oci:|oci-archive:|)[a-z0-9:/@._\\[\\]A-Z-]{0,40}") {
            if let Ok(canonical) = shown(&text) {
                prop_assert_eq!(shown(&canonical), Ok(canonical.clone()));
            }
        }
    }
}
