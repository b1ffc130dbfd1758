//! Conflicts that stop a merge.

use std::fmt;

use super::shown;
use crate::names::ImagePath;

/// A path about which somebody has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub path: ImagePath,
    /// In words.
    pub reason: String,
}

/// All conflicts that neither a rule nor the strategy settles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflict {
    /// The rule that settles it, in the words of `etc-merge.toml`.
    pub fn rule(&self) -> String {
        let path = toml::Value::from(pattern(&self.path));
        format!("[[rule]]\npath = {path}\nstrategy = \"keep-local\"  # or \"take-new\"\n")
    }
}

/// A pattern that matches a path. What cannot be written in one is matched by a star.
fn pattern(path: &ImagePath) -> String {
    if path.is_root() {
        return "**".into();
    }
    let mut pattern = String::new();
    let mut push = |c: char| {
        let c = if c.is_control() || "?[]{}\\".contains(c) { '*' } else { c };
        if c != '*' || !pattern.ends_with('*') {
            pattern.push(c);
        }
    };
    for chunk in path.as_bytes().utf8_chunks() {
        chunk.valid().chars().for_each(&mut push);
        chunk.invalid().iter().for_each(|_| push('*'));
    }
    pattern
}

impl Conflicts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A rule for each, to be put into `etc-merge.toml` and edited there.
    pub fn rules(&self) -> String {
        self.0.iter().map(Conflict::rule).collect::<Vec<_>>().join("\n")
    }
}

impl std::error::Error for Conflicts {}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.len();
        write!(f, "/etc cannot be merged: {n} conflict{}", if n == 1 { "" } else { "s" })?;
        for conflict in &self.0 {
            write!(f, "\n  {}: {}", shown(&conflict.path), conflict.reason)?;
            for line in conflict.rule().lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;

    #[test]
    fn the_rule_that_is_proposed_matches_the_path() {
        for path in [&b"a/b.conf"[..], b"a\xff\xfeb/[x]{y}", b"a\\b\nc", b"**/a", "ä\"'".as_bytes(), b""] {
            let conflict = Conflict { path: ImagePath::new(path).unwrap(), reason: "why".into() };
            let rules = Rules::parse(&conflict.rule(), "f").unwrap();
            assert!(rules.of(&conflict.path).is_some(), "{}", conflict.rule());
        }
    }

    #[test]
    fn all_conflicts_are_listed_with_their_rules() {
        let conflict = |path: &str| Conflict {
            path: ImagePath::new(path.as_bytes()).unwrap(),
            reason: "a file here, a directory in the new defaults".into(),
        };
        assert_eq!(
            Conflicts(vec![conflict("a"), conflict("b/c")]).to_string(),
            "/etc cannot be merged: 2 conflicts\n\
             \x20 /etc/a: a file here, a directory in the new defaults\n\
             \x20   [[rule]]\n\
             \x20   path = \"a\"\n\
             \x20   strategy = \"keep-local\"  # or \"take-new\"\n\
             \x20 /etc/b/c: a file here, a directory in the new defaults\n\
             \x20   [[rule]]\n\
             \x20   path = \"b/c\"\n\
             \x20   strategy = \"keep-local\"  # or \"take-new\""
        );
    }
}
