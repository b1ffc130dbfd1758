//! Which servers stand for a registry: containers-registries.conf(5), version 2.
//!
//! ```text
//! load     the main file and its drop-ins       -> RegistriesConf
//! parse    one file                             -> Fragment
//! prefix   does a rule apply to a name
//! endpoints  RegistriesConf + reference         -> Vec<Endpoint>: mirrors in order, the primary last
//! alias    RegistriesConf + short name          -> a full reference
//! ```
//! Unknown keys are tolerated, as the tools that share this file do: newer ones add keys to it. Values of the
//! wrong type and contradictions are errors. `unqualified-search-registries` and `short-name-mode` are read
//! and not used: a name that no alias resolves is an error, because a system's image is never guessed.

mod alias;
mod endpoints;
mod load;
mod parse;
mod prefix;

use std::collections::BTreeMap;

pub use endpoints::{Endpoint, Security, is_loopback};
pub use load::load;

/// Everything the files say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistriesConf {
    registries: Vec<Registry>,
    /// Short name -> `host/repository`; an empty one was taken back by a later file.
    aliases: BTreeMap<String, String>,
    /// `credential-helpers`: programs to ask, empty when nothing is said.
    pub credential_helpers: Vec<String>,
}

/// A `[[registry]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Registry {
    prefix: String,
    /// What replaces the prefix; `None` leaves it (only with a `*.` prefix).
    location: Option<String>,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
}

/// A `[[registry.mirror]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    location: String,
    insecure: bool,
    pulls: Pulls,
}

/// What a mirror is asked for (`pull-from-mirror`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulls {
    All,
    DigestOnly,
    TagOnly,
}
