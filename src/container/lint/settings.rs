//! Which lints count, and what they are not to complain about: `/usr/lib/reroot/lint.toml` of the image itself, or a file
//! that somebody names.
//!
//! ```toml
//! skip = ["var-log"]
//! fatal-warnings = true
//! [level]
//! names = "error"
//! [[allow]]
//! lint = "credentials"
//! path = "etc/containers/auth.json"     # `*` and `**`; without it everything that the lint finds
//! reason = "a token that may only pull"
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use super::{LINTS, Level, Lint};
use crate::names::ImagePath;
use crate::ops::{Error, Result};
use crate::pattern::Pattern;
use crate::sysroot::line_of;

/// Where an image says for itself what is allowed.
pub const OF_IMAGE: &str = "usr/lib/reroot/lint.toml";

/// What somebody wants of the lints.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub skip: BTreeSet<String>,
    pub fatal_warnings: bool,
    pub levels: BTreeMap<String, Level>,
    pub allowed: Vec<Allowed>,
}

/// A finding that is none.
#[derive(Debug, Clone)]
pub struct Allowed {
    pub lint: String,
    pub path: Option<Pattern>,
    pub reason: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    skip: Vec<Spanned<String>>,
    fatal_warnings: bool,
    level: BTreeMap<Spanned<String>, Level>,
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    lint: Spanned<String>,
    path: Option<Spanned<String>>,
    reason: String,
}

impl Settings {
    /// Reads a file; `name` is for errors, which have the line.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let at = |span: Option<std::ops::Range<usize>>, reason: &str| {
            Error::invalid(format!("{name}:{}: {reason}", line_of(text, span)))
        };
        let known = |id: Spanned<String>| match LINTS.iter().any(|lint| lint.id == id.get_ref()) {
            true => Ok(id.into_inner()),
            false => Err(at(Some(id.span()), &unknown(id.get_ref()))),
        };
        let file: File = toml::from_str(text).map_err(|error| at(error.span(), error.message()))?;
        let mut allowed = Vec::new();
        for Allow { lint, path, reason } in file.allow {
            if reason.trim().is_empty() {
                return Err(at(Some(lint.span()), "what is allowed needs a reason"));
            }
            let path = path
                .map(|path| {
                    let text = path.get_ref().strip_prefix('/').unwrap_or(path.get_ref());
                    Pattern::parse(text).map_err(|reason| at(Some(path.span()), reason))
                })
                .transpose()?;
            allowed.push(Allowed { lint: known(lint)?, path, reason });
        }
        Ok(Self {
            skip: file.skip.into_iter().map(known).collect::<Result<_>>()?,
            fatal_warnings: file.fatal_warnings,
            levels: file
                .level
                .into_iter()
                .map(|(id, level)| Ok((known(id)?, level)))
                .collect::<Result<_>>()?,
            allowed,
        })
    }

    /// Skips one more.
    pub fn skip(&mut self, id: &str) -> Result<()> {
        if !LINTS.iter().any(|lint| lint.id == id) {
            return Err(Error::invalid(unknown(id)));
        }
        self.skip.insert(id.into());
        Ok(())
    }

    pub(super) fn skips(&self, lint: &Lint) -> bool {
        self.skip.contains(lint.id)
    }

    pub(super) fn level(&self, lint: &Lint) -> Level {
        self.levels.get(lint.id).copied().unwrap_or(lint.level)
    }

    pub(super) fn allows(&self, lint: &Lint, path: Option<&ImagePath>) -> bool {
        self.allowed.iter().filter(|allowed| allowed.lint == lint.id).any(|allowed| {
            match (&allowed.path, path) {
                (None, _) => true,
                (Some(pattern), Some(path)) => pattern.matches(path),
                (Some(_), None) => false,
            }
        })
    }
}

fn unknown(id: &str) -> String {
    format!(
        "there is no lint `{}`; `reroot container lint --list` has them all",
        crate::names::printable(id.as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, message) in [
            (
                "\nskip = ['no-such']\n",
                "f:2: there is no lint `no-such`; `reroot container lint --list` has them all",
            ),
            ("[level]\nkernel = 'fatal'\n", "f:2: unknown variant `fatal`, expected `warning` or `error`"),
            (
                "skip = []\nskpi = []\n",
                "f:2: unknown field `skpi`, expected one of `skip`, `fatal-warnings`, `level`, `allow`",
            ),
            ("[[allow]]\nlint = 'names'\nreason = ''\n", "f:2: what is allowed needs a reason"),
            ("[[allow]]\nlint = 'names'\n", "f:1: missing field `reason`"),
            (
                "[[allow]]\nlint = 'names'\npath = '/a/../b'\nreason = 'x'\n",
                "f:3: the path has a `.` or `..` component",
            ),
        ] {
            assert_eq!(Settings::parse(text, "f").unwrap_err().to_string(), message);
        }
    }
}
