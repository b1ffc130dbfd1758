//! Configuration that is spread over files: `<kind>/*.toml` below `/usr/lib/reroot`, `/etc/reroot` and `/run/reroot`.
//!
//! Of two files of one name only that of the later directory is read, and a link to `/dev/null` takes the file of an earlier
//! directory away. The files that are left are read in the order of their names; whoever reads them lets the last one win, key
//! by key. What a value means is not known here, only where it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;

use super::{Error, Result};
use crate::env::Env;
use crate::fsx::{self, Dir, FileType};
use crate::sysroot::line_of;

/// From the weakest to the strongest.
const DIRECTORIES: [&str; 3] = ["usr/lib/reroot", "etc/reroot", "run/reroot"];
/// A configuration file is written by hand.
const FILE_LIMIT: u64 = 1 << 20;

/// A file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// Its path, for people.
    pub file: String,
    pub text: String,
}

/// A value and where it was written, `file:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    pub value: T,
    pub place: String,
}

/// Reads the files of a kind (`config.d`) below [`Env::config_root`], in the order in which they count.
pub fn read(kind: &str, env: &Env) -> Result<Vec<DropIn>> {
    let root = &env.config_root;
    let root_dir = fsx::open_dir(root).map_err(Error::io(format!("opening {}", root.display())))?;
    let mut files: BTreeMap<String, Option<DropIn>> = BTreeMap::new();
    for directory in DIRECTORIES.map(|directory| format!("{directory}/{kind}")) {
        let path = root.join(&directory);
        let Some(dir) = open(&path)? else { continue };
        for fsx::Listed { name, kind, .. } in
            fsx::list_dir(&dir).map_err(Error::io(format!("listing {}", path.display())))?
        {
            let Some(name) = String::from_utf8(name).ok().filter(|n| is_meant(n)) else { continue };
            let file = path.join(&name).display().to_string();
            let found = match kind {
                FileType::Directory => continue,
                FileType::Symlink if is_mask(&dir, &name) => None,
                _ => Some(DropIn { text: text(&root_dir, &format!("{directory}/{name}"), &file)?, file }),
            };
            files.insert(name, found);
        }
    }
    Ok(files.into_values().flatten().collect())
}

impl DropIn {
    /// What the file says; an error gives the line.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(&self.text).map_err(|error| {
            let line = line_of(&self.text, error.span());
            Error::invalid(format!("{}:{line}: {}", self.file, error.message()))
        })
    }

    /// A value with its place in this file.
    pub fn place<T>(&self, value: Spanned<T>) -> Placed<T> {
        let place = format!("{}:{}", self.file, line_of(&self.text, Some(value.span())));
        Placed { place, value: value.into_inner() }
    }
}

impl<T: fmt::Display> Placed<T> {
    /// The error of a value that cannot be; `allowed` follows "must be".
    pub fn refuse(&self, key: &str, allowed: impl fmt::Display) -> Error {
        let Self { value, place } = self;
        Error::invalid(format!("{place}: `{key}` is {value}, but must be {allowed}"))
    }
}

impl Placed<u64> {
    /// The value, when it lies within a range.
    pub fn within(self, key: &str, range: RangeInclusive<u64>) -> Result<u64> {
        match range.contains(&self.value) {
            true => Ok(self.value),
            false => Err(self.refuse(key, format_args!("{} to {}", range.start(), range.end()))),
        }
    }
}

/// Editors' backups and hidden files are not meant.
fn is_meant(name: &str) -> bool {
    name.ends_with(".toml") && !name.starts_with('.')
}

fn open(path: &Path) -> Result<Option<Dir>> {
    match fsx::open_dir(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening {}", path.display()))(error)),
    }
}

/// A link to `/dev/null`.
fn is_mask(dir: &Dir, name: &str) -> bool {
    rustix::fs::readlinkat(dir, name, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/dev/null")
}

/// The text of a file. Links are followed, because people manage `/etc` with them; they stay below the root.
fn text(root: &Dir, path: &str, file: &str) -> Result<String> {
    let bytes = fsx::read_in_root(root, path.as_bytes(), FILE_LIMIT)
        .and_then(|bytes| bytes.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .map_err(Error::io(format!("reading {file}")))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{file}: not UTF-8")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    /// The names and texts of the files that count; a text `-> target` makes a link.
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "the test writes what people write")]
    fn read_files(files: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        let shown = root.path().display().to_string();
        match read("x.d", &Env::fixed(root.path(), SystemTime::UNIX_EPOCH)) {
            Ok(files) => Ok(files.into_iter().map(|f| (f.file.replace(&shown, ""), f.text)).collect()),
            Err(error) => Err(error.to_string().replace(&shown, "")),
        }
    }

    fn texts(files: &[(&str, &str)]) -> Vec<String> {
        read_files(files).unwrap().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn files_of_all_directories_come_in_the_order_of_their_names() {
        let files = read_files(&[
            ("usr/lib/reroot/x.d/10-a.toml", "a"),
            ("etc/reroot/x.d/20-b.toml", "b"),
            ("run/reroot/x.d/15-c.toml", "c"),
            ("etc/reroot/x.d/README", "not read"),
            ("etc/reroot/x.d/.30.toml", "not read"),
            ("etc/reroot/x.d/99-d.toml~", "not read"),
            ("etc/reroot/x.d/40.toml/inside", "not read"),
            ("etc/reroot/y.d/50.toml", "another kind"),
        ]);
        let expected = [
            ("/usr/lib/reroot/x.d/10-a.toml", "a"),
            ("/run/reroot/x.d/15-c.toml", "c"),
            ("/etc/reroot/x.d/20-b.toml", "b"),
        ];
        assert_eq!(files.unwrap(), expected.map(|(file, text)| (file.into(), text.into())));
        assert_eq!(texts(&[]), [""; 0]);
    }

    #[test]
    fn a_later_directory_replaces_or_masks_a_file() {
        let (vendor, etc) = (("usr/lib/reroot/x.d/1.toml", "vendor"), "etc/reroot/x.d/1.toml");
        assert_eq!(texts(&[vendor, (etc, "local")]), ["local"]);
        assert_eq!(texts(&[vendor, (etc, "-> /dev/null")]), [""; 0]);
        let linked = ("etc/reroot/x.d/2.toml", "-> ../../../usr/lib/reroot/x.d/1.toml");
        assert_eq!(texts(&[vendor, linked]), ["vendor", "vendor"]);
        let unmasked = ("run/reroot/x.d/1.toml", "again");
        assert_eq!(texts(&[vendor, (etc, "-> /dev/null"), unmasked]), ["again"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = read_files(&[("etc/reroot/x.d/1.toml", "-> nowhere")]).unwrap_err();
        assert!(error.starts_with("reading /etc/reroot/x.d/1.toml: "), "{error}");
        assert!(read_files(&[("etc/reroot/x.d", "no directory")]).is_err());
    }
}
