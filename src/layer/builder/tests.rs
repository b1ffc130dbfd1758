use super::*;
use crate::digest::ObjectId;
use crate::repo::{Meta, Mtime};

fn path(text: &str) -> ImagePath {
    ImagePath::new(text.as_bytes()).unwrap()
}

/// Entries in archive order: `dir/`, `file=7`, `link->target`, `hard=>target`, `-gone`, `opaque!`.
/// The result in the same words, opaque directories last.
fn built(entries: &[&str]) -> Result<Vec<String>> {
    let set = |node| Change::Set { meta: Meta::default(), mtime: Mtime::default(), node };
    let mut builder = Builder::default();
    for entry in entries {
        if let Some(directory) = entry.strip_suffix('!') {
            builder.opaque(path(directory))?;
        } else if let Some((name, target)) = entry.split_once("=>") {
            builder.hardlink(path(name), path(target))?;
        } else if let Some((name, target)) = entry.split_once("->") {
            builder.set(path(name), set(Node::Symlink { target: target.as_bytes().into() }))?;
        } else if let Some(gone) = entry.strip_prefix('-') {
            builder.whiteout(path(gone))?;
        } else if let Some((name, id)) = entry.split_once('=') {
            let object = ObjectId([id.parse().unwrap(); 32]);
            builder.set(path(name), set(Node::File { object, size: 1 }))?;
        } else {
            builder.set(path(entry.trim_end_matches('/')), set(Node::Directory))?;
        }
    }
    let layer = builder.finish()?;
    let changes = layer.changes.iter().map(|(path, change)| match change {
        Change::Whiteout => format!("-{path}"),
        Change::Hardlink { target } => format!("{path}=>{target}"),
        Change::Set { node: Node::Directory, .. } => format!("{path}/"),
        Change::Set { node: Node::File { object, .. }, .. } => format!("{path}={}", object.0[0]),
        Change::Set { node: Node::Symlink { target }, .. } => {
            format!("{path}->{}", String::from_utf8_lossy(target))
        }
        other => format!("{path} {other:?}"),
    });
    Ok(changes.chain(layer.opaque.iter().map(|p| format!("{p}!"))).collect())
}

#[test]
fn the_later_entry_wins_within_a_layer() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("a file twice", &["a=1", "a=2"], &["a=2"]),
        ("a directory again keeps its content", &["a/", "a/x=1", "a/"], &["a/", "a/x=1"]),
        ("a file over a directory", &["a/", "a/x=1", "a/y!", "a=2"], &["a=2"]),
        ("its neighbours stay", &["a/x=1", "a-b=1", "b=1", "a=2"], &["a=2", "a-b=1", "b=1"]),
        ("a link over a directory", &["a/", "a/x=1", "a->b"], &["a->b"]),
        ("below a link", &["a->b", "a/x=1"], &["a->b", "a/x=1"]),
        ("a directory over a file, then below it", &["a=1", "a/", "a/x=1"], &["a/", "a/x=1", "a!"]),
        ("parents may come late or never", &["a/b/x=1", "a/"], &["a/", "a/b/x=1"]),
        ("a hard link takes what is there", &["a=1", "b=>a", "a=2"], &["a=2", "b=1"]),
        ("through hard links", &["a=1", "b=>a", "c=>b"], &["a=1", "b=1", "c=1"]),
        ("to a link", &["a->x", "b=>a"], &["a->x", "b->x"]),
        ("from below", &["b=>a", "c=>b"], &["b=>a", "c=>a"]),
        ("from below although it comes later", &["b=>a", "a=1"], &["a=1", "b=>a"]),
        ("from below although it is deleted", &["-a", "b=>a"], &["-a", "b=>a"]),
        ("to itself", &["a=1", "a=>a", "b=>b"], &["a=1", "b=>b"]),
    ];
    for (name, entries, expected) in cases {
        assert_eq!(built(entries).unwrap(), *expected, "{name}");
    }
}

#[test]
fn whiteouts_spare_their_own_layer_whatever_the_order() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["-a", "a=1"], &["a=1"]),
        (&["a=1", "-a"], &["a=1"]),
        (&["-a", "a/"], &["a/", "a!"]),
        (&["a/", "-a"], &["a/", "a!"]),
        (&["-a", "a/x=1"], &["-a", "a/x=1"]),
        (&["a/x=1", "-a"], &["-a", "a/x=1"]),
        (&["-a", "a/", "a=1"], &["a=1"]),
        (&["a!", "a/"], &["a/", "a!"]),
        (&["-a", "-a"], &["-a"]),
        (&["a!", "a=1"], &["a=1"]),
        (&["-a/b", "a=1"], &["a=1"]),
    ];
    for (entries, expected) in cases {
        assert_eq!(built(entries).unwrap(), *expected, "{entries:?}");
    }
}

#[test]
fn what_has_no_place_in_its_layer_is_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&["a=1", "a/x=1"], "entry `a/x`: `a` above it is not a directory"),
        (&["a=1", "a/b/c/"], "entry `a/b/c`: `a` above it is not a directory"),
        (&["a/b=1", "a/c=1", "a/b/x=1"], "entry `a/b/x`: `a/b` above it is not a directory"),
        (&["a=1", "-a/x"], "entry `a/x`: `a` above it is not a directory"),
        (&["a=1", "a/b!"], "entry `a/b`: `a` above it is not a directory"),
        (&["b=>a", "b/x=1"], "entry `b/x`: `b` above it is not a directory"),
        (&["a=1", "a!"], "entry `a`: it is marked opaque but is not a directory"),
        (&["a->b", "a!"], "entry `a`: it is marked opaque but is not a directory"),
        (&["a/", "b=>a"], "entry `b`: it is a hard link to the directory `a`"),
        (&["a/", "a=>a"], "entry `a`: it is a hard link to the directory `a`"),
        (&["a->b", "a/x=1", "a/"], "entry `a`: it replaces a symbolic link below which"),
        (&["=1"], "entry `.`: the root of the image is not a directory"),
        (&["->usr"], "entry `.`: the root of the image is not a directory"),
        (&["=>a"], "entry `.`: the root of the image is not a directory"),
        (&["a->b", "-a/x"], "entry `a/x`: it is deleted, but below the symbolic link `a` of the same layer"),
        (&["a->b", "a/l->c", "a/z/y!"], "entry `a/z/y`: it is deleted, but below the symbolic link `a`"),
    ];
    for (entries, expected) in cases {
        let error = built(entries).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{entries:?}: {error}");
    }
}
