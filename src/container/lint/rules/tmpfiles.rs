//! What `systemd-tmpfiles` makes at boot (tmpfiles.d(5)), as paths.

use std::collections::BTreeSet;

use crate::container::Root;
use crate::ops::Result;

const VENDOR: &str = "usr/lib/tmpfiles.d";
/// Specifiers that are the same on every machine (tmpfiles.d(5), of the system manager).
const SPECIFIERS: [(&str, &str); 4] =
    [("%S", "/var/lib"), ("%C", "/var/cache"), ("%L", "/var/log"), ("%V", "/var/tmp")];
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
        for (_, text) in root.drop_ins(&[VENDOR, &root.etc("tmpfiles.d")], ".conf", LARGEST)? {
            made.add(&text);
        }
        Ok(made)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(kind), Some(path)) = (fields.next(), fields.next()) else { continue };
            // Those that write, set, clean or remove make nothing (`e` neither). Behind the letter are modifiers.
            if !kind.starts_with(['f', 'F', 'd', 'D', 'v', 'q', 'Q', 'p', 'L', 'c', 'b', 'C']) {
                continue;
            }
            let known = |path: String, (specifier, place): &(&str, &str)| path.replace(specifier, place);
            let path = SPECIFIERS.iter().fold(path.trim_matches('"').to_owned(), known);
            let path = path.trim_matches('/');
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
        made.add("# d /var/no\nd /var/lib/a 0755\nL+! /var/b - - - - ../x\nC /var/c - - - - /usr/share/c\nz /var/z 0700\ne /var/e\nr! /var/r\nd \"/var/q\"\nd /var/%b\nw /var/w x\nd %S/state\n");
        for path in ["var", "var/lib", "var/lib/a", "var/b", "var/c", "var/c/d/e", "var/q", "var/lib/state"] {
            assert!(made.has(path), "{path}");
        }
        for path in ["var/lib/a/b", "var/z", "var/e", "var/r", "var/no", "var/cd", "var/%b", "var/w"] {
            assert!(!made.has(path), "{path}");
        }
    }
}
