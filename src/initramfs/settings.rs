//! `prepare-root.toml`: what of the root file system lasts until the next boot only.
//!
//! ```toml
//! [etc]
//! transient = false   # true: changes to /etc are kept in RAM, and every boot begins with the image's /etc
//! [root]
//! transient = false   # true: everything but /var (and /etc, see above) can be written, in RAM
//! ```
//!
//! Both files are those of the initramfs, since no other is trusted at this time. `/etc/reroot/prepare-root.toml` wins over
//! `/usr/lib/reroot/prepare-root.toml`, key by key.

use std::path::Path;

use serde::Deserialize;

use super::{Error, Result};
use crate::fsx;

/// Directories and what they win over: the later over the earlier.
pub const DIRECTORIES: [&str; 2] = ["/usr/lib/reroot", "/etc/reroot"];
pub const FILE: &str = "prepare-root.toml";
/// Both keys with comments fit many times.
const LIMIT: u64 = 64 << 10;

/// The deployment's own file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Root {
    #[default]
    ReadOnly,
    /// Writable, in RAM.
    Transient,
}

/// What is mounted at `/etc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Etc {
    /// The deployment's own, on disk.
    #[default]
    Own,
    /// The image's, writable in RAM.
    Transient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    pub root: Root,
    pub etc: Etc,
}

/// What one file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    #[serde(default)]
    etc: Section,
    #[serde(default)]
    root: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    transient: Option<bool>,
}

/// Reads the files that are there.
pub fn load() -> Result<Settings> {
    let mut texts = Vec::new();
    for directory in DIRECTORIES {
        let file = format!("{directory}/{FILE}");
        let read = || match fsx::open_dir(Path::new(directory)) {
            Ok(dir) => fsx::read_limited(&dir, FILE, LIMIT),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(text) = read().map_err(Error::io(format!("reading {file}")))? {
            texts.push((file, text));
        }
    }
    merge(&texts)
}

/// Parses the files, each with its name, the one that wins last.
fn merge(files: &[(String, Vec<u8>)]) -> Result<Settings> {
    let (mut root, mut etc) = (None, None);
    for (file, text) in files {
        let fragment = parse(file, text)?;
        root = fragment.root.transient.or(root);
        etc = fragment.etc.transient.or(etc);
    }
    Ok(Settings {
        root: if root == Some(true) { Root::Transient } else { Root::ReadOnly },
        etc: if etc == Some(true) { Etc::Transient } else { Etc::Own },
    })
}

fn parse(file: &str, text: &[u8]) -> Result<Fragment> {
    let error = |line, reason: String| Error::Settings { file: file.into(), line, reason };
    let text = str::from_utf8(text).map_err(|_| error(1, "not UTF-8".into()))?;
    toml::from_str(text).map_err(|e: toml::de::Error| {
        let start = e.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count() + 1;
        error(line, e.message().trim().replace('\n', ", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: &[&str]) -> Result<Settings, String> {
        let files: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(n, text)| (format!("/{n}.toml"), text.as_bytes().to_vec()))
            .collect();
        merge(&files).map_err(|e| e.to_string())
    }

    #[test]
    fn the_later_file_wins_key_by_key() {
        let expect = |root, etc| Ok(Settings { root, etc });
        assert_eq!(settings(&[]), expect(Root::ReadOnly, Etc::Own));
        assert_eq!(settings(&["", "# nothing\n"]), expect(Root::ReadOnly, Etc::Own));
        assert_eq!(settings(&["[etc]\ntransient = true"]), expect(Root::ReadOnly, Etc::Transient));
        assert_eq!(settings(&["etc.transient = true", "[etc]"]), expect(Root::ReadOnly, Etc::Transient));
        assert_eq!(
            settings(&["etc.transient = true\nroot.transient = true", "etc.transient = false"]),
            expect(Root::Transient, Etc::Own)
        );
    }

    #[test]
    fn mistakes_are_named_with_file_and_line() {
        for (text, message) in [
            ("[etc]\ntransient = 1\n", "/0.toml:2: invalid type: integer `1`, expected a boolean"),
            ("\n[ect]\n", "/0.toml:2: unknown field `ect`, expected `etc` or `root`"),
            ("[root]\n\npersistent = true\n", "/0.toml:3: unknown field `persistent`, expected `transient`"),
        ] {
            assert_eq!(settings(&[text]).unwrap_err(), message);
        }
        assert!(settings(&["[etc\n"]).unwrap_err().starts_with("/0.toml:1: "));
    }
}
