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
        // Even `.` and `..` need a directory to start from.
        if !tree.get(&here)?.node.is_directory() {
            return None;
        }
        match &*name {
            b"" | b"." => continue,
            b".." => {
                here = here.parent().unwrap_or_default();
                continue;
            }
            _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::{Meta, Mtime};

    #[test]
    fn paths_lead_where_a_process_in_the_root_would_come() {
        let path = |p: &str| ImagePath::new(p.as_bytes()).unwrap();
        let entry = |at: &str, node| TreeEntry {
            path: path(at),
            meta: Meta::default(),
            mtime: Mtime::default(),
            node,
        };
        let link = |at: &str, target: &str| entry(at, Node::Symlink { target: target.as_bytes().into() });
        let tree = Tree::new(vec![
            entry("", Node::Directory),
            link("absolute", "/usr/lib/x"),
            link("climbs", "../../usr"),
            link("dangles", "nowhere"),
            link("file-dot", "usr/lib/x/."),
            link("file-up", "usr/lib/x/../x"),
            link("lib", "usr/lib"),
            link("loop", "loop"),
            entry("usr", Node::Directory),
            entry("usr/lib", Node::Directory),
            entry("usr/lib/x", Node::Empty),
            link("usr/up", ".././lib//"),
        ])
        .unwrap();
        let found = |p: &str| resolve(&tree, &path(p)).map(|e| e.path.to_string());
        assert_eq!(found("").as_deref(), Some("/"));
        assert_eq!(found("lib/x").as_deref(), Some("usr/lib/x"));
        assert_eq!(found("absolute").as_deref(), Some("usr/lib/x"));
        assert_eq!(found("climbs/lib").as_deref(), Some("usr/lib"));
        assert_eq!(found("usr/up/x").as_deref(), Some("usr/lib/x"));
        for nothing in ["dangles", "loop", "usr/lib/x/y", "file-dot", "file-up", "gone"] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }
}
