//! Programs that people put into directories, to be run in the order of their names.
//!
//! ```text
//! /usr/lib/reroot/health.d/required/   of the image
//! /etc/reroot/health.d/required/       of the machine: a file takes the place of the image's of the same name, a link to
//!                                      /dev/null or an empty file that is not executable takes it away
//! ```
//!
//! A file that is neither executable nor empty is none of both, and is told of: whoever forgot the mode did not want less.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::AtFlags;

use super::limited;
use crate::env::Env;
use crate::fsx::{self, Dir, FileType};
use crate::names::printable;
use crate::ops::{Error, Result};

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

impl Program {
    /// Runs it to its end with [`Env::vars`] and `extra` as its environment; an error says in a few words why it did not end
    /// well. `tell` gets each line that it prints.
    pub fn run(
        &self,
        env: &Env,
        extra: &[(&str, &str)],
        limit: Duration,
        tell: impl FnMut(&str),
    ) -> Result<(), String> {
        let mut command = match self.by_shell {
            true => Command::new("bash"),
            false => Command::new(&self.path),
        };
        if self.by_shell {
            // As greenboot: a redirection must not overwrite a file by accident.
            command.arg("-C").arg(&self.path);
        }
        command.env_clear().envs(&env.vars).envs(extra.iter().copied());
        let mut lines = limited::Lines::new(tell);
        let ended = limited::run(command, limit, |chunk| lines.take(chunk));
        lines.end();
        ended
    }
}

/// The programs of several directories, of which a later one replaces and masks the files of an earlier one; they are looked
/// for below [`Env::config_root`].
pub fn overridden(directories: impl IntoIterator<Item = String>, env: &Env) -> Result<Found> {
    let mut found = Found::default();
    let mut by_name: BTreeMap<Vec<u8>, Option<Program>> = BTreeMap::new();
    for directory in directories {
        for file in list(env, &directory)? {
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

/// A file in a directory.
pub struct Listed {
    pub name: Vec<u8>,
    pub program: Program,
    pub nature: Nature,
}

/// What a file is.
pub enum Nature {
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
pub fn list(env: &Env, directory: &str) -> Result<Vec<Listed>> {
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
#[expect(clippy::disallowed_methods, reason = "tests write their own programs")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_machine_replaces_and_masks_programs_of_the_image() {
        let (vendor, etc) = ("usr/lib/x.d/10-a", "etc/x.d/10-a");
        let is_not_executable = "/etc/x.d/10-a is not executable";
        for (target, content, mode, expected, warnings) in [
            (None, "x", 0o755, Some(etc), &[][..]),
            (Some("/dev/null"), "", 0, None, &[]),
            (None, "", 0o644, None, &[]),
            (Some("../../usr/lib/x.d/10-a"), "", 0, Some(etc), &[]),
            // Somebody forgot the mode: that is no reason to run less.
            (None, "x", 0o644, Some(vendor), &[is_not_executable]),
            (Some("nowhere"), "", 0, Some(vendor), &["/etc/x.d/10-a is a link that leads nowhere"]),
        ] {
            let root = tempfile::tempdir().unwrap();
            let put = |path: &str, content: &str, mode: u32| {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, content).unwrap();
                std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            };
            put(vendor, "x", 0o755);
            put("etc/x.d/.hidden", "x", 0o755);
            put("etc/x.d/10-a~", "x", 0o755);
            match target {
                Some(target) => symlink(target, root.path().join(etc)).unwrap(),
                None => put(etc, content, mode),
            }
            let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
            let found = overridden(["usr/lib/x.d", "etc/x.d"].map(String::from), &env).unwrap();
            let files: Vec<_> = found.programs.into_iter().map(|program| program.file).collect();
            let expected: Vec<_> = expected.iter().map(|path| format!("/{path}")).collect();
            assert_eq!((files, found.warnings), (expected, warnings.iter().map(|w| (*w).into()).collect()));
        }
    }

    fn ran(script: &str, by_shell: bool) -> (Result<(), String>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let mut env = Env::fixed(dir.path(), SystemTime::UNIX_EPOCH);
        env.vars.insert("PATH".into(), "/usr/bin:/bin".into());
        env.vars.insert("WORD".into(), "of ours".into());
        let program = Program { name: "c".into(), file: "/c".into(), path, by_shell };
        let mut lines = Vec::new();
        let tell = |line: &str| lines.push(line.to_owned());
        let result = program.run(&env, &[("EXTRA", "more")], Duration::from_secs(60), tell);
        (result, lines)
    }

    #[test]
    fn a_program_gets_the_variables_and_the_shell_that_it_needs() {
        let (result, lines) = ran("#!/bin/sh\necho \"$WORD $EXTRA\"; printf last", false);
        assert_eq!((result, lines), (Ok(()), vec!["of ours more".into(), "last".into()]));
        assert_eq!(ran("[[ x = x ]] && exit 4", true).0, Err("exit status 4".into()));
        let (result, _) = ran("#!/nonexistent/shell\n", false);
        assert!(result.unwrap_err().starts_with("it cannot be started: "));
    }
}
