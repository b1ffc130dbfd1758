//! Credentials for registries, found as containers-auth.json(5) says.
//!
//! ```text
//! search   which files, in which order       -> the first that has credentials wins
//! file     one auth.json or config.json      -> credentials, or the helper to ask
//! helper   docker-credential-NAME get        -> credentials
//! ```
//! Nothing here talks to a registry, and no secret is ever printed.

mod file;
mod helper;
mod search;

use std::fmt;

pub use search::find;

/// What proves to a registry who is asking.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Basic {
        username: String,
        password: String,
    },
    /// An OAuth2 refresh token, which is exchanged for access tokens (docker's `identitytoken`).
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username:?}, ..)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

/// Whose credentials are wanted: a repository of a registry.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Host with an optional port, as people write it (`docker.io`).
    pub host: &'a str,
    /// Without tag or digest.
    pub repository: &'a str,
}
