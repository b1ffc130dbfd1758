//! What an image says about how it wants to be installed: `/usr/lib/bootc/install/*.toml`, in the format of bootc
//! (bootc-install-config(5)), and `/usr/lib/reroot/install/*.toml`, in the same.
//!
//! ```toml
//! [install]
//! kargs = ["console=ttyS0,115200"]        # of all files together, in order
//! stateroot = "os"
//! bootloader = "systemd-boot"             # as --bootloader; bootc's "systemd" is the same
//! root-mount-spec = "LABEL=root"          # as --root-mount-spec
//! boot-mount-spec = "LABEL=boot"
//! block = ["direct"]
//! match-architectures = ["x86_64"]        # the file counts for these only
//! [install.filesystem.root]
//! type = "xfs"                            # also, weaker: root-fs-type in [install]
//! ```
//!
//! Of two files of one name that of reroot counts. The files are read in the order of their names; the later one wins, but for
//! `kargs`. In files of bootc a key that is not known here is reported and ignored; in ours it is an error.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::boot::kargs_d;
use crate::fsx;
use crate::names::printable;
use crate::ops::{Error, Result, files};
use crate::repo::{Tree, TreeEntry};
use crate::sysroot::line_of;

/// In the image, the weaker first.
pub const DIRECTORIES: [&str; 2] = ["usr/lib/bootc/install", "usr/lib/reroot/install"];
/// Bytes of a file; it is written by hand.
pub const LARGEST_FILE: u64 = 64 << 10;
/// bootc's keys that say how bootc works, and mean nothing here.
const ONLY_BOOTC: [&str; 3] = ["ostree", "bootupd", "discoverable-partitions"];

/// A value and the file that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub file: String,
}

/// All files together. Values are as they are written: what is not used need not make sense.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    pub root_filesystem: Option<Sourced<String>>,
    pub block: Option<Sourced<Vec<String>>>,
    pub kernel_arguments: Vec<Sourced<String>>,
    pub stateroot: Option<Sourced<String>>,
    pub root_mount_spec: Option<Sourced<String>>,
    pub boot_mount_spec: Option<Sourced<String>>,
    pub bootloader: Option<Sourced<String>>,
    /// What was ignored, for people.
    pub warnings: Vec<String>,
}

impl Configuration {
    /// Reads the files of an image; `read` gives the content of an entry that is a file.
    pub fn of_tree(
        tree: &Tree,
        architecture: &str,
        mut read: impl FnMut(&TreeEntry) -> Result<Option<Vec<u8>>>,
    ) -> Result<Self> {
        let mut texts = Vec::new();
        for directory in DIRECTORIES {
            let Some(found) = files::follow(tree, directory) else { continue };
            let inside = tree.below(&found.path).iter();
            for entry in inside.filter(|entry| entry.path.parent().as_ref() == Some(&found.path)) {
                let name = printable(entry.path.file_name());
                if !is_fragment(&name) {
                    continue;
                }
                let entry = files::follow(tree, &entry.path.to_string()).unwrap_or(entry);
                if let Some(text) = read(entry)? {
                    texts.push((format!("/{directory}/{name}"), text));
                }
            }
        }
        Self::merge(&texts, architecture)
    }

    /// Reads the files of a root file system, without leaving it.
    pub fn of_directory(path: &Path) -> Result<Self> {
        let shown = path.display();
        let root = fsx::open_dir(path).map_err(Error::io(format!("opening {shown}")))?;
        let mut texts = Vec::new();
        for directory in DIRECTORIES {
            let error = || Error::io(format!("reading /{directory} below {shown}"));
            let Some(found) = fsx::open_in_root(&root, directory.as_bytes()).map_err(error())? else {
                continue;
            };
            let listed = fsx::list_dir(&fsx::Dir::from_std_file(found)).map_err(error())?;
            for name in listed.into_iter().filter_map(|listed| String::from_utf8(listed.name).ok()) {
                let file = format!("{directory}/{name}");
                if !is_fragment(&name) {
                    continue;
                }
                let text = fsx::read_in_root(&root, file.as_bytes(), LARGEST_FILE)
                    .map_err(Error::io(format!("reading /{file} below {shown}")))?;
                texts.extend(text.map(|text| (format!("/{file}"), text)));
            }
        }
        Self::merge(&texts, std::env::consts::ARCH)
    }

    /// Merges files, given by path and content, those of the weaker directory first.
    pub fn merge(files: &[(String, Vec<u8>)], architecture: &str) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for (path, text) in files {
            by_name.insert(path.rsplit('/').next().unwrap_or(path), (path, text));
        }
        let (mut merged, mut old_filesystem) = (Self::default(), None);
        for (path, text) in by_name.into_values() {
            let text = str::from_utf8(text)
                .map_err(|_| Error::invalid(format!("{}: not UTF-8", printable(path.as_bytes()))))?;
            File { path, text, ours: !path.contains("/bootc/") }.add_to(
                &mut merged,
                &mut old_filesystem,
                architecture,
            )?;
        }
        merged.root_filesystem = merged.root_filesystem.or(old_filesystem);
        Ok(merged)
    }
}

/// Editors' backups and hidden files are not meant.
pub fn is_fragment(name: &str) -> bool {
    name.ends_with(".toml") && !name.starts_with('.')
}

/// One file.
struct File<'a> {
    path: &'a str,
    text: &'a str,
    /// Whether a key that is not known is an error.
    ours: bool,
}

type Value<'v> = Spanned<DeValue<'v>>;

impl File<'_> {
    fn add_to(
        &self,
        merged: &mut Configuration,
        old_filesystem: &mut Option<Sourced<String>>,
        architecture: &str,
    ) -> Result<()> {
        let parsed = DeTable::parse(self.text).map_err(|e| self.error(e.span(), e.message()))?;
        let mut install = None;
        for (key, value) in parsed.get_ref() {
            match key.get_ref().as_ref() {
                "install" => install = Some(self.table(value)?),
                _ => self.unknown("", key, merged)?,
            }
        }
        let Some(install) = install else { return Ok(()) };
        // bootc's manual has one spelling, its program the other.
        for key in ["match-architectures", "match_architectures"] {
            let Some(value) = install.get(key) else { continue };
            if !self.texts(value)?.iter().any(|name| kargs_d::same_architecture(name, architecture)) {
                return Ok(());
            }
        }
        for (key, value) in install {
            let one = || self.text(value).map(|text| Some(self.sourced(text)));
            match key.get_ref().as_ref() {
                "match-architectures" | "match_architectures" => {}
                "kargs" => {
                    let arguments = self.texts(value)?;
                    merged.kernel_arguments.extend(arguments.into_iter().map(|text| self.sourced(text)));
                }
                "block" => merged.block = Some(self.sourced(self.texts(value)?)),
                "root-fs-type" => *old_filesystem = one()?,
                "stateroot" => merged.stateroot = one()?,
                "root-mount-spec" => merged.root_mount_spec = one()?,
                "boot-mount-spec" => merged.boot_mount_spec = one()?,
                "bootloader" => merged.bootloader = one()?,
                "filesystem" => self.filesystem(self.table(value)?, merged)?,
                known if !self.ours && ONLY_BOOTC.contains(&known) => {}
                _ => self.unknown("install.", key, merged)?,
            }
        }
        Ok(())
    }

    fn filesystem(&self, table: &DeTable<'_>, merged: &mut Configuration) -> Result<()> {
        for (key, value) in table {
            if key.get_ref() != "root" {
                self.unknown("install.filesystem.", key, merged)?;
                continue;
            }
            for (key, value) in self.table(value)? {
                match key.get_ref().as_ref() {
                    "type" => merged.root_filesystem = Some(self.sourced(self.text(value)?)),
                    _ => self.unknown("install.filesystem.root.", key, merged)?,
                }
            }
        }
        Ok(())
    }

    fn unknown(
        &self,
        table: &str,
        key: &Spanned<toml::de::DeString<'_>>,
        merged: &mut Configuration,
    ) -> Result<()> {
        let name = printable(format!("{table}{}", key.get_ref()).as_bytes());
        if self.ours {
            return Err(self.error(Some(key.span()), &format!("unknown key `{name}`")));
        }
        let line = line_of(self.text, Some(key.span()));
        merged.warnings.push(format!("{}:{line}: `{name}` is not known and ignored", self.shown()));
        Ok(())
    }

    fn table<'v, 'd>(&self, value: &'v Value<'d>) -> Result<&'v DeTable<'d>> {
        value.get_ref().as_table().ok_or_else(|| self.error(Some(value.span()), "expected a table"))
    }

    fn text(&self, value: &Value<'_>) -> Result<String> {
        let text =
            value.get_ref().as_str().ok_or_else(|| self.error(Some(value.span()), "expected a string"))?;
        if text.chars().any(char::is_control) {
            return Err(self.error(Some(value.span()), "the string has control characters"));
        }
        Ok(text.into())
    }

    fn texts(&self, value: &Value<'_>) -> Result<Vec<String>> {
        let array = value.get_ref().as_array();
        let array = array.ok_or_else(|| self.error(Some(value.span()), "expected an array of strings"))?;
        array.iter().map(|value| self.text(value)).collect()
    }

    fn sourced<T>(&self, value: T) -> Sourced<T> {
        Sourced { value, file: self.shown() }
    }

    fn shown(&self) -> String {
        printable(self.path.as_bytes())
    }

    fn error(&self, span: Option<std::ops::Range<usize>>, reason: &str) -> Error {
        let reason = reason.trim().replace('\n', ", ");
        Error::invalid(format!("{}:{}: {reason}", self.shown(), line_of(self.text, span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(files: &[(&str, &str)]) -> Result<Configuration, String> {
        let files: Vec<_> =
            files.iter().map(|(path, text)| (format!("/usr/lib/{path}"), text.as_bytes().to_vec())).collect();
        Configuration::merge(&files, "amd64").map_err(|e| e.to_string())
    }

    fn value(sourced: &Option<Sourced<String>>) -> Option<(&str, &str)> {
        sourced.as_ref().map(|s| (s.value.as_str(), s.file.strip_prefix("/usr/lib/").unwrap()))
    }

    #[test]
    fn the_later_file_wins_and_kernel_arguments_add_up() {
        let merged = merge(&[
            (
                "bootc/install/20-b.toml",
                "[install]\nkargs = ['b', 'c=1']\nstateroot = 'b'\nbootloader = 'grub'",
            ),
            ("bootc/install/30-c.toml", "[install.filesystem.root]\ntype = 'btrfs'"),
            ("reroot/install/10-a.toml", "[install]\nkargs = ['a']\nroot-fs-type = 'xfs'\nstateroot = 'a'"),
            ("reroot/install/30-c.toml", "install = { root-mount-spec = 'LABEL=x', boot-mount-spec = '' }"),
        ])
        .unwrap();
        assert_eq!(value(&merged.stateroot), Some(("b", "bootc/install/20-b.toml")));
        assert_eq!(value(&merged.bootloader), Some(("grub", "bootc/install/20-b.toml")));
        // reroot's file of the same name hides bootc's.
        assert_eq!(value(&merged.root_filesystem), Some(("xfs", "reroot/install/10-a.toml")));
        assert_eq!(value(&merged.root_mount_spec), Some(("LABEL=x", "reroot/install/30-c.toml")));
        assert_eq!(value(&merged.boot_mount_spec), Some(("", "reroot/install/30-c.toml")));
        let arguments: Vec<_> = merged.kernel_arguments.iter().map(|a| a.value.as_str()).collect();
        assert_eq!(arguments, ["a", "b", "c=1"]);
        assert_eq!(merge(&[]), Ok(Configuration::default()));
    }

    #[test]
    fn the_new_spelling_of_the_file_system_wins_over_the_old_one_wherever_it_is() {
        let merged = merge(&[
            ("bootc/install/1.toml", "[install.filesystem.root]\ntype = 'xfs'"),
            ("bootc/install/2.toml", "[install]\nroot-fs-type = 'ext4'"),
        ]);
        assert_eq!(value(&merged.unwrap().root_filesystem), Some(("xfs", "bootc/install/1.toml")));
    }

    #[test]
    fn a_file_for_other_architectures_does_not_count() {
        for (names, counts) in
            [("'x86_64'", true), ("'amd64', 's390x'", true), ("'aarch64'", false), ("", false)]
        {
            for key in ["match-architectures", "match_architectures"] {
                let text = format!("[install]\n{key} = [{names}]\nstateroot = 'a'");
                let merged = merge(&[("bootc/install/1.toml", &text)]).unwrap();
                assert_eq!(merged.stateroot.is_some(), counts, "{text}");
            }
        }
    }

    #[test]
    fn keys_of_later_versions_of_bootc_are_reported_and_its_own_ones_ignored() {
        let text = "other = 1\n[install]\nnew-key = 3\nostree = { bls-append-except-default = 'x' }\n\
                    bootupd.skip-boot-uuid = true\n[install.filesystem.boot]\ntype = 'x'\n";
        let merged = merge(&[("bootc/install/1.toml", text)]).unwrap();
        let expected = [
            "/usr/lib/bootc/install/1.toml:1: `other` is not known and ignored",
            "/usr/lib/bootc/install/1.toml:3: `install.new-key` is not known and ignored",
            "/usr/lib/bootc/install/1.toml:6: `install.filesystem.boot` is not known and ignored",
        ];
        let mut warnings = merged.warnings;
        warnings.sort();
        assert_eq!(warnings, expected);
    }

    #[test]
    fn mistakes_are_named_with_file_and_line() {
        for (text, expected) in [
            ("\n[instal]\n", "2: unknown key `instal`"),
            ("[install]\nostree = {}", "2: unknown key `install.ostree`"),
            ("[install]\n\nkarg = []", "3: unknown key `install.karg`"),
            ("[install]\nkargs = 'quiet'", "2: expected an array of strings"),
            ("[install]\nkargs = [1]", "2: expected a string"),
            ("[install]\nstateroot = 7", "2: expected a string"),
            ("[install]\nstateroot = \"a\\u001b[2J\"", "2: the string has control characters"),
            ("install = 1", "1: expected a table"),
            ("[install.filesystem.root]\ntype = []", "2: expected a string"),
        ] {
            let error = merge(&[("reroot/install/1.toml", text)]).unwrap_err();
            assert_eq!(error, format!("/usr/lib/reroot/install/1.toml:{expected}"), "{text}");
        }
        let error = merge(&[("bootc/install/1.toml", "[install\n")]).unwrap_err();
        assert!(error.starts_with("/usr/lib/bootc/install/1.toml:1: "), "{error}");
    }
}
