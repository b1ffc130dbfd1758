//! Reading the files of the configuration.

use super::super::{Result, drop_in};
use super::{Config, Merged};
use crate::env::Env;

/// Reads the configuration below [`Env::config_root`].
pub fn load(env: &Env) -> Result<Config> {
    let mut merged = Merged::default();
    for file in drop_in::read("config.d", env)? {
        merged.add(file.parse()?, &file);
    }
    merged.try_into()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "the test writes what people write")]
    fn load_files(files: &[(&str, &str)]) -> Result<Config, String> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
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
        ]);
        let config = config.unwrap();
        assert_eq!((config.retain.get(), config.reserve.percent), (7, 9));
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
    }
}
