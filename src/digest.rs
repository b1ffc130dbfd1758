//! Digests as types: a digest is parsed once, at the edge, and is never a string after that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::printable;

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} digest")]
pub struct ParseDigestError {
    kind: &'static str,
    text: String,
}

/// The beginning of a text from outside, for a message.
fn shown(text: &str) -> String {
    printable(text.chars().take(80).collect::<String>().as_bytes())
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 64 lower-case hexadecimal digits, without an algorithm prefix.
            pub fn hex(&self) -> String {
                hex::encode(self.0)
            }

            /// Parses 64 lower-case hexadecimal digits without an algorithm prefix.
            pub fn from_hex(text: &str) -> Result<Self, ParseDigestError> {
                let error = || ParseDigestError { kind: $kind, text: shown(text) };
                if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(error());
                }
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| error())?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;
            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                match text.strip_prefix($prefix) {
                    Some(hex) => Self::from_hex(hex),
                    None => Err(ParseDigestError { kind: $kind, text: shown(text) }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// A sha256 digest as OCI writes it: `sha256:` and 64 lower-case hexadecimal digits
    /// (image-spec, descriptor.md, "Digests"). Names manifests, configs, blobs and diff_ids.
    Sha256, "sha256", "sha256:"
);
digest!(
    /// blake3 over a file's content and inode metadata; the name of an object in the repo.
    ObjectId, "object", ""
);
digest!(
    /// blake3 over the canonical encoding of a [`crate::repo::Tree`].
    TreeId, "tree", ""
);

/// An incremental sha256.
#[derive(Clone, Default, Debug)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }
    pub fn finish(self) -> Sha256 {
        Sha256(sha2::Digest::finalize(self.0).into())
    }
}

impl Sha256 {
    /// Digests bytes that are already in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Sha256Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_it_was_parsed() {
        let text = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(text.parse::<Sha256>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            "sha256:",
            "sha256:../../etc/passwd",
            &"0a".repeat(32),
            &format!("sha512:{}", "0a".repeat(32)),
            &format!("sha256:{}", "0A".repeat(32)),
            &format!("sha256:{}", "0a".repeat(33)),
        ] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
    }
}
