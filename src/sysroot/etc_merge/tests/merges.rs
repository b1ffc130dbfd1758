//! The table of the module, row by row.

use std::fs;

use super::super::EtcStrategy::{KeepLocal, TakeNew};
use super::super::*;
use super::support::*;

/// base, local, new, merged, paths that both sides changed.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check(cases: &[Case]) {
    for (base, local, new, merged, both) in cases {
        let (tree, report) = Etc::new(base, local, new).merge();
        assert_eq!(tree, *merged, "base `{base}` local `{local}` new `{new}`");
        assert_eq!(both_changed(&report), *both, "base `{base}` local `{local}` new `{new}`");
    }
}

#[test]
fn what_was_not_touched_follows_the_defaults() {
    check(&[
        ("a=1", "a=1", "a=1", "a=1", ""),
        ("a=1", "a=1", "a=2", "a=2", ""),
        ("a=1", "a=1", "a=1:600", "a=1:600", ""),
        ("a=1", "a=1", "", "", ""),
        ("", "", "a=1", "a=1", ""),
        ("a=1", "a=1", "a->b", "a->b", ""),
        ("a=1", "a=1", "a/b=2", "a/b=2", ""),
        ("a/b=1", "a/b=1", "a=2", "a=2", ""),
        ("a/b=1", "a/b=1", "a->b", "a->b", ""),
        ("a->x", "a->x", "a->y", "a->y", ""),
        ("d/:755", "d/:755", "d/:700", "d/:700", ""),
        ("d/a=1", "d/a=1", "", "", ""),
    ]);
}

#[test]
fn what_was_touched_stays() {
    check(&[
        ("a=1", "a=2", "a=1", "a=2", ""),
        ("a=1", "a=2", "a=3", "a=2", "a:local"),
        ("a=1", "a=2", "", "a=2", "a:local"),
        ("a=1", "a=1:600", "a=1", "a=1:600", ""),
        ("a=1", "a=1:600", "a=2", "a=1:600", "a:local"),
        ("a=1", "a=2", "a=1:600", "a=2", "a:local"),
        ("", "a=1", "", "a=1", ""),
        ("", "a=1", "a=2", "a=1", "a:local"),
        ("a->x", "a->y", "a->x", "a->y", ""),
        ("a->x", "a->y", "a->z", "a->y", "a:local"),
        ("a=1", "a->y", "a=1", "a->y", ""),
        ("a=1", "a->y", "a=2", "a->y", "a:local"),
        ("a->y", "a=1", "a->z", "a=1", "a:local"),
        ("", "d/a=1", "", "d/a=1", ""),
        ("", "d/:700 d/a=1:600", "", "d/:700 d/a=1:600", ""),
        ("d/a=1", "d/:700 d/a=1", "d/a=2", "d/:700 d/a=2", ""),
        ("d/a=1", "d/:700 d/a=1", "d/:750 d/a=2", "d/:700 d/a=2", "d:local"),
        // What was put into a directory keeps it, with the attributes that it has here.
        ("d/:750 d/a=1", "d/:750 d/a=1 d/b=2", "", "d/:750 d/b=2", ""),
        ("d/:755", "d/:700", "", "d/:700", "d:local"),
    ]);
}

#[test]
fn a_change_that_the_defaults_make_as_well_is_none_any_more() {
    check(&[
        ("a=1", "a=2", "a=2", "a=2", ""),
        ("", "a=2", "a=2", "a=2", ""),
        ("a=1", "a->x", "a->x", "a->x", ""),
        ("d/", "d/:700", "d/:700", "d/:700", ""),
        ("a=1", "", "", "", ""),
        ("a=1", "a/b=1", "a/b=1", "a/b=1", ""),
    ]);
    let (_, report) = Etc::new("a=1", "a=2", "a=2").merge();
    assert_eq!((report.modified.total, report.updated.total), (0, 0));
}

#[test]
fn what_was_deleted_stays_deleted() {
    check(&[
        ("a=1", "", "a=1", "", ""),
        ("a=1", "", "a=2", "", "a:local"),
        ("a=1", "", "a->x", "", "a:local"),
        ("d/a=1", "", "d/a=1", "", ""),
        ("d/a=1", "", "d/a=2", "", "d/a:local"),
        ("d/a=1", "d/", "d/a=1", "d/", ""),
        ("d/a=1", "", "d/:700 d/a=1", "", "d:local"),
        // New files of a deleted directory were never deleted.
        ("d/a=1", "", "d/a=1 d/b=2", "d/b=2", "d:new"),
        ("d/e/a=1", "", "d/e/a=2 d/e/f/b=2:600", "d/e/f/b=2:600", "d:new d/e:new d/e/a:local"),
        ("d/a=1", "d/", "d/a=1 d/b=2", "d/b=2", ""),
        // A file that was deleted and is a directory now: what is in there is new.
        ("a=1", "", "a/b=1", "a/b=1", "a:new"),
        ("a=1", "", "a/", "", "a:local"),
        ("a/b=1", "", "a=1", "", "a:local"),
    ]);
}

#[test]
fn a_directory_that_became_something_else_here_stays_so() {
    check(&[
        ("d/a=1", "d->x", "d/a=1", "d->x", ""),
        ("d/a=1", "d=x", "d/a=2", "d=x", "d:local d/a:local"),
        ("d/a=1", "d->x", "d/a=1 d/b=2", "d->x", "d:local d/b:local"),
        ("a=1", "a/b=2", "a=1", "a/b=2", ""),
        ("a=1", "a/b=2", "a=3", "a/b=2", "a:local"),
        ("a=1", "a/b=2", "", "a/b=2", "a:local"),
    ]);
}

#[test]
fn a_directory_on_one_side_and_something_else_on_the_other_is_a_conflict() {
    // base, local, new, the conflict, kept local, took new.
    let cases = [
        (
            "",
            "a=1",
            "a/b=2",
            "a: a file that was added here, a directory in the new defaults",
            "a=1",
            "a/b=2",
        ),
        (
            "a=1",
            "a=2",
            "a/b=2",
            "a: a file that was changed here, a directory in the new defaults",
            "a=2",
            "a/b=2",
        ),
        (
            "a=1",
            "a->x",
            "a/",
            "a: a symbolic link that was changed here, a directory in the new defaults",
            "a->x",
            "a/",
        ),
        ("", "a/b=1", "a=2", "a: a directory with 1 change here, a file in the new defaults", "a/b=1", "a=2"),
        ("", "a/", "a=2", "a: a directory here, a file in the new defaults", "a/", "a=2"),
        (
            "d/a=1 d/b=2",
            "d/a=3 d/b=2 d/e/c=4",
            "d->x",
            "d: a directory with 3 changes here, a symbolic link in the new defaults",
            "d/a=3 d/e/c=4",
            "d->x",
        ),
        ("d/", "d/:700", "d=1", "d: a directory here, a file in the new defaults", "d/:700", "d=1"),
        (
            "d/e/a=1",
            "d/e/a=2",
            "d=1",
            "d: a directory with 1 change here, a file in the new defaults",
            "d/e/a=2",
            "d=1",
        ),
    ];
    for (base, local, new, conflict, kept, took) in cases {
        let etc = Etc::new(base, local, new);
        assert_eq!(etc.conflicts(), [conflict]);
        assert!(etc.merge_with(|| ()).unwrap_err().starts_with("/etc cannot be merged: 1 conflict\n"));
        assert_eq!(shown_tree(&etc.path("merged")), "", "nothing is made");
        for (strategy, expected) in [(KeepLocal, kept), (TakeNew, took)] {
            let (tree, report) = Etc::new(base, local, new).strategy(strategy).merge();
            assert_eq!(tree, expected, "base `{base}` local `{local}` new `{new}` {strategy}");
            assert_eq!((report.conflicts.total, report.strategy), (1, strategy));
        }
    }
}

#[test]
fn a_directory_without_changes_is_no_conflict() {
    check(
        &[
            ("d/a=1", "d/a=1", "d=2", "d=2", ""),
            ("d/a=1", "d/", "d=2", "d=2", ""),
            ("d/a=1", "d/a=2", "d->x d2/a=2", "", ""),
        ][..2],
    );
}

#[test]
fn rules_decide_about_single_paths() {
    let conflicting = || Etc::new("", "a=1 b/c=1", "a/x=2 b=2");
    assert_eq!(conflicting().conflicts().len(), 2);
    let (tree, report) = conflicting().rules(&["a keep-local", "b take-new"]).merge();
    assert_eq!(tree, "a=1 b=2");
    let settled: Vec<_> = report.conflicts.list.iter().map(|c| (&*c.path, c.resolution)).collect();
    assert_eq!(settled, [("/etc/a", Some(Resolution::KeptLocal)), ("/etc/b", Some(Resolution::TookNew))]);
    // A rule comes before the strategy.
    let (tree, _) = conflicting().strategy(TakeNew).rules(&["a keep-local"]).merge();
    assert_eq!(tree, "a=1 b=2");
    let etc = conflicting().strategy(TakeNew).rules(&["a fail"]);
    assert_eq!(etc.conflicts(), ["a: a file that was added here, a directory in the new defaults"]);
}

#[test]
fn rules_decide_about_what_both_sides_changed() {
    let etc = || Etc::new("d/a=1 d/b=1 d/c=1", "d/a=2 d/b=2 d/x=9", "d/a=3 d/b=3 d/c=3 d/x=4");
    let (tree, report) = etc().rules(&["d/* take-new", "d/b keep-local"]).merge();
    assert_eq!(tree, "d/a=3 d/b=2 d/c=3 d/x=4");
    assert_eq!(both_changed(&report), "d/a:new d/b:local d/c:new d/x:new");
    assert_eq!(names(&report.modified), "d/b");
    let etc = etc().rules(&["d/a fail"]);
    assert_eq!(
        etc.conflicts(),
        ["d/a: changed here and in the new defaults, and the rule at rules:2 says `fail`"]
    );
    // What the defaults did not change stays, whatever the rule.
    let (tree, _) = Etc::new("a=1", "a=2 b=3", "a=1").rules(&["** take-new"]).merge();
    assert_eq!(tree, "a=2 b=3");
    // A file whose default went.
    let (tree, _) = Etc::new("d/a=1", "d/a=2", "").rules(&["** take-new"]).merge();
    assert_eq!(tree, "");
    let (tree, _) = Etc::new("d/a=1", "d/a=2 d/b=1", "").rules(&["** take-new"]).merge();
    assert_eq!(tree, "d/b=1");
}

#[test]
fn the_new_default_wins_over_a_directory_that_was_replaced_or_deleted() {
    let (tree, _) = Etc::new("d/a=1", "d->x", "d/a=1 d/b=2").rules(&["d take-new"]).merge();
    assert_eq!(tree, "d/a=1 d/b=2");
    let (tree, _) = Etc::new("a=1", "a/b=2", "a=3").rules(&["a take-new"]).merge();
    assert_eq!(tree, "a=3");
    let (tree, _) = Etc::new("d/e/a=1 d/b=1", "", "d/e/a=2 d/b=1").rules(&["**/a take-new"]).merge();
    assert_eq!(tree, "d/e/a=2");
}

#[test]
fn everything_is_in_the_report() {
    let base = "changed=1 deleted=1 gone=1 kept=1 same=1 .updated=1";
    let local = "added=1 changed=2 gone=1 kept=1 pipe| same=1 .updated=2";
    let (tree, report) =
        Etc::new(base, local, "changed=1 deleted=1 kept=2 same=1 fresh=1 .updated=3").merge();
    assert_eq!(tree, "added=1 changed=2 fresh=1 kept=2 same=1");
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        serde_json::json!({
            "strategy": "fail",
            "modified": {"total": 1, "list": ["/etc/changed"]},
            "added": {"total": 1, "list": ["/etc/added"]},
            "deleted": {"total": 1, "list": ["/etc/deleted"]},
            "updated": {"total": 1, "list": ["/etc/kept"]},
            "newDefaults": {"total": 1, "list": ["/etc/fresh"]},
            "removedDefaults": {"total": 1, "list": ["/etc/gone"]},
            "bothChanged": {"total": 0, "list": []},
            "conflicts": {"total": 0, "list": []},
            "skipped": {"total": 1, "list": [{"path": "/etc/pipe", "kind": "fifo"}]},
            "vanished": 0,
        })
    );
}

#[test]
fn without_a_live_tree_there_are_only_defaults() {
    let etc = Etc::new("", "", "a=1 d/:750 d/b->c");
    let new = crate::fsx::open_dir(&etc.path("new")).unwrap();
    fs::create_dir(etc.path("merged")).unwrap();
    let dest = crate::fsx::open_dir(&etc.path("merged")).unwrap();
    plan(Trees::new(None, &new), &Options::default()).unwrap().apply(&dest).unwrap();
    assert_eq!(facts(&etc.path("merged")), facts(&etc.path("new")));
}

#[test]
fn drift_is_what_differs_from_the_defaults() {
    let etc = Etc::new(
        "a=1 b=1 c=1 d/e=1 l->x same=1 t=1 x.d/",
        "a=2 b=1:600 d->e l->y n/o=1 same=1 t/u=1 x.d/:700 p|",
        "",
    );
    assert_eq!(
        etc.drift(),
        "M a content\nM b mode\nD c\nM d type\nD d/e\nM l target\nA n\nA n/o\nM t type\nA t/u\nM x.d mode"
    );
}
