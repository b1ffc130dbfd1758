//! One file of the configuration.

use serde::Deserialize;
use toml::Spanned;

use super::super::{Error, Result};
use crate::sysroot::line_of;

/// A file as written: every key may be absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fragment {
    pub retain: Option<Spanned<u64>>,
    pub reserve_percent: Option<Spanned<u64>>,
    pub boot_tries: Option<Spanned<u64>>,
    pub health_check_timeout: Option<Spanned<u64>>,
    pub prune_after_boot: Option<Spanned<bool>>,
}

impl Fragment {
    /// Parses the text of a file; `file` names it in errors, which give the line.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span());
            Error::invalid(format!("{file}:{line}: {}", error.message()))
        })
    }
}
