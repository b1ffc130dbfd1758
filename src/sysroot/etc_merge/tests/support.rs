//! Three trees in a temporary directory, written and compared in a few lines.
//!
//! A tree is a text with one path a word: `a=text` a file, `b/` a directory, `l->target` a link, `p|` a pipe; `:750`
//! behind it is the mode. Parents are made as they are needed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType as Kind, Mode};

use super::super::*;
use crate::fsx;

pub struct Etc {
    temp: tempfile::TempDir,
    pub options: Options,
}

/// How a merge ended: the tree as [`shown_tree`] prints it, and the report.
pub type Merged = Result<(String, EtcMergeReport), String>;

impl Etc {
    pub fn new(base: &str, local: &str, new: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in [("base", base), ("local", local), ("new", new)] {
            write(&temp.path().join(name), text);
        }
        Self { temp, options: Options::default() }
    }

    pub fn strategy(mut self, strategy: EtcStrategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// `path strategy` a line.
    pub fn rules(mut self, lines: &[&str]) -> Self {
        let rule = |line: &&str| {
            let (path, strategy) = line.split_once(' ').unwrap();
            format!("[[rule]]\npath = '{path}'\nstrategy = '{strategy}'\n")
        };
        let text: String = lines.iter().map(rule).collect();
        self.options.rules = Rules::parse(&text, "rules").unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Merges into `merged`, with `between` called after the decision.
    pub fn merge_with(&self, between: impl FnOnce()) -> Merged {
        self.merge_of(["base", "local", "new", "merged"], between)
    }

    pub fn merge_of(&self, [base, local, new, merged]: [&str; 4], between: impl FnOnce()) -> Merged {
        let open = |name: &str| fsx::open_dir(&self.path(name)).unwrap();
        fs::create_dir(self.path(merged)).unwrap();
        let (base, local, new, dest) = (open(base), open(local), open(new), open(merged));
        let trees = Trees::new(Some(Live { defaults: &base, etc: &local }), &new);
        let merge = plan(trees, &self.options).map_err(|e| e.to_string())?;
        between();
        let report = merge.apply(&dest).map_err(|e| e.to_string())?;
        Ok((shown_tree(&self.path(merged)), report))
    }

    #[track_caller]
    pub fn merge(&self) -> (String, EtcMergeReport) {
        self.merge_with(|| ()).unwrap()
    }

    /// The paths and reasons of the conflicts that stop the merge.
    #[track_caller]
    pub fn conflicts(&self) -> Vec<String> {
        let open = |name: &str| fsx::open_dir(&self.path(name)).unwrap();
        let (base, local, new) = (open("base"), open("local"), open("new"));
        let trees = Trees::new(Some(Live { defaults: &base, etc: &local }), &new);
        match plan(trees, &self.options).unwrap().conflicts() {
            Err(crate::sysroot::Error::EtcConflicts(Conflicts(list))) => {
                list.into_iter().map(|c| format!("{}: {}", c.path, c.reason)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn drift(&self) -> String {
        let (base, local) = (self.path("base"), self.path("local"));
        let (base, local) = (fsx::open_dir(&base).unwrap(), fsx::open_dir(&local).unwrap());
        let live = Live { defaults: &base, etc: &local };
        let found = drift(live).unwrap();
        assert_eq!(count(live).unwrap(), found.changes.len() as u64);
        let line = |c: &Change| {
            let what: Vec<_> = c.what.names().collect();
            format!("{} {} {}", c.kind.letter(), c.path, what.join("+")).trim_end().to_string()
        };
        found.changes.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Makes a tree; see the module.
pub fn write(dir: &Path, text: &str) {
    fs::create_dir_all(dir).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let mut modes = BTreeMap::new();
    for word in text.split_whitespace() {
        let (word, mode) = match word.rsplit_once(':') {
            Some((word, mode)) => (word, Some(u32::from_str_radix(mode, 8).unwrap())),
            None => (word, None),
        };
        let end = word.find(['=', '|']).or(word.find("->")).unwrap_or(word.len());
        let path = dir.join(&word[..end]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match &word[end..] {
            "" => fs::create_dir_all(&path).unwrap(),
            "|" => {
                let parent = fsx::open_dir(path.parent().unwrap()).unwrap();
                let name = path.file_name().unwrap();
                rustix::fs::mknodat(&parent, name, Kind::Fifo, Mode::RUSR, 0).unwrap();
            }
            rest => match rest.strip_prefix("->") {
                Some(target) => symlink(target, &path).unwrap(),
                None => fs::write(&path, &rest[1..]).unwrap(),
            },
        }
        if let Some(mode) = mode {
            modes.insert(path, mode);
        }
    }
    // Parents as they would be made by mkdir(1), whatever the umask of the test; then what was asked for.
    each(dir, &mut |path, meta| {
        if !meta.is_symlink() {
            let default = if meta.is_dir() { 0o755 } else { 0o644 };
            let mode = modes.get(path).copied().unwrap_or(default);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    });
}

/// Calls `act` with everything below a directory, in order.
fn each(dir: &Path, act: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let meta = fs::symlink_metadata(&path).unwrap();
        act(&path, &meta);
        if meta.is_dir() {
            each(&path, act);
        }
    }
}

/// A tree in the words of [`write`], with modes that are not the usual ones; directories that have something in them
/// only when their mode is unusual.
pub fn shown_tree(dir: &Path) -> String {
    let mut words = Vec::new();
    let top = fs::metadata(dir).unwrap().permissions().mode() & 0o7777;
    if top != 0o755 {
        words.push(format!("/:{top:o}"));
    }
    each(dir, &mut |path, meta| {
        let name = printable_path(path.strip_prefix(dir).unwrap());
        let mode = meta.permissions().mode() & 0o7777;
        let kind = meta.file_type();
        let usual = if kind.is_dir() { 0o755 } else { 0o644 };
        let suffix = if mode == usual { String::new() } else { format!(":{mode:o}") };
        if kind.is_symlink() {
            words.push(format!("{name}->{}", fs::read_link(path).unwrap().display()));
        } else if kind.is_dir() {
            if fs::read_dir(path).unwrap().next().is_none() || mode != usual {
                words.push(format!("{name}/{suffix}"));
            }
        } else if kind.is_file() {
            words.push(format!("{name}={}{suffix}", fs::read_to_string(path).unwrap()));
        } else if kind.is_fifo() {
            words.push(format!("{name}|{suffix}"));
        } else {
            words.push(format!("{name}?"));
        }
    });
    words.join(" ")
}

/// Everything there is to know about a tree, times too.
pub fn facts(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut act = |path: &Path, meta: &fs::Metadata| {
        let name = printable_path(path.strip_prefix(dir).unwrap());
        let content = match meta.is_file() {
            true => fs::read(path).unwrap(),
            false => fs::read_link(path).map(|t| t.as_os_str().as_bytes().to_vec()).unwrap_or_default(),
        };
        let parent = fsx::open_dir(path.parent().unwrap()).unwrap();
        let file = std::ffi::CString::new(path.file_name().unwrap().as_bytes()).unwrap();
        let xattrs = fsx::xattr::read_all_at(std::os::fd::AsFd::as_fd(&parent), &file).unwrap();
        lines.push(format!(
            "{name} {:o} {}:{} {}.{:09} {content:?} {xattrs:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        ));
    };
    act(dir, &fs::metadata(dir).unwrap());
    each(dir, &mut act);
    lines[0] = lines[0].split_once(' ').unwrap().1.to_string();
    lines
}

fn printable_path(path: &Path) -> String {
    crate::names::printable(path.as_os_str().as_bytes())
}

/// `kept local` and `took new` paths.
pub fn both_changed(report: &EtcMergeReport) -> String {
    let line = |one: &BothChanged| {
        let sign = if one.resolution == Resolution::KeptLocal { "local" } else { "new" };
        format!("{}:{sign}", one.path.strip_prefix("/etc/").unwrap_or(&one.path))
    };
    report.both_changed.list.iter().map(line).collect::<Vec<_>>().join(" ")
}

pub fn names(list: &Capped<String>) -> String {
    let name = |path: &String| path.strip_prefix("/etc/").unwrap_or(path).to_string();
    list.list.iter().map(name).collect::<Vec<_>>().join(" ")
}
