//! Everything that is below a directory, for comparing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Path to type, owner, mode, size, time and content.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, String>);

impl Contents {
    pub fn read(root: &Path) -> Result<Self> {
        Self::read_with(root, None, describe)
    }

    /// Without what is below the directory `but`.
    pub fn read_but(root: &Path, but: &str) -> Result<Self> {
        Self::read_with(root, Some(but), describe)
    }

    /// Without times: what people have written has that of the day.
    pub fn read_untimed(root: &Path) -> Result<Self> {
        Self::read_with(root, None, describe_untimed)
    }

    fn read_with(root: &Path, but: Option<&str>, describe: fn(&Path) -> Result<String>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(directory) = pending.pop() {
            let path = root.join(&directory);
            for entry in fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))? {
                let name = directory.join(entry?.file_name());
                let path = root.join(&name);
                if but.is_some_and(|but| name == Path::new(but)) {
                    continue;
                }
                if fs::symlink_metadata(&path)?.is_dir() {
                    pending.push(name.clone());
                }
                let described = describe(&path).with_context(|| format!("reading {}", path.display()))?;
                entries.insert(name, described);
            }
        }
        Ok(Self(entries))
    }

    /// Fails with the first path that is not the same in `found`.
    pub fn require(&self, found: &Self) -> Result<()> {
        for path in self.0.keys().chain(found.0.keys()) {
            match (self.0.get(path), found.0.get(path)) {
                (Some(wanted), Some(found)) if wanted == found => {}
                (Some(wanted), Some(found)) => bail!("{} is {found}, not {wanted}", path.display()),
                (Some(_), None) => bail!("{} is missing", path.display()),
                (None, _) => bail!("{} should not be there", path.display()),
            }
        }
        Ok(())
    }
}

fn describe(path: &Path) -> Result<String> {
    let meta = fs::symlink_metadata(path)?;
    Ok(format!("{} {}.{:09}", describe_untimed(path)?, meta.mtime(), meta.mtime_nsec()))
}

fn describe_untimed(path: &Path) -> Result<String> {
    let meta = fs::symlink_metadata(path)?;
    let content = if meta.is_file() {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::new();
        fs::File::open(path)?.read_to_end(&mut bytes)?;
        hasher.update(&bytes);
        format!("{} bytes {}", bytes.len(), hasher.finalize().to_hex())
    } else if meta.is_symlink() {
        format!("-> {}", fs::read_link(path)?.display())
    } else {
        String::new()
    };
    let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
    Ok(format!("{mode:o} {uid}:{gid} {content}"))
}
