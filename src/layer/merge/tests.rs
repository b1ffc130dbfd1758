use super::*;
use crate::digest::ObjectId;
use crate::repo::{Meta, Mtime};

/// `dir/`, `file=7` (object 7), `link->target`, `hard=>target`, `-gone`, `opaque!`.
fn layer(lines: &[&str]) -> Result<LayerTree> {
    let path = |p: &str| ImagePath::new(p.as_bytes()).unwrap();
    let set =
        |mode, node| Change::Set { meta: Meta { mode, ..Meta::default() }, mtime: Mtime::default(), node };
    let mut changes = BTreeMap::new();
    let mut opaque = Vec::new();
    for line in lines {
        if let Some(gone) = line.strip_prefix('-') {
            changes.insert(path(gone), Change::Whiteout);
        } else if let Some(directory) = line.strip_suffix('!') {
            opaque.push(path(directory));
        } else if let Some((name, target)) = line.split_once("=>") {
            changes.insert(path(name), Change::Hardlink { target: path(target) });
        } else if let Some((name, target)) = line.split_once("->") {
            changes.insert(path(name), set(0o777, Node::Symlink { target: target.as_bytes().into() }));
        } else if let Some((name, id)) = line.split_once('=') {
            let object = ObjectId([id.parse().unwrap(); 32]);
            changes.insert(path(name), set(0o644, Node::File { object, size: 1 }));
        } else {
            changes.insert(path(line.trim_end_matches('/')), set(0o700, Node::Directory));
        }
    }
    Ok(LayerTree { changes: changes.into_iter().collect(), opaque })
}

fn merged(layers: &[&[&str]]) -> Result<Vec<String>> {
    let tree = merge(layers.iter().map(|l| layer(l)))?;
    Ok(tree.entries()[1..]
        .iter()
        .map(|e| match &e.node {
            Node::Directory => format!("{}/", e.path),
            Node::File { object, .. } => format!("{}={}", e.path, object.0[0]),
            Node::Symlink { target } => format!("{}->{}", e.path, String::from_utf8_lossy(target)),
            other => format!("{} {other:?}", e.path),
        })
        .collect())
}

#[test]
fn layers_are_stacked_as_the_image_specification_says() {
    #[expect(clippy::type_complexity, reason = "a table: name, layers, what comes of them")]
    let cases: &[(&str, &[&[&str]], &[&str])] = &[
        ("later layers win", &[&["a=1", "b=1"], &["a=2"]], &["a=2", "b=1"]),
        ("missing parents are made", &[&["a/b/c=1"]], &["a/", "a/b/", "a/b/c=1"]),
        ("a whiteout deletes", &[&["a=1", "b=1"], &["-a"]], &["b=1"]),
        ("a whiteout deletes a directory", &[&["a/b/c=1", "b=1"], &["-a"]], &["b=1"]),
        ("a whiteout of nothing is nothing", &[&["b=1"], &["-a", "-c/d"]], &["b=1"]),
        ("a whiteout spares its own layer", &[&["a/x=1"], &["-a", "a/y=2"]], &["a/", "a/y=2"]),
        ("opaque hides the layers below", &[&["a/x=1", "a/y/z=1"], &["a!", "a/new=2"]], &["a/", "a/new=2"]),
        ("opaque keeps the directory", &[&["a/x=1"], &["a!"]], &["a/"]),
        ("opaque root", &[&["a/x=1", "b=1"], &["!", "c=2"]], &["c=2"]),
        ("a file replaces a directory", &[&["a/x=1"], &["a=2"]], &["a=2"]),
        ("a directory replaces a file", &[&["a=1"], &["a/"]], &["a/"]),
        ("a directory keeps what is in it", &[&["a/x=1"], &["a/"]], &["a/", "a/x=1"]),
        ("a directory replaces a link", &[&["u/", "a->u"], &["a/", "a/x=1"]], &["a/", "a/x=1", "u/"]),
        ("a file replaces a link", &[&["u=1", "a->u"], &["a=2"]], &["a=2", "u=1"]),
        (
            "links above are followed",
            &[&["u/l/", "l->u/l"], &["l/x=1"]],
            &["l->u/l", "u/", "u/l/", "u/l/x=1"],
        ),
        ("absolute links too", &[&["u/l/", "l->/u/l"], &["l/x=1"]], &["l->/u/l", "u/", "u/l/", "u/l/x=1"]),
        (
            "and links with dots",
            &[&["u/l/", "v/l->../u/./l"], &["v/l/x=1"]],
            &["u/", "u/l/", "u/l/x=1", "v/", "v/l->../u/./l"],
        ),
        ("whiteouts follow as well", &[&["u/x=1", "u/y=1", "l->u"], &["-l/x"]], &["l->u", "u/", "u/y=1"]),
        ("opaque follows as well", &[&["u/x=1", "l->u"], &["l!"]], &["l->u", "u/"]),
        ("a dangling link above is made whole", &[&["l->u"], &["l/x=1"]], &["l->u", "u/", "u/x=1"]),
        ("hard links reach below", &[&["a=7"], &["b=>a"]], &["a=7", "b=7"]),
        ("hard links keep what is deleted", &[&["a=7"], &["-a", "b=>a"]], &["b=7"]),
        ("hard links see the lower file", &[&["a=7"], &["a=8", "b=>a"]], &["a=8", "b=7"]),
        ("hard links to links are links", &[&["a->x"], &["b=>a"]], &["a->x", "b->x"]),
        ("hard links through links", &[&["u/x=7", "l->u"], &["b=>l/x"]], &["b=7", "l->u", "u/", "u/x=7"]),
        (
            "what a directory hides in place of a link is not what the link led to",
            &[&["u/x=1", "u/y=1", "l->u"], &["l/", "l!", "-l/x", "l/z=2"]],
            &["l/", "l/z=2", "u/", "u/x=1", "u/y=1"],
        ),
        ("a directory may replace a link that leads out", &[&["l->../.."], &["l/", "l!", "-l/x"]], &["l/"]),
        ("nor when the link is deleted", &[&["u/x=1", "l->u"], &["-l", "-l/x"]], &["u/", "u/x=1"]),
        (
            "the same file by two names of its directory",
            &[&["l->u"], &["l/d/", "l/d/x=1", "u/d/", "u/d/x=1", "u/d/y=1"]],
            &["l->u", "u/", "u/d/", "u/d/x=1", "u/d/y=1"],
        ),
        (
            "a link on the way that is set again as it was",
            &[&["l->u/m", "u/m->v", "u/v/"], &["l/x=1", "u/m->v"]],
            &["l->u/m", "u/", "u/m->v", "u/v/", "u/v/x=1"],
        ),
    ];
    for (name, layers, expected) in cases {
        assert_eq!(merged(layers).unwrap(), *expected, "{name}");
    }
}

#[test]
fn what_leaves_the_root_or_has_no_place_is_refused() {
    let cases: &[(&str, &[&[&str]], &str)] = &[
        ("escape", &[&["l->.."], &["l/x=1"]], "leads out of the image"),
        ("deep escape", &[&["a/l->../../../etc"], &["a/l/passwd=1"]], "leads out of the image"),
        ("loop", &[&["a->b", "b->a"], &["a/x=1"]], "too many symbolic links"),
        ("below a file", &[&["a=1"], &["a/x=1"]], "`a` above it is not a directory"),
        ("link to nothing", &[&["a=1"], &["b=>c"]], "does not exist"),
        ("link to a directory", &[&["a/x=1"], &["b=>a"]], "which is a directory"),
        ("link out", &[&["l->.."], &["b=>l/x"]], "where a symbolic link above it leads out of the image"),
        ("delete out", &[&["l->../.."], &["-l/x"]], "leads out of the image"),
        ("opaque out", &[&["l->/.."], &["l!"]], "leads out of the image"),
        ("two files in one place", &[&["l->u"], &["l/x=1", "u/x=2"]], "where `u/x` of the same layer is too"),
        (
            "two files in one place by two links",
            &[&["k->u", "l->u"], &["k/x=1", "l/x=2"]],
            "where `k/x` of the same layer is too",
        ),
        (
            "a link on the way is replaced",
            &[&["l->m", "m->u"], &["l/x=1", "m->v"]],
            "link `m` on the way is replaced",
        ),
        ("what came through a link is replaced", &[&["l->u"], &["l/d/x=1", "u/d=2"]], "directory of `l/d/x`"),
        (
            "link to a new file by another name",
            &[&["l->u", "u/x=1"], &["b=>l/x", "u/x=2"]],
            "another file of the",
        ),
    ];
    for (name, layers, expected) in cases {
        let error = merged(layers).unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("layer 2, "), "{name}: {error}");
    }
}

#[test]
fn a_path_that_links_make_too_long_is_refused() {
    let deep = |n: usize| vec!["d"; n].join("/");
    let error = |first: &str, second: &str| merged(&[&[first], &[second]]).unwrap_err().to_string();
    let target = format!("{}/l->{}", deep(1000), deep(2040));
    let error_of_directory = error(&target, &format!("{}/l/y/x=1", deep(1000)));
    assert!(error_of_directory.contains("longer than 4095 bytes"), "{error_of_directory}");
    let name = "n".repeat(30);
    let error_of_entry = error(&format!("l->{}", deep(2040)), &format!("l/{name}=1"));
    assert!(error_of_entry.contains("longer than 4095 bytes"), "{error_of_entry}");
}

#[test]
fn the_deepest_paths_fit_a_small_stack() {
    let merge_deep = || {
        let deep = vec!["d"; 2047].join("/");
        let kept = merged(&[&[&format!("{deep}=1")]]).unwrap().len();
        let gone = merged(&[&[&format!("{deep}=1")], &["-d"]]).unwrap().len();
        let replaced = merged(&[&[&format!("{deep}=1")], &["d=1"]]).unwrap().len();
        (kept, gone, replaced)
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(merge_deep).unwrap();
    assert_eq!(thread.join().unwrap(), (2047, 0, 1));
}

#[test]
fn chains_of_links_cannot_take_for_ever() {
    let target = "a/../".repeat(818);
    let mut links: Vec<String> = (0..39).map(|n| format!("l{n}->{target}l{}", n + 1)).collect();
    links.push("l39->a".into());
    links.push("a/".into());
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    let entries: Vec<String> = (0..1000).map(|n| format!("l0/{n}=1")).collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let error = merged(&[&links, &entries]).unwrap_err().to_string();
    assert!(error.contains("too many paths through symbolic links"), "{error}");
}

#[test]
fn thousands_of_layers_are_only_many() {
    let layers = (0..5000).map(|i| layer(&[&format!("d/{}=1", i % 100), &format!("-d/{}", (i + 50) % 100)]));
    assert_eq!(merge(layers).unwrap().entries().len(), 2 + 50);
}
