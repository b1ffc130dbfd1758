//! Reading the files of the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Error, Result};
use super::{Config, Fragment, Merged};
use crate::env::Env;
use crate::fsx::{self, Dir, FileType};

/// From the weakest to the strongest.
const DIRECTORIES: [&str; 3] = ["usr/lib/reroot/config.d", "etc/reroot/config.d", "run/reroot/config.d"];
/// A configuration file is written by hand.
const FILE_LIMIT: u64 = 1 << 20;

/// Reads the configuration below [`Env::config_root`].
pub fn load(env: &Env) -> Result<Config> {
    let root = &env.config_root;
    let root_dir = fsx::open_dir(root).map_err(Error::io(format!("opening {}", root.display())))?;
    let mut texts: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
    for directory in DIRECTORIES {
        let path = root.join(directory);
        let Some(dir) = open(&path)? else { continue };
        for fsx::Listed { name, kind, .. } in
            fsx::list_dir(&dir).map_err(Error::io(format!("listing {}", path.display())))?
        {
            let Some(name) = String::from_utf8(name).ok().filter(|n| is_fragment(n)) else { continue };
            let file = path.join(&name).display().to_string();
            let text = match kind {
                FileType::Directory => continue,
                FileType::Symlink if is_mask(&dir, &name) => None,
                _ => Some(read(&root_dir, &format!("{directory}/{name}"), &file)?),
            };
            texts.insert(name, (file, text));
        }
    }
    let mut merged = Merged::default();
    for (file, text) in texts.into_values() {
        if let Some(text) = text {
            merged.add(Fragment::parse(&text, &file)?, &text, &file);
        }
    }
    merged.try_into()
}

/// Editors' backups and hidden files are not meant.
fn is_fragment(name: &str) -> bool {
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
fn read(root: &Dir, path: &str, file: &str) -> Result<String> {
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

    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "the test writes what people write")]
    fn load_files(files: &[(&str, &str)]) -> Result<Config, String> {
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
        load(&Env::fixed(root.path(), SystemTime::UNIX_EPOCH)).map_err(|e| e.to_string().replace(&shown, ""))
    }

    #[test]
    fn without_files_the_defaults_hold() {
        let config = load_files(&[]).unwrap();
        assert_eq!((config.retain.get(), config.reserve.percent), (3, 3));
    }

    #[test]
    fn later_names_win_key_by_key() {
        let config = load_files(&[
            ("usr/lib/reroot/config.d/10-a.toml", "retain = 2\nreserve-percent = 9\n"),
            ("etc/reroot/config.d/20-b.toml", "retain = 7\n"),
            ("run/reroot/config.d/15-c.toml", "retain = 5\n"),
            ("etc/reroot/config.d/README", "not read"),
            ("etc/reroot/config.d/99-d.toml~", "not read"),
        ]);
        let config = config.unwrap();
        assert_eq!((config.retain.get(), config.reserve.percent), (7, 9));
    }

    #[test]
    fn a_later_directory_replaces_or_masks_a_file() {
        let vendor = ("usr/lib/reroot/config.d/10-a.toml", "retain = 2\nreserve-percent = 9\n");
        let replaced = load_files(&[vendor, ("etc/reroot/config.d/10-a.toml", "retain = 4\n")]).unwrap();
        assert_eq!((replaced.retain.get(), replaced.reserve.percent), (4, 3));
        let masked = load_files(&[vendor, ("etc/reroot/config.d/10-a.toml", "-> /dev/null")]).unwrap();
        assert_eq!(masked, Config::default());
        let linked = load_files(&[
            vendor,
            ("etc/reroot/config.d/11-b.toml", "-> ../../../usr/lib/reroot/config.d/10-a.toml"),
        ]);
        assert_eq!(linked.unwrap().reserve.percent, 9);
    }

    #[test]
    fn mistakes_are_named_by_file_and_line() {
        let file = "etc/reroot/config.d/1.toml";
        for (text, expected) in [
            (
                "\nretian = 3\n",
                "/etc/reroot/config.d/1.toml:2: unknown field `retian`, expected one of `retain`, `reserve-percent`, `boot-tries`, `health-check-timeout`, `prune-after-boot`",
            ),
            ("retain = 'x'\n", "/etc/reroot/config.d/1.toml:1: invalid type: string \"x\", expected u64"),
            ("\n\nretain = 0\n", "/etc/reroot/config.d/1.toml:3: `retain` is 0, but must be 1 to 1000"),
            (
                "reserve-percent = 51",
                "/etc/reroot/config.d/1.toml:1: `reserve-percent` is 51, but must be 0 to 50",
            ),
            ("retain 3", "/etc/reroot/config.d/1.toml:1: key with no value, expected `=`"),
        ] {
            assert_eq!(load_files(&[(file, text)]).unwrap_err(), expected);
        }
        assert!(
            load_files(&[(file, "-> nowhere")])
                .unwrap_err()
                .starts_with("reading /etc/reroot/config.d/1.toml: ")
        );
    }
}
