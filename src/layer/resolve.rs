//! Finding a path in a root file system as a process in it would: following symbolic links, never leaving.

use crate::names::ImagePath;
use crate::repo::{Node, Tree, TreeEntry};

const MAX_LINKS: usize = 40;

/// The entry that a path leads to; `None` when nothing is there or the links go in circles. As for the kernel,
/// `..` in the root directory is the root directory.
pub fn resolve<'t>(tree: &'t Tree, path: &ImagePath) -> Option<&'t TreeEntry> {
    let mut here = ImagePath::root();
    let mut rest: Vec<Box<[u8]>> = path.components().map(Box::from).collect();
    rest.reverse();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        match &*name {
            b"" | b"." => continue,
            b".." => {
                here = here.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        if !tree.get(&here)?.node.is_directory() {
            return None;
        }
        let next = here.join(&name).ok()?;
        if let Node::Symlink { target } = &tree.get(&next)?.node {
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if target.starts_with(b"/") {
                here = ImagePath::root();
            }
            rest.extend(target.split(|b| *b == b'/').rev().map(Box::from));
        } else {
            here = next;
        }
    }
    tree.get(&here)
}
