//! `/etc` of a system that shuts down is not still.

use std::fs;
use std::os::unix::fs::symlink;

use super::support::*;

#[test]
fn a_file_that_vanishes_is_left_out_and_counted() {
    let etc = Etc::new("a=1 d/b=1", "a=2 c=1 d/b=2 e/f=1", "a=3 d/b=1 d/n=1");
    let (tree, report) = etc
        .merge_with(|| {
            fs::remove_file(etc.path("local/a")).unwrap();
            fs::remove_dir_all(etc.path("local/d")).unwrap();
            fs::remove_dir_all(etc.path("local/e")).unwrap();
        })
        .unwrap();
    assert_eq!(tree, "c=1 d/n=1");
    assert_eq!(report.vanished, 4);
}

#[test]
fn a_directory_of_this_machine_that_vanishes_leaves_the_default_one() {
    let etc = Etc::new("d/a=1", "d/:700 d/a=1", "d/:750 d/a=2");
    let (tree, report) = etc.merge_with(|| fs::remove_dir_all(etc.path("local/d")).unwrap()).unwrap();
    assert_eq!((&*tree, report.vanished), ("d/:750 d/a=2", 1));
}

#[test]
fn a_file_that_changes_after_the_decision_is_taken_as_it_is_then() {
    let etc = Etc::new("a=1 b=1", "a=2 b=2 c=1 d=1", "a=1 b=1");
    let (tree, report) = etc
        .merge_with(|| {
            fs::write(etc.path("local/a"), "later").unwrap();
            fs::remove_file(etc.path("local/b")).unwrap();
            symlink("resolv", etc.path("local/b")).unwrap();
            // What is below was not decided about.
            fs::remove_file(etc.path("local/c")).unwrap();
            write(&etc.path("local/c"), "x=1");
            fs::remove_file(etc.path("local/d")).unwrap();
            write(&etc.path("local"), "d|");
        })
        .unwrap();
    assert_eq!(tree, "a=later b->resolv");
    assert_eq!((report.vanished, report.skipped.total), (1, 1));
}

#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("a"), "secret").unwrap();
    let etc = Etc::new("", "d/a=1", "");
    let (tree, report) = etc
        .merge_with(|| {
            fs::remove_dir_all(etc.path("local/d")).unwrap();
            symlink(outside.path(), etc.path("local/d")).unwrap();
        })
        .unwrap();
    assert_eq!((&*tree, report.vanished), ("", 2));
}
