//! What people and images say about single paths: `reroot/etc-merge.toml`.
//!
//! ```toml
//! # /etc/reroot/etc-merge.toml
//! [[rule]]
//! path = "ssh/sshd_config.d/*"   # below /etc; `*` within a component, `**` over components
//! strategy = "take-new"          # or "keep-local", "fail"
//! ```
//!
//! A rule decides when its path is in conflict, and when it was changed on both sides. The last rule that matches
//! wins; those of `/usr/lib/reroot/etc-merge.toml` come before those of `/etc/reroot/etc-merge.toml`. So general
//! rules are written first and exceptions after them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::fsx::{self, Dir};
use crate::names::ImagePath;
use crate::pattern::Pattern;
use crate::sysroot::{Error, Result, line_of};

/// Where the rules are, below `/etc` and below `/usr/lib`.
pub const RULES_FILE: &str = "reroot/etc-merge.toml";
/// The file is written by hand.
const FILE_LIMIT: u64 = 1 << 20;

/// What becomes of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcStrategy {
    /// It stops the merge.
    #[default]
    Fail,
    KeepLocal,
    TakeNew,
}

impl EtcStrategy {
    pub const ALL: [Self; 3] = [Self::Fail, Self::KeepLocal, Self::TakeNew];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::KeepLocal => "keep-local",
            Self::TakeNew => "take-new",
        }
    }
}

impl fmt::Display for EtcStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EtcStrategy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a strategy: keep-local, take-new or fail"))
    }
}

/// What becomes of the paths that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pattern: Pattern,
    pub strategy: EtcStrategy,
    /// `file:line`
    pub place: String,
}

impl Rule {
    /// The pattern as written.
    pub fn path(&self) -> &str {
        self.pattern.as_str()
    }
}

/// All rules, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    path: Spanned<String>,
    strategy: EtcStrategy,
}

impl Rules {
    /// Reads the rules of the image below `new_root`, the root of the new deployment, and those of the machine in
    /// the live `etc`. A file that is a link is an error: what it leads to is not known here.
    pub fn load(new_root: &Dir, etc: Option<&Dir>) -> Result<Self> {
        let mut rules = Self::default();
        let vendor = format!("usr/lib/{RULES_FILE}");
        let shown = format!("/{vendor}");
        let bytes = fsx::read_in_root(new_root, vendor.as_bytes(), FILE_LIMIT);
        if let Some(bytes) = bytes.map_err(Error::io(format!("reading {shown} of the image")))? {
            rules.0.extend(Self::parse(&text(bytes, &shown)?, &shown)?.0);
        }
        let shown = format!("/etc/{RULES_FILE}");
        let bytes = etc.map(read_local).transpose().map_err(Error::io(format!("reading {shown}")))?.flatten();
        if let Some(bytes) = bytes {
            rules.0.extend(Self::parse(&text(bytes, &shown)?, &shown)?.0);
        }
        Ok(rules)
    }

    /// Parses the text of a file; `file` names it in errors, which give the line.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let invalid = |span, reason: &str| Error::Invalid {
            file: file.into(),
            line: line_of(text, span),
            reason: reason.into(),
        };
        let File { rule } = toml::from_str(text).map_err(|e| invalid(e.span(), e.message()))?;
        let rules = rule.into_iter().map(|FileRule { path, strategy }| {
            let pattern = Pattern::parse(path.get_ref()).map_err(|e| invalid(Some(path.span()), e))?;
            let place = format!("{file}:{}", line_of(text, Some(path.span())));
            Ok(Rule { pattern, strategy, place })
        });
        rules.collect::<Result<_>>().map(Self)
    }

    /// The rule that decides about a path.
    pub fn of(&self, path: &ImagePath) -> Option<&Rule> {
        self.0.iter().rev().find(|rule| rule.pattern.matches(path))
    }
}

fn read_local(etc: &Dir) -> std::io::Result<Option<Vec<u8>>> {
    let (directory, name) = RULES_FILE.split_once('/').expect("a constant with a slash");
    match fsx::subdir_optional(etc, directory)? {
        Some(dir) => fsx::read_limited(&dir, name, FILE_LIMIT),
        None => Ok(None),
    }
}

fn text(bytes: Vec<u8>, file: &str) -> Result<String> {
    let not_text = |_| Error::Invalid { file: file.into(), line: 1, reason: "not UTF-8".into() };
    String::from_utf8(bytes).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(rules: &Rules, path: &str) -> Option<EtcStrategy> {
        rules.of(&ImagePath::new(path.as_bytes()).unwrap()).map(|r| r.strategy)
    }

    #[test]
    fn the_last_rule_that_matches_wins() {
        let rules = Rules::parse(
            "[[rule]]\npath = 'ssh/**'\nstrategy = 'take-new'\n\n\
             [[rule]]\npath = 'ssh/*_key'\nstrategy = 'keep-local'\n\
             [[rule]]\npath = 'passwd'\nstrategy = 'fail'\n",
            "f",
        )
        .unwrap();
        assert_eq!(strategy(&rules, "ssh"), Some(EtcStrategy::TakeNew));
        assert_eq!(strategy(&rules, "ssh/a/b"), Some(EtcStrategy::TakeNew));
        assert_eq!(strategy(&rules, "ssh/host_key"), Some(EtcStrategy::KeepLocal));
        assert_eq!(strategy(&rules, "passwd"), Some(EtcStrategy::Fail));
        assert_eq!(strategy(&rules, "group"), None);
        let rule = rules.of(&ImagePath::new(b"passwd").unwrap()).unwrap();
        assert_eq!((rule.path(), &*rule.place), ("passwd", "f:9"));
    }

    #[test]
    fn mistakes_are_named_by_file_and_line() {
        for (text, expected) in [
            ("[[rule]]\npath='a'\nstrategy='take-new'\nwhy='x'\n", "f:4: unknown field `why`"),
            ("[[rules]]\n", "f:1: unknown field `rules`"),
            ("[[rule]]\npath='a'\nstrategy='ask'\n", "f:3: unknown variant `ask`"),
            ("[[rule]]\nstrategy='fail'\n\n[[rule]]\npath='/etc/a'\nstrategy='fail'\n", "f:1: missing field"),
            (
                "[[rule]]\npath='a'\nstrategy='fail'\n[[rule]]\nstrategy='fail'\npath='/etc/a'\n",
                "f:6: the path starts without a slash",
            ),
        ] {
            let error = Rules::parse(text, "f").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(Rules::parse("", "f").unwrap(), Rules::default());
    }

    #[test]
    fn strategies_have_one_spelling() {
        for strategy in EtcStrategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
            assert_eq!(serde_json::to_string(&strategy).unwrap(), format!("\"{strategy}\""));
        }
        assert!("ask".parse::<EtcStrategy>().is_err());
    }
}
