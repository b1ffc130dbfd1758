//! What went wrong elsewhere, and what has to survive a copy.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::time::{Duration, SystemTime};

use super::super::*;
use super::support::*;

fn set_xattr(path: &std::path::Path, name: &str, value: &[u8]) -> bool {
    let done = rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty());
    match done {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => false,
        result => {
            result.unwrap();
            true
        }
    }
}

#[test]
fn a_chain_of_directories_with_modes_of_its_own_is_brought_along() {
    let local = "nm/nm.conf=mine a/:700 a/long/:770 a/long/dir/:777 a/long/dir/chain/:707 \
                 a/long/dir/forking/:700 a/link->no-such-file fifo|";
    let etc = Etc::new("nm/nm.conf=default testdirectory/x=1", local, "nm/nm.conf=default testdirectory/x=1");
    let (tree, report) = etc.merge();
    assert_eq!(
        tree,
        "a/:700 a/link->no-such-file a/long/:770 a/long/dir/:777 a/long/dir/chain/:707 \
         a/long/dir/forking/:700 nm/nm.conf=mine"
    );
    assert_eq!(names(&report.deleted), "testdirectory testdirectory/x");
    assert_eq!(report.skipped.list, [Skipped { path: "/etc/fifo".into(), kind: "fifo".into() }]);
}

#[test]
fn an_empty_default_directory_comes_is_filled_and_goes() {
    let (tree, _) = Etc::new("a=1", "a=1", "a=1 empty/").merge();
    assert_eq!(tree, "a=1 empty/");
    let (tree, _) = Etc::new("empty/", "empty/", "empty/a=1 empty/b=1").merge();
    assert_eq!(tree, "empty/a=1 empty/b=1");
    let (tree, _) = Etc::new("d/a=1 d/b=1", "d/a=1 d/b=1 d/mine=1", "").merge();
    assert_eq!(tree, "d/mine=1");
}

#[test]
fn new_directories_inside_old_ones_keep_their_modes() {
    let (tree, _) = Etc::new(
        "dir/perms/wo/ro/ existing/tree/",
        "dir/perms/:777 dir/perms/rwx/:777 dir/perms/wo/:733 dir/perms/wo/ro/:775 existing/tree/another/f=1",
        "dir/perms/some-file=1",
    )
    .merge();
    assert_eq!(
        tree,
        "dir/perms/:777 dir/perms/rwx/:777 dir/perms/some-file=1 dir/perms/wo/:733 dir/perms/wo/ro/:775 \
         existing/tree/another/f=1"
    );
}

#[test]
fn links_that_lead_out_are_copied_and_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let out = outside.path().display();
    // A directory of the defaults that is a link here, and new files for it.
    let etc = Etc::new("d/a=1", &format!("d->{out} l->{out}/secret"), "d/a=1 d/b=2");
    let (tree, _) = etc.merge();
    assert_eq!(tree, format!("d->{out} l->{out}/secret"));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    // Deleted here, a link to the outside in the new defaults.
    let (tree, _) = Etc::new("x=1", "", &format!("x->{out}/secret")).merge();
    assert_eq!(tree, "");
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
}

#[test]
fn a_pipe_in_the_place_of_a_default_leaves_the_default() {
    let (tree, report) = Etc::new("a=1 d/b=1", "a| d|", "a=2 d/b=1 d/c=1").merge();
    assert_eq!(tree, "a=2 d/b=1 d/c=1");
    assert_eq!((report.skipped.total, report.deleted.total, report.both_changed.total), (2, 0, 0));
    // A pipe of the defaults is one of theirs.
    let (tree, report) = Etc::new("p|", "p|", "p| q|").merge();
    assert_eq!((&*tree, report.skipped.total), ("p| q|", 0));
}

#[test]
fn a_socket_is_skipped() {
    let etc = Etc::new("", "a=1", "");
    let _socket = std::os::unix::net::UnixListener::bind(etc.path("local/s")).unwrap();
    let (tree, report) = etc.merge();
    assert_eq!(tree, "a=1");
    assert_eq!(report.skipped.list, [Skipped { path: "/etc/s".into(), kind: "socket".into() }]);
}

#[test]
fn extended_attributes_are_compared_and_copied() {
    let etc = Etc::new("a=1 b=1 d/ l->x", "a=1 b=1 d/ l->x mine=1", "a=1 b=2 d/ l->x");
    if !set_xattr(&etc.path("local/a"), "user.test", b"local") {
        return;
    }
    set_xattr(&etc.path("new/b"), "user.test", b"new");
    set_xattr(&etc.path("local/d"), "user.dir", b"local");
    set_xattr(&etc.path("local/mine"), "user.mine", b"1");
    assert_eq!(etc.drift(), "M a xattrs\nM d xattrs\nA mine");
    let (_, report) = etc.merge();
    assert_eq!(names(&report.modified), "a d");
    for (path, source) in [("a", "local"), ("b", "new"), ("d", "local"), ("mine", "local")] {
        let of = |tree: &str| {
            let mut buffer = vec![0; 64];
            let path = etc.path(&format!("{tree}/{path}"));
            let n = rustix::fs::llistxattr(path, &mut buffer).unwrap();
            buffer.truncate(n);
            buffer
        };
        assert_eq!(of("merged"), of(source), "{path}");
    }
}

#[test]
fn another_label_is_no_change_but_is_copied_and_a_capability_is_one() {
    let etc = Etc::new("a=1 b=1 c=1", "a=1 b=1 c=2", "a=1 b=1 c=1");
    if !set_xattr(&etc.path("local/a"), "security.selinux", b"system_u:object_r:net_conf_t:s0\0") {
        return;
    }
    set_xattr(&etc.path("local/c"), "security.selinux", b"system_u:object_r:etc_t:s0\0");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let capable = set_xattr(&etc.path("local/b"), "security.capability", &capability);
    assert_eq!(etc.drift(), if capable { "M b xattrs\nM c content" } else { "M c content" });
    etc.merge();
    let label = |path: &str| {
        let mut buffer = vec![0; 64];
        let n = rustix::fs::lgetxattr(etc.path(path), "security.selinux", &mut buffer)?;
        buffer.truncate(n);
        Ok::<_, rustix::io::Errno>(buffer)
    };
    assert_eq!(label("merged/c").unwrap(), b"system_u:object_r:etc_t:s0\0");
    assert!(label("merged/a").is_err());
}

#[test]
fn owners_are_compared_and_copied() {
    let etc = Etc::new("a=1 l->x d/", "a=1 l->x d/", "a=2 l->x d/");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    lchown(etc.path("local/l"), Some(7), Some(8)).unwrap();
    lchown(etc.path("local/d"), Some(9), Some(10)).unwrap();
    lchown(etc.path("new/a"), Some(11), Some(12)).unwrap();
    fs::set_permissions(etc.path("new/a"), fs::Permissions::from_mode(0o6755)).unwrap();
    assert_eq!(etc.drift(), "M d owner\nM l owner");
    let (tree, _) = etc.merge();
    assert_eq!(tree, "a=2:6755 d/ l->x");
    let owner = |name: &str| {
        let meta = fs::symlink_metadata(etc.path("merged").join(name)).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!([owner("a"), owner("d"), owner("l")], [(11, 12), (9, 10), (7, 8)]);
}

#[test]
fn times_are_no_change_and_are_copied() {
    let etc = Etc::new("a=1 b=1 d/c=1", "a=1 b=2 d/c=2", "a=1 b=1 d/c=1");
    let long_ago = |path: &str, seconds| {
        let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
        fs::File::open(etc.path(path)).unwrap().set_modified(time).unwrap();
    };
    long_ago("local/a", 1000);
    long_ago("new/a", 2000);
    long_ago("local/b", 3000);
    long_ago("local/d/c", 4000);
    long_ago("new/d", 5000);
    long_ago("new", 6000);
    assert_eq!(etc.drift(), "M b content\nM d/c content");
    etc.merge();
    for (path, seconds) in [("a", 2000), ("b", 3000), ("d/c", 4000), ("d", 5000), ("", 6000)] {
        let meta = fs::metadata(etc.path("merged").join(path)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (seconds, 123_456_789), "{path}");
    }
}

#[test]
fn names_that_are_not_utf8_are_merged_and_shown() {
    let name = |tree: &str| {
        let mut path = etc_bytes(tree);
        path.extend(b"/a\xff\n");
        path
    };
    fn etc_bytes(tree: &str) -> Vec<u8> {
        tree.as_bytes().to_vec()
    }
    let etc = Etc::new("", "", "");
    let path = |tree: &str| etc.path("").join(std::ffi::OsStr::from_bytes(&name(tree)));
    fs::write(path("local"), "1").unwrap();
    let (_, report) = etc.merge();
    assert_eq!(fs::read(path("merged")).unwrap(), b"1");
    assert_eq!(report.added.list, ["/etc/a\\xff\\n"]);
}

#[test]
fn a_copy_is_a_file_of_its_own() {
    let etc = Etc::new("a=1", "a=1 mine=1", "a=1");
    fs::hard_link(etc.path("new/a"), etc.path("object")).unwrap();
    fs::hard_link(etc.path("local/mine"), etc.path("local/other")).unwrap();
    etc.merge();
    for name in ["a", "mine", "other"] {
        assert_eq!(fs::metadata(etc.path("merged").join(name)).unwrap().nlink(), 1, "{name}");
    }
}

#[test]
fn only_updated_at_the_top_is_left_out() {
    let (tree, report) = Etc::new("", ".updated=1 d/.updated=1 updated=1", "").merge();
    assert_eq!(tree, "d/.updated=1 updated=1");
    assert_eq!(report.added.total, 3);
}

#[test]
fn the_rules_of_the_machine_come_after_those_of_the_image() {
    let etc = Etc::new("", "", "");
    write(&etc.path("root"), "usr/lib/reroot/x=1");
    let rule = |path: &str, strategy| format!("[[rule]]\npath = '{path}'\nstrategy = '{strategy}'\n");
    let vendor = rule("a", "take-new") + &rule("b", "take-new");
    fs::write(etc.path("root/usr/lib/reroot/etc-merge.toml"), vendor).unwrap();
    let root = crate::fsx::open_dir(&etc.path("root")).unwrap();
    let local = crate::fsx::open_dir(&etc.path("local")).unwrap();
    let strategy = |rules: &Rules, path: &str| {
        rules.of(&ImagePath::new(path.as_bytes()).unwrap()).map(|r| (r.strategy, r.place.clone()))
    };
    let rules = Rules::load(&root, Some(&local)).unwrap();
    let place = "/usr/lib/reroot/etc-merge.toml:2".to_string();
    assert_eq!(strategy(&rules, "a"), Some((EtcStrategy::TakeNew, place)));
    fs::create_dir(etc.path("local/reroot")).unwrap();
    fs::write(etc.path("local/reroot/etc-merge.toml"), rule("a", "keep-local")).unwrap();
    let rules = Rules::load(&root, Some(&local)).unwrap();
    let place = "/etc/reroot/etc-merge.toml:2".to_string();
    assert_eq!(strategy(&rules, "a"), Some((EtcStrategy::KeepLocal, place)));
    assert!(strategy(&rules, "b").is_some());
    fs::write(etc.path("local/reroot/etc-merge.toml"), "[[rule]]\npth='a'\n").unwrap();
    let error = Rules::load(&root, Some(&local)).unwrap_err().to_string();
    assert!(error.starts_with("/etc/reroot/etc-merge.toml:2: unknown field `pth`"), "{error}");
}
