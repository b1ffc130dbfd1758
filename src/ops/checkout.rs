//! The files of a deployment: which entries of the image's tree go where.
//!
//! ```text
//! image          deployment
//! /etc/…         usr/etc/… hardlinked (the defaults) and etc/… copied (this deployment's own)
//! /var/…         var, empty: the stateroot's /var is mounted there
//! everything else, hardlinked in its place
//! ```
//!
//! An image that keeps its defaults in `/usr/etc` already and has an empty `/etc` gets the same result. One with
//! files in both is refused: which of two files would be the default is anybody's guess.

use super::space::Needed;
use super::{Error, Result};
use crate::digest::ObjectId;
use crate::fsx::{self, Dir};
use crate::names::ImagePath;
use crate::repo::{self, CheckoutOptions, CheckoutStats, Files, Meta, Mtime, Node, Repo, Tree, TreeEntry};

/// The entries of a deployment's directory: a tree in which `usr/etc` holds the defaults, and `etc` and `var`
/// are empty directories. What [`DeploymentTree::check_out`] puts into `etc` are copies of what is in `usr/etc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentTree(Tree);

impl DeploymentTree {
    /// Moves the image's `/etc` and empties its `/var`; pure.
    pub fn new(image: &Tree) -> Result<Self> {
        let (etc, usr_etc, var) = (path("etc"), path("usr/etc"), path("var"));
        for directory in [&etc, &path("usr"), &usr_etc, &var] {
            if image.get(directory).is_some_and(|e| !e.node.is_directory()) {
                return Err(Error::incompatible(format!("the image's /{directory} is not a directory")));
            }
        }
        let defaults = match (image.below(&etc).is_empty(), image.below(&usr_etc).is_empty()) {
            (false, false) => {
                return Err(Error::incompatible(
                    "the image has files in both /etc and /usr/etc; the defaults must be in one of them",
                ));
            }
            (false, true) => &etc,
            (true, _) => &usr_etc,
        };
        let defaults_root = image.get(defaults).or(image.get(&etc));
        let (meta, mtime) = defaults_root.map_or_else(plain_directory, |e| (e.meta.clone(), e.mtime));
        let (var_meta, var_mtime) =
            image.get(&var).map_or_else(plain_directory, |e| (e.meta.clone(), e.mtime));

        let inside = |path: &ImagePath, top: &ImagePath| path == top || path.is_below(top);
        let mut entries: Vec<TreeEntry> = image
            .entries()
            .iter()
            .filter(|e| ![&etc, &usr_etc, &var].into_iter().any(|top| inside(&e.path, top)))
            .cloned()
            .collect();
        for entry in image.below(defaults) {
            let mut entry = entry.clone();
            entry.path = rebase(&entry.path, defaults, &usr_etc)?;
            entries.push(entry);
        }
        let mut directory =
            |path, meta, mtime| entries.push(TreeEntry { path, meta, mtime, node: Node::Directory });
        directory(etc, meta.clone(), mtime);
        directory(usr_etc, meta, mtime);
        directory(var, var_meta, var_mtime);
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let tree = Tree::new(entries)
            .map_err(|e| Error::incompatible(format!("the image cannot be deployed: {e}")))?;
        Ok(Self(tree))
    }

    /// The entries, sorted.
    pub fn entries(&self) -> &[TreeEntry] {
        self.0.entries()
    }

    /// What the directories, the links and the copies of `etc` take.
    pub(super) fn needed_space(&self) -> Needed {
        let mut needed = Needed::default();
        needed.add_linked(self.entries());
        needed.add_copied(self.0.below(&Self::defaults()));
        needed
    }

    /// Makes the deployment in the empty directory `dest`. Not synced.
    pub fn check_out(&self, repo: &Repo, dest: &Dir) -> Result<CheckoutStats> {
        let linked = repo.checkout(self.entries(), &ImagePath::root(), dest, &Self::linked_options())?;
        let etc = fsx::open_subdir(dest, "etc").map_err(repo::Error::io("opening etc"))?;
        let copied = repo.checkout(self.entries(), &Self::defaults(), &etc, &Self::copied_options())?;
        Ok(CheckoutStats {
            directories: linked.directories + copied.directories,
            linked: linked.linked + copied.linked,
            copied: linked.copied + copied.copied,
            copied_bytes: linked.copied_bytes + copied.copied_bytes,
            made: linked.made + copied.made,
            left_out: linked.left_out + copied.left_out,
        })
    }

    /// Where the defaults of `/etc` are.
    pub fn defaults() -> ImagePath {
        path("usr/etc")
    }

    /// How everything but `etc` is checked out.
    pub fn linked_options() -> CheckoutOptions {
        CheckoutOptions::default()
    }

    /// What of a deployment stays as it was made: `etc` is the machine's own, and `/var` is mounted over `var`.
    pub fn verified_options() -> CheckoutOptions {
        CheckoutOptions { skip: vec![path("etc"), path("var")], ..CheckoutOptions::default() }
    }

    /// The object at a path, when a file with content is there.
    pub fn object_at(&self, path: &ImagePath) -> Option<ObjectId> {
        match self.0.get(path)?.node {
            Node::File { object, .. } => Some(object),
            _ => None,
        }
    }

    /// How `etc` is checked out.
    pub fn copied_options() -> CheckoutOptions {
        CheckoutOptions { files: Files::Copy, ..CheckoutOptions::default() }
    }
}

/// `path`, which is below `from`, moved to the same place below `to`.
fn rebase(path: &ImagePath, from: &ImagePath, to: &ImagePath) -> Result<ImagePath> {
    let mut bytes = to.as_bytes().to_vec();
    bytes.extend_from_slice(&path.as_bytes()[from.as_bytes().len()..]);
    ImagePath::new(&bytes).map_err(|e| Error::incompatible(format!("the image's /etc cannot be moved: {e}")))
}

fn plain_directory() -> (Meta, Mtime) {
    (Meta { mode: 0o755, ..Meta::default() }, Mtime::default())
}

fn path(text: &'static str) -> ImagePath {
    ImagePath::new(text.as_bytes()).expect("a constant in canonical form")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let entry = |text: &&str| {
            let (path, node) = match text.strip_suffix('/') {
                Some(directory) => (directory, Node::Directory),
                None => match text.strip_suffix('@') {
                    Some(link) => (link, Node::Symlink { target: b"x"[..].into() }),
                    None => (*text, Node::Empty),
                },
            };
            let path = ImagePath::new(path.as_bytes()).unwrap();
            TreeEntry { path, meta: Meta::default(), mtime: Mtime::default(), node }
        };
        Tree::new(paths.iter().map(entry).collect()).unwrap()
    }

    fn deployed(paths: &[&str]) -> Result<Vec<String>, String> {
        let tree = DeploymentTree::new(&tree(paths)).map_err(|e| e.to_string())?;
        Ok(tree.entries().iter().map(|e| e.path.to_string()).collect())
    }

    #[test]
    fn etc_becomes_the_defaults_and_var_is_emptied() {
        let paths = deployed(&["/", "a", "etc/", "etc/b/", "etc/b/c", "usr/", "usr/lib/", "var/", "var/x"]);
        assert_eq!(
            paths.unwrap(),
            ["/", "a", "etc", "usr", "usr/etc", "usr/etc/b", "usr/etc/b/c", "usr/lib", "var"]
        );
    }

    #[test]
    fn an_image_with_usr_etc_gives_the_same_deployment() {
        let from_etc = deployed(&["/", "etc/", "etc/c", "usr/", "var/"]).unwrap();
        assert_eq!(deployed(&["/", "usr/", "usr/etc/", "usr/etc/c"]).unwrap(), from_etc);
        assert_eq!(deployed(&["/", "etc/", "usr/", "usr/etc/", "usr/etc/c"]).unwrap(), from_etc);
    }

    #[test]
    fn what_cannot_be_deployed_is_refused() {
        for (paths, expected) in [
            (&["/", "etc/", "etc/a", "usr/", "usr/etc/", "usr/etc/b"][..], "the image has files in both"),
            (&["/", "etc@", "usr/"], "the image's /etc is not a directory"),
            (&["/", "etc/", "usr/", "var@"], "the image's /var is not a directory"),
            (&["/", "etc/", "usr@"], "the image's /usr is not a directory"),
            (&["/", "etc/"], "the image cannot be deployed: malformed tree at `usr/etc`"),
        ] {
            let error = deployed(paths).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
