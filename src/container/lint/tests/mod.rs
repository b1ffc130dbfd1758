//! Every lint with something that passes and something that does not.

mod cases;

use std::collections::BTreeSet;

use cases::{CASES, Case, clean};

use super::*;
use crate::container::testing::Files;

/// A time before which everything of the clean root was made.
const EPOCH: i64 = 1_700_000_000;

fn report(files: &Files, base: Option<&Files>, unread: Vec<crate::container::Unread>) -> Report {
    let mut root = files.root();
    root.unread = unread;
    let base = base.map(Files::root);
    let subject = Subject {
        root: &root,
        image: None,
        base: base.as_ref(),
        epoch: Some(EPOCH),
        architecture: "amd64".into(),
    };
    run(&subject, &Settings::default(), "test")
}

/// The findings, a line each.
fn lines(report: &Report) -> Vec<String> {
    let line = |lint: &LintReport, finding: &FindingReport| {
        let path = finding.path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default();
        format!("{} {path}{}", lint.id, finding.message)
    };
    report
        .lints
        .iter()
        .flat_map(|lint| lint.findings.iter().map(move |finding| line(lint, finding)))
        .collect()
}

#[test]
fn a_clean_root_is_clean() {
    let report = report(&clean(), Some(&clean()), Vec::new());
    assert_eq!(lines(&report), [""; 0]);
    let skipped: Vec<_> =
        report.lints.iter().filter(|lint| lint.outcome == Outcome::Skipped).map(|lint| lint.id).collect();
    assert_eq!(skipped, ["layers"]);
}

#[test]
fn every_lint_finds_what_it_is_for_and_nothing_else() {
    for Case { lint, passes, fails, finds } in CASES {
        let passing = lines(&report(&passes(clean()), Some(&clean()), Vec::new()));
        assert_eq!(passing, [""; 0], "{lint} passes");
        let failing = lines(&report(&fails(clean()), Some(&clean()), Vec::new()));
        let expected: Vec<_> = finds.iter().map(|finding| format!("{lint} {finding}")).collect();
        assert_eq!(failing, expected, "{lint} fails");
    }
}

#[test]
fn no_lint_is_without_its_cases() {
    let tested: BTreeSet<_> = CASES.iter().map(|case| case.lint).chain(["readable", "layers"]).collect();
    let all: BTreeSet<_> = LINTS.iter().map(|lint| lint.id).collect();
    assert_eq!(tested, all);
    assert_eq!(all.len(), LINTS.len(), "an id is used twice");
    for lint in LINTS {
        assert!(lint.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", lint.id);
        assert!(
            !lint.fix.ends_with('.') && lint.why.ends_with('.') && !lint.about.ends_with('.'),
            "{}",
            lint.id
        );
    }
}

#[test]
fn what_could_not_be_read_is_an_error() {
    let unread = crate::container::Unread {
        path: ImagePath::new(b"etc/secret").unwrap(),
        reason: "Permission denied (os error 13)".into(),
    };
    let report = report(&clean(), None, vec![unread]);
    assert_eq!(lines(&report), ["readable /etc/secret: Permission denied (os error 13)"]);
    assert!(report.is_fatal(false));
}

#[test]
fn what_layers_bring_in_vain_is_counted() {
    use crate::digest::ObjectId;
    use crate::repo::{Change, LayerTree, Meta, Mtime, Node};
    let path = |path: &str| ImagePath::new(path.as_bytes()).unwrap();
    let set = |at: &str, size: u64| {
        let node = Node::File { object: ObjectId([size as u8; 32]), size };
        (path(at), Change::Set { meta: Meta::default(), mtime: Mtime::default(), node })
    };
    let directory = |at: &str| {
        (path(at), Change::Set { meta: Meta::default(), mtime: Mtime::default(), node: Node::Directory })
    };
    let layer = |changes: Vec<(ImagePath, Change)>, opaque: &[&str]| LayerTree {
        changes,
        opaque: opaque.iter().map(|at| path(at)).collect(),
    };
    let layers = [
        layer(vec![directory("a"), set("a/b", 10), set("a/c", 20), set("d", 5), set("kept", 7)], &[]),
        layer(vec![(path("a"), Change::Whiteout), set("d", 6)], &[]),
        layer(vec![directory("e"), set("e/f", 3)], &[]),
        layer(vec![directory("e")], &["e"]),
        layer(vec![(path("nothing"), Change::Whiteout)], &[]),
    ];
    let undone = rules::layers::undone(&layers);
    let shown: Vec<_> =
        undone.iter().map(|(layer, (bytes, path))| format!("{layer} {bytes} {path}")).collect();
    assert_eq!(shown, ["0 35 a/c", "2 3 e/f"]);
}

#[test]
fn settings_leave_out_allow_and_change_levels() {
    let files =
        clean().file("etc/machine-id", "0123").dir("usr/etc").file("var/log/a", "x").file("var/log/b", "x");
    let settings = Settings::parse(
        "skip = ['machine-id']\n[level]\nvar-log = 'error'\n[[allow]]\nlint = 'var-log'\npath = '/var/**/a'\nreason = 'kept'\n\
         [[allow]]\nlint = 'etc'\nreason = 'as well'\n",
        "f",
    )
    .unwrap();
    let root = files.root();
    let subject = Subject { root: &root, image: None, base: None, epoch: None, architecture: "amd64".into() };
    let report = run(&subject, &settings, "test");
    assert_eq!(lines(&report), ["var-log /var/log/b: it has 1 bytes"]);
    assert_eq!((report.errors, report.warnings, report.allowed), (1, 0, 2));
}

#[test]
fn other_programs_get_what_they_can_read() {
    let report = report(&clean().file(b"etc/a\xff%,b", "x"), None, Vec::new());
    assert_eq!(
        github(&report),
        "::warning title=reroot lint names::/etc/a\\xff%25,b: its name is not UTF-8. Rename it; certificates with such names are \
         made by the unpacking of old archives\n"
    );
    let sarif = sarif(&report);
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("names"), Some("warning")));
    let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
    assert_eq!(rule["id"], "names");
    let place = &result["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(place["uri"], "etc/a%5Cxff%25%2Cb");
}

#[test]
fn the_page_about_lints_is_that_of_the_code() {
    let page = include_str!("../../../../docs/lints.md");
    assert_eq!(page, markdown(), "`reroot container lint --list --format markdown` makes it");
}

#[test]
fn what_a_lint_cannot_read_is_a_finding() {
    let report = report(&clean().file("etc/machine-id", "x".repeat(5000)), None, Vec::new());
    assert_eq!(
        lines(&report),
        [
            "machine-id it could not be looked for: /etc/machine-id has 5000 bytes, more than the 1024 that are read"
        ]
    );
}

#[test]
fn defaults_may_be_in_usr_etc() {
    let report = report(&clean().moved("etc", "usr/etc"), None, Vec::new());
    assert_eq!(lines(&report), [""; 0]);
}
