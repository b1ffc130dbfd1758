//! Patterns of tags.

use std::cmp::Ordering;
use std::fmt;

use serde::Deserialize;

use super::numbers::Numbers;

/// Which tags are versions, and how they are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The texts between the stars; at least two.
    literals: Vec<String>,
    scheme: Scheme,
    pre_releases: PreReleases,
}

/// What a version looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Three numbers and their rules (<https://semver.org>).
    #[default]
    Semver,
    /// Numbers that are compared one by one.
    Calendar,
}

/// Whether pre-releases are versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PreReleases {
    #[default]
    Ignored,
    Allowed,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("`{0}` has no `*`, and so means one tag at most")]
    NoStar(String),
    #[error("`{0}` has a `{1}`, which no tag has; only `*` stands for something else")]
    Character(String, char),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Semver(semver::Version),
    Calendar(Numbers),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.literals.join("*"))
    }
}

impl Pattern {
    /// Reads a pattern; see the module for what it means.
    pub fn new(text: &str, scheme: Scheme, pre_releases: PreReleases) -> Result<Self, PatternError> {
        // https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
        let is_of_tag = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
        if let Some(other) = text.chars().find(|c| !is_of_tag(*c)) {
            return Err(PatternError::Character(text.into(), other));
        }
        if !text.contains('*') {
            return Err(PatternError::NoStar(text.into()));
        }
        let literals = text.split('*').map(String::from).collect();
        Ok(Self { literals, scheme, pre_releases })
    }

    /// Whether a tag is a version of this pattern.
    pub fn is_version(&self, tag: &str) -> bool {
        self.version(tag).is_some()
    }

    /// Which of two tags is the higher version; `None` when one of them is none.
    pub fn compare(&self, a: &str, b: &str) -> Option<Ordering> {
        Some(self.version(a)?.cmp(&self.version(b)?))
    }

    /// The tag with the highest version. Of two tags for one version it is always the same one, in whatever order they come.
    pub fn newest<'a>(&self, tags: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let versions = tags.filter_map(|tag| Some((self.version(tag)?, tag)));
        versions.max().map(|(_, tag)| tag)
    }

    fn version(&self, tag: &str) -> Option<Version> {
        let text = self.text_of_version(tag)?;
        let text = text.strip_prefix('v').unwrap_or(text);
        let (version, is_pre_release) = match self.scheme {
            Scheme::Semver => {
                let version = semver::Version::parse(text).ok()?;
                let is_pre_release = !version.pre.is_empty();
                (Version::Semver(version), is_pre_release)
            }
            Scheme::Calendar => {
                let numbers = Numbers::parse(text)?;
                let is_pre_release = numbers.is_pre_release();
                (Version::Calendar(numbers), is_pre_release)
            }
        };
        (!is_pre_release || self.pre_releases == PreReleases::Allowed).then_some(version)
    }

    /// The part of a tag that is the version; `None` when the pattern does not mean it.
    fn text_of_version<'a>(&self, tag: &'a str) -> Option<&'a str> {
        let (first, rest) = self.literals.split_first()?;
        let (last, between) = rest.split_last()?;
        let stars = tag.strip_prefix(first.as_str())?.strip_suffix(last.as_str())?;
        let mut left = stars;
        for literal in between {
            left = &left[left.find(literal.as_str())? + literal.len()..];
        }
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let start = first.trim_end_matches(is_number).len();
        let after = last.len() - last.trim_start_matches(is_number).len();
        Some(&tag[start..first.len() + stars.len() + after])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str, scheme: Scheme) -> Pattern {
        Pattern::new(text, scheme, PreReleases::Ignored).unwrap()
    }

    #[test]
    fn the_version_is_what_the_stars_stand_for() {
        for (text, tag, version) in [
            ("*", "v1.4.0", Some("v1.4.0")),
            ("v*", "v1.4.0", Some("1.4.0")),
            ("v1.*", "v1.4.0", Some("1.4.0")),
            ("41.*", "41.20261103.0", Some("41.20261103.0")),
            ("stable-*", "stable-1.4.0", Some("1.4.0")),
            ("stable-4*", "stable-41.1", Some("41.1")),
            ("el9-*", "el9-1.4.0", Some("1.4.0")),
            ("*-server", "1.4.0-server", Some("1.4.0")),
            ("*.0", "1.4.0", Some("1.4.0")),
            ("a-*-b-*-c", "a-1-b-2-c", Some("1-b-2")),
            ("*.*", "1.4", Some("1.4")),
            ("stable-*", "1.4.0", None),
            ("*-server", "1.4.0", None),
            ("1.4*4", "1.4", None),
            ("*.*", "14", None),
            ("*a*", "bcd", None),
        ] {
            assert_eq!(pattern(text, Scheme::Semver).text_of_version(tag), version, "{text} {tag}");
        }
    }

    #[test]
    fn the_newest_is_the_highest_version() {
        let tags = [
            "latest",
            "1.9.0",
            "1.10.0",
            "v1.2.0",
            "2.0.0-rc.1",
            "2.0",
            "20261103",
            "sha256-0a1b",
            "1.10.0.sig",
            "stable-9.9.9",
            "1.11.0_amd64",
        ];
        let newest = |text: &str, scheme, pre_releases| {
            Pattern::new(text, scheme, pre_releases).unwrap().newest(tags.into_iter())
        };
        let (semver, calendar) = (Scheme::Semver, Scheme::Calendar);
        assert_eq!(newest("*", semver, PreReleases::Ignored), Some("1.10.0"));
        assert_eq!(newest("*", semver, PreReleases::Allowed), Some("2.0.0-rc.1"));
        assert_eq!(newest("1.9.*", semver, PreReleases::Ignored), Some("1.9.0"));
        assert_eq!(newest("v*", semver, PreReleases::Ignored), Some("v1.2.0"));
        assert_eq!(newest("stable-*", semver, PreReleases::Ignored), Some("stable-9.9.9"));
        assert_eq!(newest("*_amd64", semver, PreReleases::Ignored), Some("1.11.0_amd64"));
        assert_eq!(newest("3.*", semver, PreReleases::Ignored), None);
        assert_eq!(newest("*", calendar, PreReleases::Ignored), Some("20261103"));
        assert_eq!(newest("1.*", calendar, PreReleases::Ignored), Some("1.10.0"));
        assert_eq!(newest("2.*", calendar, PreReleases::Allowed), Some("2.0.0-rc.1"));
    }

    #[test]
    fn versions_are_compared_where_both_are_versions() {
        let pattern = pattern("*", Scheme::Calendar);
        assert_eq!(pattern.compare("41.20261103.0", "v41.20261103.1"), Some(Ordering::Less));
        assert_eq!(pattern.compare("2026.11.3", "2026.11.03"), Some(Ordering::Equal));
        assert_eq!(pattern.compare("latest", "2026.11.03"), None);
        assert!(pattern.is_version("v1") && !pattern.is_version("vv1") && !pattern.is_version("1-rc"));
        assert_eq!(pattern.newest(["2026.11.3", "2026.11.03"].into_iter()), Some("2026.11.3"));
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        let error = |text| Pattern::new(text, Scheme::Semver, PreReleases::Ignored).unwrap_err().to_string();
        assert_eq!(error("stable"), "`stable` has no `*`, and so means one tag at most");
        assert_eq!(error("1.?"), "`1.?` has a `?`, which no tag has; only `*` stands for something else");
        assert_eq!(error(""), "`` has no `*`, and so means one tag at most");
    }

    proptest! {
        #[test]
        fn no_tag_is_a_trap_and_the_newest_does_not_depend_on_the_order(
            tags in proptest::collection::vec("v?[0-9]{1,2}([._-]([0-9]{1,2}|rc[0-9])){0,3}|[a-z*0-9.é-]{0,8}", 0..12),
            text in "[a-z0-9.*-]{0,5}[*][0-9.*-]{0,3}",
            calendar in any::<bool>(),
        ) {
            let scheme = if calendar { Scheme::Calendar } else { Scheme::Semver };
            let pattern = Pattern::new(&text, scheme, PreReleases::Allowed).unwrap();
            let newest = pattern.newest(tags.iter().map(String::as_str));
            prop_assert_eq!(newest, pattern.newest(tags.iter().rev().map(String::as_str)));
            for tag in &tags {
                let order = newest.and_then(|newest| pattern.compare(newest, tag));
                prop_assert_eq!(order.is_some(), pattern.is_version(tag));
                prop_assert!(order.is_none_or(Ordering::is_ge), "{} {:?}", tag, newest);
            }
        }

        #[test]
        fn a_version_of_the_calendar_is_ordered_by_its_date(
            a in (2000u64..2100, 1u64..13, 1u64..32),
            b in (2000u64..2100, 1u64..13, 1u64..32),
        ) {
            let pattern = pattern("*", Scheme::Calendar);
            let tag = |(y, m, d): (u64, u64, u64)| format!("{y}.{m}.{d}");
            prop_assert_eq!(pattern.compare(&tag(a), &tag(b)), Some(a.cmp(&b)));
        }
    }
}
