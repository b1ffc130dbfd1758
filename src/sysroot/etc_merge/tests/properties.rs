//! What holds for all trees.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::support::*;

/// A path and what it is, in the words of [`write`]; a tree has each path once, and nothing below what is no
/// directory.
fn tree() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4);
    let node = prop::sample::select(vec!["=1", "=2", "=1:600", "/", "/:700", "->x", "->y", ""]);
    prop::collection::vec((path, node), 0..10).prop_map(|entries| {
        let mut tree: BTreeMap<String, &str> = BTreeMap::new();
        for (path, node) in entries {
            let whole = path.join("/");
            let blocked = (1..path.len())
                .any(|n| tree.get(&path[..n].join("/")).is_some_and(|node| !node.starts_with('/')));
            let has_below = tree.keys().any(|other| other.starts_with(&format!("{whole}/")));
            if !node.is_empty() && !blocked && (!has_below || node.starts_with('/')) {
                tree.insert(whole, node);
            }
        }
        tree.iter().map(|(path, node)| format!("{path}{node}")).collect::<Vec<_>>().join(" ")
    })
}

/// What is kept of a path: type, mode, content, without the time.
fn untimed(dir: &std::path::Path) -> BTreeMap<String, String> {
    let mut facts = facts(dir);
    facts[0] = format!("/ {}", facts[0]);
    let fact = |line: &String| {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        (words[0].to_string(), format!("{} {} {}", words[1], words[2], words[4]))
    };
    facts.iter().map(fact).collect()
}

/// Each case makes and reads a dozen directories; `PROPTEST_CASES` asks for more.
fn some() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases / 4, ..config }
}

proptest! {
    #![proptest_config(some())]

    #[test]
    fn without_local_changes_the_merge_is_the_new_defaults(base in tree(), new in tree()) {
        let etc = Etc::new(&base, &base, &new);
        let (_, report) = etc.merge();
        prop_assert_eq!(facts(&etc.path("merged")), facts(&etc.path("new")));
        prop_assert_eq!(report.modified.total + report.added.total + report.deleted.total, 0);
    }

    #[test]
    fn without_new_defaults_the_merge_is_the_live_tree(base in tree(), local in tree()) {
        let etc = Etc::new(&base, &local, &base);
        let (_, report) = etc.merge();
        prop_assert_eq!(untimed(&etc.path("merged")), untimed(&etc.path("local")));
        prop_assert_eq!((report.conflicts.total, report.both_changed.total), (0, 0));
    }

    #[test]
    fn local_wins_wherever_there_is_no_conflict(base in tree(), local in tree(), new in tree()) {
        let etc = Etc::new(&base, &local, &new);
        let Ok((_, report)) = etc.merge_with(|| ()) else { return Ok(()) };
        let [base, local, new, merged] = ["base", "local", "new", "merged"].map(|t| untimed(&etc.path(t)));
        for (path, now) in &local {
            if base.get(path) != Some(now) {
                prop_assert_eq!(merged.get(path), Some(now), "{} was changed here", path);
            }
        }
        for path in base.keys().filter(|path| !local.contains_key(*path)) {
            let needed = merged.keys().any(|other| other.starts_with(&format!("{path}/")));
            prop_assert!(needed || !merged.contains_key(path), "{} was deleted here", path);
        }
        for (path, now) in &merged {
            prop_assert!(local.get(path) == Some(now) || new.get(path) == Some(now), "{} comes from nowhere", path);
        }
        prop_assert_eq!(report.vanished, 0);
    }

    #[test]
    fn a_second_merge_changes_nothing(
        base in tree(),
        local in tree(),
        new in tree(),
        strategy in prop::sample::select(vec![EtcStrategy::KeepLocal, EtcStrategy::TakeNew]),
    ) {
        let etc = Etc::new(&base, &local, &new).strategy(strategy);
        etc.merge();
        let (_, report) = etc.merge_of(["new", "merged", "new", "again"], || ()).unwrap();
        prop_assert_eq!(facts(&etc.path("again")).len(), facts(&etc.path("merged")).len());
        prop_assert_eq!(untimed(&etc.path("again")), untimed(&etc.path("merged")));
        prop_assert_eq!((report.conflicts.total, report.both_changed.total), (0, 0));
    }

    #[test]
    fn every_conflict_is_settled_by_the_rule_that_it_proposes(base in tree(), local in tree(), new in tree()) {
        let mut etc = Etc::new(&base, &local, &new);
        let Err(text) = etc.merge_with(|| ()) else { return Ok(()) };
        let rules: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .map(|line| format!("{line}\n"))
            .collect();
        etc.options.rules = Rules::parse(&rules, "proposed").unwrap();
        prop_assert!(etc.merge_of(["base", "local", "new", "settled"], || ()).is_ok());
    }
}
