//! One file of the configuration.

use serde::Deserialize;
use toml::Spanned;

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
