//! What `systemd-tmpfiles` makes at boot (tmpfiles.d(5)), as paths.

use std::collections::BTreeSet;

use crate::container::Root;
use crate::ops::Result;

const DIRECTORIES: [&str; 2] = ["usr/lib/tmpfiles.d", "etc/tmpfiles.d"];
const LARGEST: u64 = 1 << 20;

/// What is made, by path without a slash in front.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// With everything above it, which is made on the way.
    exact: BTreeSet<String>,
    /// Copied with everything below (`C`).
    whole: BTreeSet<String>,
}

impl Made {
    pub(super) fn read(root: &Root<'_>) -> Result<Self> {
        let mut made = Self::default();
        for (_, text) in root.drop_ins(&DIRECTORIES, ".conf", LARGEST)? {
            made.add(&text);
        }
        Ok(made)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(kind), Some(path)) = (fields.next(), fields.next()) else { continue };
            // Those that set, clean or remove make nothing (`e` neither). Behind the letter are modifiers.
            if !kind.starts_with(['f', 'F', 'w', 'd', 'D', 'v', 'q', 'Q', 'p', 'L', 'c', 'b', 'C']) {
                continue;
            }
            let path = path.trim_matches('"').trim_start_matches('/').trim_end_matches('/');
            // systemd knows /var/run as /run.
            if path.is_empty() || path.contains('%') {
                continue;
            }
            if kind.starts_with('C') {
                self.whole.insert(path.to_owned());
            }
            for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
                self.exact.insert(path[..end].to_owned());
            }
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.exact.contains(path)
            || self
                .whole
                .iter()
                .any(|whole| path.strip_prefix(whole.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_make_something_are_known() {
        let mut made = Made::default();
        made.add("# d /var/no\nd /var/lib/a 0755\nL+! /var/b - - - - ../x\nC /var/c - - - - /usr/share/c\nz /var/z 0700\ne /var/e\nr! /var/r\nd \"/var/q\"\nd /var/%b\n");
        for path in ["var", "var/lib", "var/lib/a", "var/b", "var/c", "var/c/d/e", "var/q"] {
            assert!(made.has(path), "{path}");
        }
        for path in ["var/lib/a/b", "var/z", "var/e", "var/r", "var/no", "var/cd", "var/%b"] {
            assert!(!made.has(path), "{path}");
        }
    }
}
