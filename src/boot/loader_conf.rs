//! systemd-boot's configuration, `loader/loader.conf` on the ESP (loader.conf(5)). People may edit it: what they wrote
//! stays, and what is missing is added when systemd-boot is installed.

use std::fmt;

use super::lines::Lines;
use super::{Error, Result};
use crate::fsx::{self, Dir};

const LOADER: &str = "loader";
const CONF: &str = "loader.conf";
const CONF_LIMIT: u64 = 64 << 10;
/// Matches every entry of ours: the first of them in the order of the menu boots, also when another system has
/// entries on the same ESP that sort before.
const DEFAULT: &str = "reroot-*";

/// How long the menu waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// 0 boots at once; the menu comes when a key is held.
    Seconds(u32),
    /// The menu stays until somebody chooses.
    Menu,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timeout::Seconds(seconds) => seconds.fmt(f),
            Timeout::Menu => f.write_str("menu-force"),
        }
    }
}

/// The configuration with everything that is in it, known here or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoaderConf(Lines);

impl LoaderConf {
    /// Parses the text of the file; `file` names it in errors, which give the line.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        Lines::parse(bytes, CONF_LIMIT, file).map(Self)
    }

    /// Reads the file; `None` when it is missing.
    pub fn read(esp: &Dir) -> Result<Option<Self>> {
        let context = || Error::io(format!("reading {LOADER}/{CONF}"));
        let Some(loader) = fsx::subdir_optional(esp, LOADER).map_err(context())? else { return Ok(None) };
        let bytes = fsx::read_limited(&loader, CONF, CONF_LIMIT).map_err(context())?;
        bytes.map(|bytes| Self::parse(&bytes, &format!("{LOADER}/{CONF}"))).transpose()
    }

    /// The text of the file.
    pub fn print(&self) -> String {
        self.0.print()
    }

    /// The value of a key; of several lines the last counts.
    pub fn key(&self, key: &str) -> Option<&str> {
        self.0.last(key)
    }

    /// Sets how long the menu waits.
    pub fn set_timeout(&mut self, timeout: Timeout) {
        self.0.set("timeout", &timeout.to_string());
    }

    /// Adds the keys that are missing: how long the menu waits, and that an entry of ours is the default.
    pub fn add_missing(&mut self, timeout: Timeout) {
        if self.key("timeout").is_none() {
            self.set_timeout(timeout);
        }
        if self.key("default").is_none() {
            self.0.set("default", DEFAULT);
        }
    }

    /// Writes the file when it says something else; true when it was written. Durable when it returns. On FAT a
    /// power cut may lose the file: systemd-boot does without it then, and boots the first entry.
    pub fn write(&self, esp: &Dir) -> Result<bool> {
        if Self::read(esp)?.as_ref() == Some(self) {
            return Ok(false);
        }
        let write = || {
            let loader = fsx::ensure_dir(esp, LOADER, 0o755)?;
            fsx::sync_dir(esp)?;
            fsx::write_atomic(&loader, CONF, self.print().as_bytes(), 0o644)
        };
        write().map_err(Error::io(format!("writing {LOADER}/{CONF}")))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> LoaderConf {
        LoaderConf::parse(text.as_bytes(), "f").unwrap()
    }

    #[test]
    fn only_what_is_missing_is_added() {
        for (before, after) in [
            ("", "timeout 3\ndefault reroot-*\n"),
            (
                "#timeout 3\nconsole-mode keep\n",
                "#timeout 3\nconsole-mode keep\ntimeout 3\ndefault reroot-*\n",
            ),
            (
                "default @saved\ntimeout menu-hidden\neditor no\n",
                "default @saved\ntimeout menu-hidden\neditor no\n",
            ),
        ] {
            let mut conf = conf(before);
            conf.add_missing(Timeout::Seconds(3));
            assert_eq!(conf.print(), after);
        }
    }

    #[test]
    fn the_timeout_is_set_where_it_stands() {
        let mut conf = conf("timeout 3\n# mine\nbeep yes\ntimeout 4\n");
        conf.set_timeout(Timeout::Menu);
        assert_eq!(conf.print(), "timeout menu-force\n# mine\nbeep yes\n");
        assert_eq!(conf.key("timeout"), Some("menu-force"));
    }
}
