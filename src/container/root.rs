//! A root file system to look at.

use std::io::Read;

use crate::names::ImagePath;
use crate::ops::Result;
use crate::ops::files::{self, View};
use crate::repo::{Contents, Tree, TreeEntry};

/// A tree, and where its files can be read.
pub struct Root<'c> {
    pub tree: Tree,
    contents: Box<dyn Contents + 'c>,
    /// What could not be looked at; always empty for a stored image.
    pub unread: Vec<Unread>,
    /// Where something else is mounted; always empty for a stored image.
    pub mounted: Vec<ImagePath>,
}

/// A path that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub path: ImagePath,
    pub reason: String,
}

impl<'c> Root<'c> {
    pub fn new(tree: Tree, contents: impl Contents + 'c, unread: Vec<Unread>) -> Self {
        Self { tree, contents: Box::new(contents), unread, mounted: Vec::new() }
    }

    pub fn with_mounted(self, mounted: Vec<ImagePath>) -> Self {
        Self { mounted, ..self }
    }

    pub fn contents(&self) -> &dyn Contents {
        &*self.contents
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { tree: &self.tree, contents: self.contents() }
    }

    /// The entry at a path, links not followed.
    pub fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.tree.get(&ImagePath::new(path.as_bytes()).ok()?)
    }

    /// The entry that a path leads to.
    pub fn follow(&self, path: &str) -> Option<&TreeEntry> {
        files::follow(&self.tree, path)
    }

    /// A path below the defaults of `/etc`, which are in `/usr/etc` where that is what the image has (ostree).
    pub fn etc(&self, path: &str) -> String {
        let has_other = self.get("usr/etc").is_some() && self.children("etc").next().is_none();
        format!("{}/{path}", if has_other { "usr/etc" } else { "etc" })
    }

    /// What is below a directory at any depth, the directory's own path followed.
    pub fn below(&self, path: &str) -> &[TreeEntry] {
        self.follow(path).map_or(&[], |directory| self.tree.below(&directory.path))
    }

    /// What is in a directory itself.
    pub fn children<'r>(&'r self, path: &str) -> impl Iterator<Item = &'r TreeEntry> + use<'r> {
        let directory = self.follow(path);
        let below = directory.map_or(&[][..], |directory| self.tree.below(&directory.path));
        below.iter().filter(move |entry| entry.path.parent().as_ref() == directory.map(|d| &d.path))
    }

    /// Opens a regular file; `None` for everything else.
    pub fn open(&self, entry: &TreeEntry) -> Result<Option<Box<dyn Read>>> {
        files::open(self.contents(), entry, u64::MAX)
    }

    /// The content of a regular file of at most `limit` bytes; `None` for everything else.
    pub fn read(&self, entry: &TreeEntry, limit: u64) -> Result<Option<Vec<u8>>> {
        files::read(self.contents(), entry, limit)
    }

    /// The text of the file that a path leads to, as far as it is one; nothing when there is none.
    pub fn text(&self, path: &str, limit: u64) -> Result<Option<String>> {
        let Some(entry) = self.follow(path) else { return Ok(None) };
        Ok(self.read(entry, limit)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The texts of the files `*.SUFFIX` of several directories, by name: of two of one name the one from the later directory
    /// counts, and a link to `/dev/null` takes it away, as for all drop-ins of systemd (systemd.unit(5)).
    pub fn drop_ins(
        &self,
        directories: &[&str],
        suffix: &str,
        limit: u64,
    ) -> Result<Vec<(ImagePath, String)>> {
        let mut by_name = std::collections::BTreeMap::new();
        for directory in directories {
            for entry in self.children(directory).filter(|e| e.path.file_name().ends_with(suffix.as_bytes()))
            {
                by_name.insert(entry.path.file_name(), entry);
            }
        }
        let mut texts = Vec::new();
        for entry in by_name.into_values() {
            let Some(file) = self.follow(&String::from_utf8_lossy(entry.path.as_bytes())) else { continue };
            if let Some(bytes) = self.read(file, limit)? {
                texts.push((entry.path.clone(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        Ok(texts)
    }
}
