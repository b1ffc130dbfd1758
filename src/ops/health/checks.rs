//! Finding the checks of a machine.
//!
//! ```text
//! /usr/lib/reroot/health.d/required/   of the image; all must pass
//! /etc/reroot/health.d/required/       of the machine: a file takes the place of the image's of the same name, a link to
//!                                      /dev/null or an empty file that is not executable takes it away
//! …/health.d/wanted/                   the same, and a failure is only said
//! /{usr/lib,etc}/greenboot/check/      see [`super::greenboot`]
//! ```
//!
//! All together run in the order of their names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use serde::{Deserialize, Serialize};

use super::greenboot;
use crate::env::Env;
use crate::fsx::{self, Dir, FileType};
use crate::names::printable;
use crate::ops::{Error, Result};

/// From the weakest to the strongest.
const DIRECTORIES: [&str; 2] = ["usr/lib/reroot/health.d", "etc/reroot/health.d"];

/// What a failure of a check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// The boot has failed.
    Required,
    /// A warning.
    Wanted,
}

impl CheckKind {
    fn directory(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Wanted => "wanted",
        }
    }
}

/// A program that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Of the file.
    pub name: String,
    /// From the root, for people.
    pub file: String,
    pub path: PathBuf,
    /// Whether the shell is given the file, as greenboot does it.
    pub by_shell: bool,
}

/// The programs of one kind in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub programs: Vec<Program>,
    /// Files that are there and are not run.
    pub warnings: Vec<String>,
}

/// Looks for the checks of one kind below [`Env::config_root`].
pub fn find(kind: CheckKind, env: &Env) -> Result<Found> {
    let mut found = ours(kind, env)?;
    let theirs = greenboot::checks(kind, env)?;
    found.programs.extend(theirs.programs);
    found.warnings.extend(theirs.warnings);
    found.programs.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
    Ok(found)
}

fn ours(kind: CheckKind, env: &Env) -> Result<Found> {
    let mut found = Found::default();
    let mut by_name: BTreeMap<Vec<u8>, Option<Program>> = BTreeMap::new();
    for directory in DIRECTORIES {
        for file in list(env, &format!("{directory}/{}", kind.directory()))? {
            match file.nature {
                Nature::Executable => drop(by_name.insert(file.name, Some(file.program))),
                Nature::Empty | Nature::Mask => drop(by_name.insert(file.name, None)),
                Nature::Plain => found.warnings.push(format!("{} is not executable", file.program.file)),
                Nature::Other(what) => found.warnings.push(format!("{} is {what}", file.program.file)),
            }
        }
    }
    found.programs = by_name.into_values().flatten().collect();
    Ok(found)
}

/// A file in a directory of checks.
pub(super) struct Listed {
    pub name: Vec<u8>,
    pub program: Program,
    pub nature: Nature,
}

/// What a file is.
pub(super) enum Nature {
    Executable,
    /// Not executable.
    Plain,
    /// Not executable and without content.
    Empty,
    /// A link to `/dev/null`.
    Mask,
    Other(&'static str),
}

/// What is in a directory; nothing when it is missing. Editors' backups and hidden files are not meant.
pub(super) fn list(env: &Env, directory: &str) -> Result<Vec<Listed>> {
    let path = env.config_root.join(directory);
    let context = |what: &str| Error::io(format!("{what} /{directory}"));
    let dir = match fsx::open_dir(&path) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(context("opening")(error)),
    };
    let mut files = Vec::new();
    for fsx::Listed { name, kind, .. } in fsx::list_dir(&dir).map_err(context("listing"))? {
        if name.starts_with(b".") || name.ends_with(b"~") {
            continue;
        }
        let shown = printable(&name);
        let file = format!("/{directory}/{shown}");
        let os_name = OsStr::from_bytes(&name);
        let nature = nature(&dir, os_name, kind).map_err(Error::io(format!("looking at {file}")))?;
        let program = Program { name: shown, file, path: path.join(os_name), by_shell: false };
        files.push(Listed { name, program, nature });
    }
    Ok(files)
}

/// Links are followed, because people manage `/etc` with them.
fn nature(dir: &Dir, name: &OsStr, kind: FileType) -> io::Result<Nature> {
    let name: &Path = name.as_ref();
    if kind == FileType::Symlink && rustix::fs::readlinkat(dir, name, Vec::new())?.as_bytes() == b"/dev/null"
    {
        return Ok(Nature::Mask);
    }
    let stat = match rustix::fs::statat(dir, name, AtFlags::empty()) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => {
            return Ok(Nature::Other("a link that leads nowhere"));
        }
        Err(errno) => return Err(errno.into()),
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_mode & 0o111 != 0 => Nature::Executable,
        FileType::RegularFile if stat.st_size == 0 => Nature::Empty,
        FileType::RegularFile => Nature::Plain,
        FileType::Directory => Nature::Other("a directory"),
        _ => Nature::Other("no regular file"),
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write what people write")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::SystemTime;

    use super::*;

    /// Files as `path` (executable), `path-` (not), `path=` (empty and not), `path -> target`.
    fn found(kind: CheckKind, files: &[&str]) -> (Vec<String>, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        for text in files {
            let (path, target) = text.split_once(" -> ").map_or((*text, None), |(p, t)| (p, Some(t)));
            let file = root.path().join(path.trim_end_matches(['-', '=']));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            if let Some(target) = target {
                symlink(target, file).unwrap();
                continue;
            }
            std::fs::write(&file, if path.ends_with('=') { "" } else { "x" }).unwrap();
            let mode = if path.ends_with(['-', '=']) { 0o644 } else { 0o755 };
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        }
        let found = find(kind, &Env::fixed(root.path(), SystemTime::UNIX_EPOCH)).unwrap();
        let shell = |p: Program| format!("{}{}", if p.by_shell { "bash " } else { "" }, p.file);
        (found.programs.into_iter().map(shell).collect(), found.warnings)
    }

    #[test]
    fn checks_of_all_directories_run_in_the_order_of_their_names() {
        let files = [
            "usr/lib/reroot/health.d/required/50-web",
            "etc/reroot/health.d/required/10-disk",
            "etc/greenboot/check/required.d/30-dns.sh-",
            "usr/lib/greenboot/check/required.d/20-clock",
            "usr/lib/reroot/health.d/wanted/60-mail",
            "etc/greenboot/check/wanted.d/05-x",
            "etc/reroot/health.d/required/.hidden",
            "etc/reroot/health.d/required/10-disk~",
        ];
        let (required, warnings) = found(CheckKind::Required, &files);
        assert_eq!(
            required,
            [
                "/etc/reroot/health.d/required/10-disk",
                "/usr/lib/greenboot/check/required.d/20-clock",
                "bash /etc/greenboot/check/required.d/30-dns.sh",
                "/usr/lib/reroot/health.d/required/50-web",
            ]
        );
        assert_eq!(warnings, [""; 0]);
        let (wanted, _) = found(CheckKind::Wanted, &files);
        assert_eq!(wanted, ["/etc/greenboot/check/wanted.d/05-x", "/usr/lib/reroot/health.d/wanted/60-mail"]);
        assert_eq!(found(CheckKind::Required, &[]), (vec![], vec![]));
    }

    #[test]
    fn the_machine_replaces_and_masks_checks_of_the_image() {
        let vendor = "usr/lib/reroot/health.d/required/10-a";
        let etc = "etc/reroot/health.d/required/10-a";
        for (file, expected) in [
            (etc.to_owned(), Some(etc)),
            (format!("{etc} -> /dev/null"), None),
            (format!("{etc}="), None),
            (format!("{etc} -> ../../../../{vendor}"), Some(etc)),
            // Somebody forgot the mode: that is no reason to check less.
            (format!("{etc}-"), Some(vendor)),
            (format!("{etc} -> nowhere"), Some(vendor)),
        ] {
            let (programs, _) = found(CheckKind::Required, &[vendor, &file]);
            let expected: Vec<_> = expected.iter().map(|path| format!("/{path}")).collect();
            assert_eq!(programs, expected, "{file}");
        }
    }

    #[test]
    fn what_is_not_run_is_said() {
        let (programs, warnings) = found(
            CheckKind::Wanted,
            &[
                "etc/reroot/health.d/wanted/README-",
                "etc/reroot/health.d/wanted/d/x",
                "etc/reroot/health.d/wanted/l -> nowhere",
                "etc/greenboot/check/wanted.d/README-",
            ],
        );
        assert_eq!(programs, [""; 0]);
        assert_eq!(
            warnings,
            [
                "/etc/reroot/health.d/wanted/README is not executable",
                "/etc/reroot/health.d/wanted/d is a directory",
                "/etc/reroot/health.d/wanted/l is a link that leads nowhere",
                "/etc/greenboot/check/wanted.d/README is not executable",
            ]
        );
    }
}
