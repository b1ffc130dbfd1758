//! Reading the machine's configuration of registries: files below the configuration root, and files that an
//! environment variable or the home directory names.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::env::Env;
use crate::fsx::{self, FileType};

/// Larger than any configuration file that people or tools write.
const LIMIT: u64 = 4 << 20;

/// Where a configuration file is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPath {
    /// Below [`Env::config_root`], which links inside it do not leave.
    System(PathBuf),
    /// Named by a variable or below the home directory; taken as it is.
    User(PathBuf),
}

/// A configuration file's content, and whether others than its owner can read it.
#[derive(Debug)]
pub struct HostFile {
    pub bytes: Vec<u8>,
    pub readable_by_others: bool,
}

impl HostPath {
    /// The path for messages.
    pub fn shown(&self, env: &Env) -> String {
        let path = match self {
            Self::System(path) => env.config_root.join(path),
            Self::User(path) => path.clone(),
        };
        crate::names::printable(path.as_os_str().as_bytes())
    }

    /// The path of something below this directory.
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::System(path) => Self::System(path.join(name)),
            Self::User(path) => Self::User(path.join(name)),
        }
    }

    /// The directory that the path is resolved in, and the rest of the path.
    fn open_root(&self, env: &Env) -> io::Result<(fsx::Dir, PathBuf)> {
        match self {
            Self::System(path) => Ok((fsx::open_dir(&env.config_root)?, path.clone())),
            Self::User(path) => match (path.strip_prefix("/"), path.parent(), path.file_name()) {
                (Ok(below), ..) => Ok((fsx::open_dir(Path::new("/"))?, below.into())),
                (Err(_), Some(parent), Some(name)) if parent != Path::new("") => {
                    Ok((fsx::open_dir(parent)?, name.into()))
                }
                _ => Ok((fsx::open_dir(Path::new("."))?, path.clone())),
            },
        }
    }

    /// Reads the file; `None` when it does not exist.
    pub fn read(&self, env: &Env) -> Result<Option<HostFile>> {
        self.try_read(env)
            .map_err(|source| Error::Io { context: format!("reading {}", self.shown(env)), source })
    }

    /// As [`Self::read`]; `None` as well when this user may not read it.
    pub fn read_if_permitted(&self, env: &Env) -> Result<Option<HostFile>> {
        match self.try_read(env) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::debug!("{} may not be read: passed over", self.shown(env));
                Ok(None)
            }
            other => {
                other.map_err(|source| Error::Io { context: format!("reading {}", self.shown(env)), source })
            }
        }
    }

    fn try_read(&self, env: &Env) -> io::Result<Option<HostFile>> {
        let (root, path) = match self.open_root(env) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let path = path.as_os_str().as_bytes();
        let Some(file) = fsx::open_in_root(&root, path)? else { return Ok(None) };
        let mode = file.metadata()?.permissions().mode();
        drop(file);
        let Some(bytes) = fsx::read_in_root(&root, path, LIMIT)? else { return Ok(None) };
        Ok(Some(HostFile { bytes, readable_by_others: mode & 0o044 != 0 }))
    }

    /// The files directly in this directory whose names end in `suffix`, sorted by name; `None` when there is no
    /// such directory.
    pub fn list(&self, env: &Env, suffixes: &[&str]) -> Result<Option<Vec<String>>> {
        self.try_list(env, suffixes)
            .map_err(|source| Error::Io { context: format!("reading {}", self.shown(env)), source })
    }

    fn try_list(&self, env: &Env, suffixes: &[&str]) -> io::Result<Option<Vec<String>>> {
        let directory = match self {
            Self::System(path) => env.config_root.join(path),
            Self::User(path) => path.clone(),
        };
        let dir = match fsx::open_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let names = fsx::list_dir(&dir)?
            .into_iter()
            .filter(|entry| matches!(entry.kind, FileType::RegularFile | FileType::Symlink))
            .filter_map(|entry| String::from_utf8(entry.name).ok())
            .filter(|name| !name.starts_with('.') && suffixes.iter().any(|s| name.ends_with(s)))
            .collect();
        Ok(Some(names))
    }
}
