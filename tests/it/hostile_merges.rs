//! Layers that are sound each by itself and hostile together, and kernels that are none.

use reroot::layer::{self, Limits};

use crate::support::memory_store::read;
use crate::support::raw_tar::*;

/// Layers of archives, merged.
fn merged(layers: &[Vec<Vec<u8>>]) -> Result<Vec<String>, String> {
    let layers = layers.iter().map(|parts| read(&archive(parts), &Limits::default()).map(|(tree, ..)| tree));
    let tree = layer::merge(layers).map_err(|e| e.to_string())?;
    Ok(tree.entries().iter().map(|e| e.path.to_string()).collect())
}

#[test]
fn links_of_lower_layers_that_lead_out() {
    let escapes = [
        ("climbing", "../../.."),
        ("climbing from the root", "/../etc"),
        ("climbing through what is missing", "x/../../etc"),
    ];
    for (name, target) in escapes {
        let lower = vec![symlink("l", target)];
        let through = |parts: Vec<Vec<u8>>| merged(&[lower.clone(), parts]).unwrap_err();
        for (what, parts) in [
            ("a file", vec![file("l/passwd", "x")]),
            ("a directory", vec![directory("l/d")]),
            ("a link", vec![symlink("l/s", "x")]),
            ("a hard link", vec![file("a", "x"), hardlink("l/h", "a")]),
            ("a hard link's target", vec![hardlink("h", "l/passwd")]),
            ("a whiteout", vec![file("l/.wh.passwd", "")]),
            ("an opaque mark", vec![file("l/.wh..wh..opq", "")]),
        ] {
            let message = through(parts);
            assert!(message.starts_with("layer 2, `"), "{name}, {what}: {message}");
            assert!(message.contains("leads out of the image"), "{name}, {what}: {message}");
        }
    }
    // An absolute target is the image's own root, never the host's.
    let inside = merged(&[vec![symlink("l", "/etc")], vec![file("l/passwd", "x")]]).unwrap();
    assert_eq!(inside, ["/", "etc", "etc/passwd", "l"]);
}

#[test]
fn links_are_replaced_and_never_written_through() {
    let lower =
        || vec![directory("etc"), file("etc/passwd", "x"), symlink("l", "etc/passwd"), symlink("d", "etc")];
    let names = |parts: Vec<Vec<u8>>| merged(&[lower(), parts]).unwrap();
    // chmod, chown or xattrs of a directory entry must not reach what the link names (CVE-2021-32760,
    // RUSTSEC-2026-0067): the link is gone, and what it named is as it was.
    assert_eq!(
        names(vec![directory("d"), file("d/new", "x")]),
        ["/", "d", "d/new", "etc", "etc/passwd", "l"]
    );
    assert_eq!(names(vec![file("l", "y")]), ["/", "d", "etc", "etc/passwd", "l"]);
    assert_eq!(names(vec![file(".wh.d", "")]), ["/", "etc", "etc/passwd", "l"]);
    assert_eq!(
        names(vec![directory("d"), file("d/.wh..wh..opq", ""), file("d/.wh.passwd", "")]),
        ["/", "d", "etc", "etc/passwd", "l"]
    );
}

#[test]
fn hard_links_across_layers_that_name_nothing() {
    let lower = || vec![directory("d"), file("d/x", "x")];
    let message = |parts| merged(&[lower(), parts]).unwrap_err();
    assert_eq!(
        message(vec![hardlink("a", "gone")]),
        "layer 2, `a`: it is a hard link to `gone`, which does not exist"
    );
    assert_eq!(
        message(vec![hardlink("a", "d")]),
        "layer 2, `a`: it is a hard link to `d`, which is a directory"
    );
    assert_eq!(message(vec![file("d/x/y", "x")]), "layer 2, `d/x/y`: `d/x` above it is not a directory");
}

#[test]
fn a_usr_that_is_a_link_is_not_bootable() {
    let kernel = |usr: &str| {
        vec![
            file(&format!("{usr}/lib/modules/6.1/vmlinuz"), "k"),
            file(&format!("{usr}/lib/modules/6.1/initramfs.img"), "i"),
        ]
    };
    let check = |parts: Vec<Vec<u8>>| {
        let (layer, ..) = read(&archive(&parts), &Limits::default()).unwrap();
        let tree = layer::merge([Ok(layer)]).unwrap();
        layer::check_bootable(&tree).map(|b| b.kernel_version).map_err(|e| e.to_string())
    };
    assert_eq!(check(kernel("usr")), Ok("6.1".into()));
    let linked = [kernel("system"), vec![symlink("usr", "system")]].concat();
    assert_eq!(check(linked), Err("the image is not bootable: /usr is missing or not a directory".into()));
}

#[test]
fn kernels_that_a_boot_entry_cannot_name() {
    let check = |files: &[(&str, Vec<u8>)]| {
        let parts: Vec<_> = files.iter().map(|(_, part)| part.clone()).collect();
        let (layer, ..) = read(&archive(&parts), &Limits::default()).unwrap();
        let tree = layer::merge([Ok(layer)]).unwrap();
        layer::check_bootable(&tree).unwrap_err().to_string()
    };
    let at = |path: &'static str, content: &str| (path, file(path, content));
    let modules = "usr/lib/modules";
    let injected = format!("{modules}/6.1\noptions init=evil");
    for version in
        [injected.as_str(), "usr/lib/modules/6.1 x", "usr/lib/modules/.hidden", "usr/lib/modules/-6.1"]
    {
        let message = check(&[
            ("", file(&format!("{version}/vmlinuz"), "k")),
            ("", file(&format!("{version}/initramfs.img"), "i")),
        ]);
        assert!(message.contains("characters that boot entries cannot hold"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let vmlinuz = || at("usr/lib/modules/6.1/vmlinuz", "k");
    let initramfs = || at("usr/lib/modules/6.1/initramfs.img", "i");
    let message = check(&[vmlinuz()]);
    assert!(message.contains("/usr/lib/modules/6.1/initramfs.img is missing"), "{message}");
    let message = check(&[initramfs()]);
    assert!(message.contains("no kernel at /usr/lib/modules/<version>/vmlinuz"), "{message}");
    let message = check(&[at("usr/bin/sh", "x")]);
    assert!(message.contains("no directory /usr/lib/modules"), "{message}");
    let message = check(&[vmlinuz(), initramfs(), at("usr/lib/modules/6.2/vmlinuz", "k")]);
    assert!(message.contains("it has 2 kernels (6.1, 6.2); leave one"), "{message}");
    let message = check(&[at("usr/lib/modules/6.1/vmlinuz", ""), initramfs()]);
    assert!(message.contains("vmlinuz is empty"), "{message}");
    for kind in [b'6', b'3'] {
        let special = Header::new(kind, "usr/lib/modules/6.1/vmlinuz").block();
        let message = check(&[("", special), initramfs()]);
        assert!(message.contains("vmlinuz is not a regular file"), "{message}");
    }
    let link = symlink("usr/lib/modules/6.1/initramfs.img", "/dev/zero");
    let message = check(&[vmlinuz(), ("", link)]);
    assert!(message.contains("initramfs.img is not a regular file"), "{message}");
}
