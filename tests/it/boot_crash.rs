//! `$BOOT` at every moment of a change: what a loader would boot is whole, and the same change finishes later.
//! (Invariant I: the default is always a deployment whose kernel is there, and the booted one stays in the menu.)

use std::collections::BTreeSet;
use std::process::Command;

use reroot::boot::grub::GrubRoot;
use reroot::boot::kernel::BootDigest;
use reroot::boot::plan::{Menu, Plan, Wanted};

use crate::support::boot::{Boot, on_trial, wanted};

fn grub() -> Menu {
    Menu::Grub(GrubRoot::new("1A2B-3C4D", "/boot").unwrap())
}

/// The plan as far as it had come after each of its steps.
fn prefixes(plan: &Plan) -> Vec<Plan> {
    let everything: BTreeSet<BootDigest> = plan
        .pairs_to_keep
        .iter()
        .copied()
        .chain(plan.pairs_to_sweep.iter().map(|pair| pair.digest))
        .collect();
    let mut done = Plan { pairs_to_keep: everything, needed_bytes: plan.needed_bytes, ..Plan::default() };
    let mut prefixes = vec![done.clone()];
    for pair in &plan.pairs_to_write {
        done.pairs_to_write.push(*pair);
        prefixes.push(done.clone());
    }
    for name in &plan.useless_entries {
        done.useless_entries.push(name.clone());
        prefixes.push(done.clone());
    }
    for entry in &plan.entries_to_write {
        done.entries_to_write.push(entry.clone());
        prefixes.push(done.clone());
    }
    if plan.grub_menu.is_some() {
        done.grub_menu.clone_from(&plan.grub_menu);
        prefixes.push(done.clone());
    }
    for name in &plan.entries_to_remove {
        done.entries_to_remove.push(name.clone());
        prefixes.push(done.clone());
    }
    for pair in &plan.pairs_to_sweep {
        done.pairs_to_keep.remove(&pair.digest);
        prefixes.push(done.clone());
    }
    prefixes
}

/// Deployments of `old` are there, `new` are wanted; the first of `old` is running, when `new` still has it.
fn assert_survives(menu: &Menu, old: &[Wanted], new: &[Wanted]) {
    let booted = |all: &[Wanted]| all.iter().map(|w| w.options.clone()).collect::<Vec<_>>();
    let running = booted(old).first().cloned().filter(|options| booted(new).contains(options));
    let whole = {
        let boot = Boot::new(menu.clone());
        if !old.is_empty() {
            boot.reach(old);
        }
        boot.plan(new)
    };
    let mut defaults = Vec::new();
    for step in prefixes(&whole) {
        let boot = Boot::new(menu.clone());
        if !old.is_empty() {
            boot.reach(old);
        }
        boot.execute(&step).unwrap();
        let listed = boot.listed();
        // GRUB lists what the menu has; what it names must be there, and not only the default.
        match (menu, listed.first()) {
            (Menu::Entries, Some(default)) => default.assert_complete(boot.path()),
            (Menu::Grub(_), _) => listed.iter().for_each(|entry| entry.assert_complete(boot.path())),
            (Menu::Entries, None) => {}
        }
        assert!(old.is_empty() || !listed.is_empty(), "nothing to boot after {step:?}");
        if let Some(options) = &running {
            assert!(
                listed.iter().any(|entry| entry.options == *options),
                "the running system is gone after {step:?}"
            );
        }
        defaults.push(listed.first().map(|entry| entry.deployment()));
        // The same change again, from here.
        boot.reach(new);
        let listed = boot.listed();
        listed.iter().for_each(|entry| entry.assert_complete(boot.path()));
        assert_eq!(
            listed.iter().map(|e| &e.options).collect::<Vec<_>>(),
            new.iter().map(|w| &w.options).collect::<Vec<_>>()
        );
        assert!(boot.plan(new).is_empty());
        let digests: BTreeSet<_> = new.iter().map(|w| w.pair.digest.to_string()).collect();
        let kept: BTreeSet<_> = boot
            .files()
            .keys()
            .filter_map(|p| p.strip_prefix("reroot/")?.split('/').next().map(String::from))
            .collect();
        assert_eq!(kept, digests);
        assert!(!boot.files().keys().any(|path| path.contains(".tmp-") || path.contains(".del-")));
    }
    // What boots changes once.
    defaults.dedup();
    assert!(defaults.len() <= 2, "{defaults:?}");
}

#[test]
fn a_change_that_stops_after_any_step_leaves_a_system_that_boots() {
    let (one, two, three) = (wanted(1, 1, 1), wanted(2, 2, 2), wanted(3, 3, 3));
    let again = wanted(4, 1, 1);
    for menu in [Menu::Entries, grub()] {
        for (old, new) in [
            (vec![], vec![one.clone()]),
            (vec![one.clone()], vec![two.clone(), one.clone()]),
            (vec![two.clone(), one.clone()], vec![three.clone(), two.clone()]),
            // A rollback.
            (vec![two.clone(), one.clone()], vec![again.clone(), two.clone()]),
            // The default goes without a new one.
            (vec![three.clone(), two.clone(), one.clone()], vec![one.clone()]),
            // Everything changes.
            (vec![two.clone(), one.clone()], vec![wanted(6, 6, 6), wanted(5, 5, 6)]),
            (vec![two.clone(), one.clone()], vec![two.clone(), one.clone()]),
            // One on trial comes, and turns out well.
            (vec![one.clone()], vec![on_trial(2, 2, 2, 3), one.clone()]),
            (vec![on_trial(2, 2, 2, 3), one.clone()], vec![two.clone(), one.clone()]),
            (vec![on_trial(2, 2, 2, 3), one.clone()], vec![on_trial(3, 3, 2, 3), two.clone()]),
        ] {
            assert_survives(&menu, &old, &new);
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn any_change_that_stops_anywhere_leaves_a_system_that_boots(
        old in proptest::collection::btree_map(1..7_u64, 1..4_u64, 0..4),
        new in proptest::collection::btree_map(4..10_u64, 1..4_u64, 1..4),
        generated: bool,
    ) {
        let list = |orders: &std::collections::BTreeMap<u64, u64>| {
            orders.iter().rev().map(|(order, kernel)| wanted(*order, *order, *kernel)).collect::<Vec<_>>()
        };
        // An order stands for one deployment.
        let shared = new.into_iter().map(|(order, kernel)| (order, *old.get(&order).unwrap_or(&kernel))).collect();
        assert_survives(&if generated { grub() } else { Menu::Entries }, &list(&old), &list(&shared));
    }
}

/// Run by the test below, which stops it.
#[test]
fn child() {
    let Some(path) = std::env::var_os("REROOT_TEST_BOOT") else { return };
    let mut boot =
        Boot::new(if std::env::var_os("REROOT_TEST_GRUB").is_some() { grub() } else { Menu::Entries });
    boot.dir = reroot::fsx::open_dir(std::path::Path::new(&path)).unwrap();
    boot.reach(&[wanted(4, 4, 3), wanted(3, 3, 5)]);
}

#[test]
fn a_program_that_dies_at_a_crash_point_leaves_a_system_that_boots() {
    for menu in [Menu::Entries, grub()] {
        let is_grub = menu != Menu::Entries;
        for point in [
            "boot.pair-written",
            "boot.pair-written:2",
            "boot.entry-written",
            "boot.entry-written:2",
            "boot.menu-prepared",
            "boot.menu-written",
            "boot.entries-removed",
            "boot.pairs-swept",
        ] {
            if point.starts_with("boot.menu") && !is_grub {
                continue;
            }
            let boot = Boot::new(menu.clone());
            boot.reach(&[wanted(2, 2, 2), wanted(1, 1, 1)]);
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "boot_crash::child"]).env("REROOT_TEST_BOOT", boot.path());
            child.env("REROOT_CRASHPOINT", format!("{point}=abort"));
            if is_grub {
                child.env("REROOT_TEST_GRUB", "1");
            }
            let output = child.output().unwrap();
            assert_eq!(output.status.code(), None, "{point} was not reached: {output:?}");
            let listed = boot.listed();
            listed[0].assert_complete(boot.path());
            let is_new = listed[0].deployment() == 4;
            let committed = if is_grub {
                !point.contains("pair-w") && !point.contains("entry-w") && !point.contains("prepared")
            } else {
                !point.contains("pair-w")
            };
            assert_eq!(is_new, committed, "{point}");
            boot.reach(&[wanted(4, 4, 3), wanted(3, 3, 5)]);
            assert_eq!(boot.listed().iter().map(|e| e.deployment()).collect::<Vec<_>>(), [4, 3]);
        }
    }
}
