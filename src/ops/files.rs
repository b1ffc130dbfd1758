//! Reading files of an image from its tree: links are followed inside the tree, in memory, and content comes
//! from where the tree is: the store, or a directory that was read. Nothing of the image is ever opened by its path.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use super::{Error, Result};
use crate::layer;
use crate::names::ImagePath;
use crate::repo::{Contents, Node, Tree, TreeEntry};

/// A tree and where its files can be read.
#[derive(Clone, Copy)]
pub(crate) struct View<'v> {
    pub tree: &'v Tree,
    pub contents: &'v dyn Contents,
}

/// The entry that a path leads to in the tree, links followed.
pub(crate) fn follow<'t>(tree: &'t Tree, path: &str) -> Option<&'t TreeEntry> {
    layer::resolve(tree, &ImagePath::new(path.as_bytes()).ok()?)
}

/// Opens the content of a regular file; `None` for everything else. More than `limit` bytes are an error.
pub(crate) fn open(contents: &dyn Contents, entry: &TreeEntry, limit: u64) -> Result<Option<Box<dyn Read>>> {
    match &entry.node {
        Node::File { size, .. } if *size > limit => Err(Error::incompatible(format!(
            "/{} has {size} bytes, more than the {limit} that are read",
            entry.path
        ))),
        Node::File { size, .. } => {
            let file = contents.open(entry)?;
            Ok(Some(Box::new(BufReader::with_capacity(64 << 10, file).take(*size))))
        }
        Node::Empty => Ok(Some(Box::new(std::io::empty()))),
        _ => Ok(None),
    }
}

/// The content of a regular file of at most `limit` bytes; `None` for everything else.
pub(crate) fn read(contents: &dyn Contents, entry: &TreeEntry, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(mut content) = open(contents, entry, limit)? else { return Ok(None) };
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).map_err(Error::io(format!("reading /{} of the image", entry.path)))?;
    Ok(Some(bytes))
}

/// The assignments of the image's os-release(5); empty when there is none.
pub(crate) fn os_release(contents: &dyn Contents, tree: &Tree) -> Result<BTreeMap<String, String>> {
    const LIMIT: u64 = 64 << 10;
    for path in ["etc/os-release", "usr/lib/os-release"] {
        let Some(entry) = follow(tree, path) else { continue };
        if let Some(mut content) = open(contents, entry, LIMIT)? {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(Error::io(format!("reading /{path} of the image")))?;
            return Ok(parse_os_release(&String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(BTreeMap::new())
}

/// os-release(5): shell assignments without expansion.
fn parse_os_release(text: &str) -> BTreeMap<String, String> {
    let unquote = |value: &str| {
        let inner = ['"', '\'']
            .into_iter()
            .find_map(|q| value.strip_prefix(q).and_then(|v| v.strip_suffix(q)))
            .unwrap_or(value);
        inner.chars().filter(|c| !c.is_control()).collect()
    };
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| (key.to_string(), unquote(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_unquoted() {
        let parsed = parse_os_release("# x\nID=debian\nNAME=\"A \x1bB\"\n\nV='1'\nbroken\n");
        let pairs: Vec<_> = parsed.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("ID", "debian"), ("NAME", "A B"), ("V", "1")]);
    }
}
