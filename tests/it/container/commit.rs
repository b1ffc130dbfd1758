//! `reroot container commit`: what was tried out, as one more layer.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use super::builder::Builder;
use crate::support::image::{Entry, Image, Layout, bootable_layer};
use crate::support::registry::{Access, Registry, obstacle};
use crate::support::reroot::Ran;
use crate::support::skip::skip;

/// Has an image of two layers, and its root unpacked in `root`.
fn builder() -> Builder {
    let builder = Builder::new();
    let first = bootable_layer()
        .file("etc/app.conf", "old")
        .file("etc/gone/a", "a")
        .file("etc/gone/b", "b")
        .file("usr/bin/tool", "tool")
        .add(Entry::file("usr/bin/su", "su").mode(0o4755))
        .file("usr/share/same", "same")
        .symlink("usr/share/link", "same");
    let second = bootable_layer().file("usr/share/second", "second");
    Layout::new(builder.path().join("image"))
        .tag("os", &Image::new().label("team", "web").layer(first).layer(second));
    builder.run(&["export", "oci:image:os", "-o", "bundle:bundle"]).ok();
    fs::rename(builder.path().join("bundle/rootfs"), builder.path().join("root")).unwrap();
    builder
}

fn change(builder: &Builder) {
    let at = |path: &str| builder.path().join("root").join(path);
    fs::write(at("etc/app.conf"), "new").unwrap();
    fs::remove_dir_all(at("etc/gone")).unwrap();
    fs::remove_file(at("usr/share/link")).unwrap();
    symlink("second", at("usr/share/link")).unwrap();
    fs::create_dir(at("usr/share/app")).unwrap();
    fs::write(at("usr/share/app/large"), "large".repeat(1000)).unwrap();
    fs::hard_link(at("usr/share/app/large"), at("usr/share/app/linked")).unwrap();
    fs::set_permissions(at("usr/bin/tool"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(at("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::create_dir_all(at("etc/reroot")).unwrap();
    fs::write(at("etc/reroot/auth.json"), "{}").unwrap();
}

fn list(report: &Value, key: &str) -> Vec<String> {
    report[key].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_directory_is_one_more_layer() {
    let builder = builder();
    let commit = ["commit", "./root", "--base", "oci:image:os", "-o", "oci:out:os"];
    let ran = builder.run(&commit);
    assert!(ran.code == Some(2) && ran.stderr.contains("there is nothing to commit"), "{ran:?}");
    change(&builder);
    let report = builder.json(&[&commit[..], &["--message", "a try"]].concat());
    assert_eq!(
        list(&report, "written"),
        [
            "/etc/app.conf",
            "/etc/reroot",
            "/usr/bin/tool",
            "/usr/share/app",
            "/usr/share/app/large",
            "/usr/share/app/linked",
            "/usr/share/link"
        ]
    );
    assert_eq!(list(&report, "deleted"), ["/etc/gone"]);
    assert_eq!(list(&report, "leftOut"), ["/etc/machine-id", "/etc/reroot/auth.json"]);
    let difference = builder.json(&["diff", "./root", "oci:out:os"]);
    let removed = list(&difference, "removed");
    assert!(
        removed.iter().all(|path| ["/etc/machine-id", "/etc/reroot/auth.json"].contains(&&**path)),
        "{difference:#}"
    );
    assert_eq!(difference["added"], Value::Array(vec![]));
    let changed: Vec<_> =
        difference["changed"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    assert!(changed.is_empty() || changed == ["/etc/machine-id"], "{difference:#}");

    // A name that a layer would take for something else is refused.
    fs::write(builder.path().join("root/usr/share/.wh.same"), "").unwrap();
    let ran = builder.run(&commit);
    assert!(ran.code == Some(2) && ran.stderr.contains("/usr/share/.wh.same of ./root"), "{ran:?}");

    // The layers of the image are its own; the new one says what it does.
    let layers = |source: &str| builder.json(&["layers", source])["layers"].as_array().unwrap().clone();
    let (old, new) = (layers("oci:image:os"), layers("oci:out:os"));
    assert_eq!(new.len(), old.len() + 1);
    for (old, new) in old.iter().zip(&new) {
        assert_eq!((&old["digest"], &old["diffId"]), (&new["digest"], &new["diffId"]));
    }
    assert_eq!(new[2]["deleted"], 1);
    let history = builder.text(&["history", "oci:out:os"]);
    assert!(history.contains("reroot container commit"), "{history}");
    assert_eq!(builder.json(&["inspect", "oci:out:os"])["labels"]["team"], "web");
    let fetch = &builder.json(&["diff", "oci:image:os", "oci:out:os"])["fetchLayers"];
    assert_eq!(*fetch, 1);
}

#[test]
fn layers_below_go_from_registry_to_registry() {
    if let Some(reason) = obstacle() {
        return skip("container::commit::layers_below_go_from_registry_to_registry", reason);
    }
    let builder = builder();
    change(&builder);
    let storage = tempfile::tempdir().unwrap();
    let one = Registry::start(&storage.path().join("one"), Access::Plain);
    let other = Registry::start(&storage.path().join("other"), Access::Plain);
    one.push(&format!("oci:{}:os", builder.path().join("image").display()), "team/os:1");
    let base = one.reference("team/os:1");
    let commit = |to: &str| builder.json(&["commit", "./root", "--base", &base, "-o", to]);
    // In the same registry they are there, elsewhere they are sent, and a layout gets them as well.
    let same = commit(&one.reference("team/try:1"));
    assert_eq!((&same["pushed"]["mounted"], &same["pushed"]["sent"]), (&2.into(), &2.into()), "{same:#}");
    let elsewhere = commit(&other.reference("team/os:1"));
    assert_eq!(elsewhere["pushed"]["sent"], 4, "{elsewhere:#}");
    commit("oci:out:os");
    commit("docker-archive:out.tar:os");
    for to in [&one.reference("team/try:1"), &other.reference("team/os:1"), "docker-archive:out.tar:os"] {
        assert!(builder.text(&["diff", "oci:out:os", to, "--times"]).ends_with("no difference\n"), "{to}");
    }
    // When the tag is another image by now, the layers are still those of the digest.
    let ran = builder.run(&["commit", "./root", "--base", "oci:nowhere:os", "-o", "oci:x:os"]);
    assert_ne!(ran.code, Some(0));
}

#[test]
fn what_is_mounted_over_is_not_deleted() {
    let name = "container::commit::what_is_mounted_over_is_not_deleted";
    let builder = builder();
    fs::write(builder.path().join("root/etc/own"), "own").unwrap();
    let mut shell = match super::mount::shell(
        "mount --bind /dev/null root/etc/app.conf; mount -t tmpfs tmpfs root/usr/share
         exec $reroot container commit ./root --base oci:image:os -o oci:out:os --json --quiet",
    ) {
        Ok(shell) => shell,
        Err(reason) => return skip(name, reason),
    };
    builder.prepare(&mut shell);
    let report = Ran::of(&shell.output().unwrap()).ok().json();
    assert_eq!(list(&report, "written"), ["/etc/own"]);
    assert_eq!(list(&report, "deleted"), [""; 0]);
    assert_eq!(
        list(&report, "leftOut"),
        ["/etc/app.conf", "/usr/share", "/usr/share/link", "/usr/share/same", "/usr/share/second"]
    );
}

#[test]
fn nothing_of_the_machine_goes_along_where_defaults_are_in_usr() {
    let builder = Builder::new();
    let layer = bootable_layer().file("usr/etc/ssh/sshd_config", "old").file("usr/etc/passwd", "root");
    Layout::new(builder.path().join("image")).tag("os", &Image::new().layer(layer));
    builder.run(&["export", "oci:image:os", "-o", "bundle:bundle"]).ok();
    let etc = builder.path().join("bundle/rootfs/usr/etc");
    fs::write(etc.join("ssh/sshd_config"), "new").unwrap();
    fs::write(etc.join("ssh/ssh_host_ed25519_key"), "secret").unwrap();
    let commit = ["commit", "./bundle/rootfs", "--base", "oci:image:os", "-o", "oci:out:os"];
    let report = builder.json(&commit);
    assert_eq!(list(&report, "written"), ["/usr/etc/ssh/sshd_config"]);
    assert_eq!(list(&report, "leftOut"), ["/usr/etc/ssh/ssh_host_ed25519_key"]);
}

#[test]
fn a_deployment_brings_its_etc() {
    let builder = builder();
    fs::create_dir_all(&builder.reroot.sysroot).unwrap();
    builder.reroot.run(["init"]).ok();
    let image = format!("oci:{}:os", builder.path().join("image").display());
    builder.reroot.run(["deploy", &image, "--allow-foreign-initramfs", "--stateroot", "os"]).ok();
    let etc = builder.reroot.sysroot.join("reroot/deploy/os/deploy/1/etc");
    assert!(builder.run(&["commit", "1", "-o", "oci:out:os"]).stderr.contains("nothing to commit"));
    fs::write(etc.join("app.conf"), "here").unwrap();
    fs::remove_file(etc.join("gone/a")).unwrap();
    fs::write(etc.join("hostname"), "machine\n").unwrap();
    let report = builder.json(&["commit", "1", "-o", "oci:out:os"]);
    assert_eq!(list(&report, "written"), ["/etc/app.conf"]);
    assert_eq!(list(&report, "deleted"), ["/etc/gone/a"]);
    assert_eq!(list(&report, "leftOut"), ["/etc/hostname"]);
    let text = builder.text(&["commit", "1", "-o", "oci:out:os"]);
    assert!(
        text.starts_with(
            "/etc/app.conf\ndeleted /etc/gone/a\nleft out /etc/hostname\nWrote deployment 1 of stateroot os to oci:out:os"
        ),
        "{text}"
    );
    let difference = builder.json(&["diff", &image, "oci:out:os"]);
    assert_eq!(list(&difference, "removed"), ["/etc/gone/a"]);
    // Who says too much or too little is told.
    for (arguments, reason) in [
        (&["1", "--base", "oci:image:os"][..], "`--base` is for directories"),
        (&["./root"], "`--base` does"),
        (&["oci:image:os"], "is an image; what is committed"),
        (&["./root", "--base", "./root"], "`--base` is an image"),
    ] {
        let ran = builder.run(&[&["commit", "-o", "oci:out:x"], arguments].concat());
        assert!(ran.code == Some(2) && ran.stderr.contains(reason), "{ran:?}");
    }
}
