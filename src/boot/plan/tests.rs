use super::*;

fn digest(n: u64) -> BootDigest {
    format!("{n:032x}").parse().unwrap()
}

fn pair(n: u64) -> Pair {
    Pair { digest: digest(n), vmlinuz_bytes: 10_000 + n, initrd_bytes: 20_000 + n }
}

/// `order:deployment:kernel`
fn wanted(text: &str) -> Vec<Wanted> {
    let one = |text: &str| {
        let numbers: Vec<u64> = text.split(':').map(|n| n.parse().unwrap()).collect();
        Wanted {
            order: BootOrder::new(numbers[0]).unwrap(),
            title: format!("Debian (reroot:{})", numbers[1]),
            options: format!("ro reroot=/reroot/deploy/default/deploy/{}", numbers[1]),
            pair: pair(numbers[2]),
            machine_id: None,
            tries: None,
            extra: Vec::new(),
        }
    };
    text.split_whitespace().map(one).collect()
}

fn entry_of(wanted: &Wanted) -> Entry {
    let (name, bls) = new_entry(wanted, &Menu::Entries, wanted.machine_id.as_deref()).unwrap();
    Entry { file_name: name.to_string(), name: Some(name), bls }
}

fn foreign(file_name: &str, text: &str) -> Entry {
    Entry { file_name: file_name.into(), name: None, bls: BlsEntry::parse(text.as_bytes(), "f").unwrap() }
}

/// A $BOOT that has exactly what is wanted.
fn observed(wanted: &[Wanted]) -> Observed {
    let mut observed = Observed {
        entries: Entries { entries: wanted.iter().map(entry_of).collect(), ..Entries::default() },
        pairs: wanted.iter().map(|w| w.pair).collect(),
        available_bytes: 1 << 30,
        grub_menu: None,
        spared: BTreeSet::new(),
    };
    observed.pairs.sort();
    observed.pairs.dedup();
    observed
}

fn steps(plan: &Plan) -> String {
    let short = |name: &str| {
        name.trim_start_matches("reroot-").trim_start_matches('0').trim_end_matches(".conf").to_string()
    };
    let number = |pair: &Pair| pair.vmlinuz_bytes - 10_000;
    let mut steps = Vec::new();
    steps.extend(plan.pairs_to_write.iter().map(|p| format!("kernel {}", number(p))));
    steps.extend(plan.useless_entries.iter().map(|n| format!("useless {}", short(n))));
    steps.extend(plan.entries_to_write.iter().map(|(n, _)| format!("entry {}", short(&n.to_string()))));
    steps.extend(plan.grub_menu.iter().map(|_| "menu".to_string()));
    steps.extend(plan.entries_to_remove.iter().map(|n| format!("remove {}", short(n))));
    steps.extend(plan.pairs_to_sweep.iter().map(|p| format!("sweep {}", number(p))));
    steps.extend(
        plan.differences.iter().map(|d| format!("differs {} {}", short(&d.file_name), d.keys.join("+"))),
    );
    steps.join(", ")
}

#[track_caller]
fn assert_steps(on_boot: &str, wants: &str, expected: &str) {
    let plan = plan(&wanted(wants), &Menu::Entries, &observed(&wanted(on_boot))).unwrap();
    assert_eq!(steps(&plan), expected);
    assert_eq!(plan.is_empty(), expected.is_empty());
}

#[test]
fn the_entry_of_a_deployment_that_cannot_be_read_stays() {
    let there = wanted("3:3:3 2:2:2 1:1:1");
    let mut observed = observed(&there);
    assert_eq!(
        steps(&plan(&wanted("4:4:1 1:1:1"), &Menu::Entries, &observed).unwrap()),
        "entry 4, remove 2, remove 3, sweep 2, sweep 3"
    );
    observed.spared.insert("/reroot/deploy/default/deploy/2".into());
    assert_eq!(
        steps(&plan(&wanted("4:4:1 1:1:1"), &Menu::Entries, &observed).unwrap()),
        "entry 4, remove 3, sweep 3"
    );
}

#[test]
fn deployments_come_and_go() {
    assert_steps("", "1:1:1", "kernel 1, entry 1");
    assert_steps("1:1:1", "1:1:1", "");
    // An upgrade with the same kernel, and one with another.
    assert_steps("1:1:1", "2:2:1 1:1:1", "entry 2");
    assert_steps("1:1:1", "2:2:2 1:1:1", "kernel 2, entry 2");
    // The default first, so that one step changes what boots.
    assert_steps("1:1:1", "4:4:3 3:3:2 1:1:1", "kernel 3, kernel 2, entry 4, entry 3");
    // Pruning: from the end of the menu to its start, kernels last.
    assert_steps("5:5:5 4:4:4 3:3:4 2:2:2", "5:5:5", "remove 2, remove 3, remove 4, sweep 2, sweep 4");
    // A rollback writes the older deployment again under the next number.
    assert_steps("2:2:2 1:1:1", "3:1:1 2:2:2", "entry 3, remove 1");
    // The first of the menu goes after everything below it.
    assert_steps("9:9:9 8:8:8 5:5:5", "7:7:5 5:5:5", "entry 7, remove 8, remove 9, sweep 8, sweep 9");
}

#[test]
fn nonsense_is_refused() {
    let refused =
        |wants: &str| plan(&wanted(wants), &Menu::Entries, &Observed::default()).unwrap_err().to_string();
    assert_eq!(refused(""), "no deployment would be left to boot");
    assert_eq!(refused("1:1:1 2:2:2"), "the wanted deployments are not in boot order, or two have the same");
    assert_eq!(refused("1:1:1 1:2:2"), "the wanted deployments are not in boot order, or two have the same");
    let mut two = wanted("2:2:1 1:1:1");
    two[0].pair.initrd_bytes += 1;
    assert!(plan(&two, &Menu::Entries, &Observed::default()).is_err());
    for options in ["ro", "reroot=/a reroot=/b"] {
        let mut other = wanted("1:1:1");
        other[0].options = options.into();
        let error = plan(&other, &Menu::Entries, &Observed::default()).unwrap_err().to_string();
        assert_eq!(error, "the entry with order 1 needs one argument `reroot=`");
    }
    let mut bad = wanted("1:1:1");
    bad[0].options.push('\n');
    assert!(matches!(plan(&bad, &Menu::Entries, &Observed::default()), Err(Error::Value(_))));
}

#[test]
fn counters_are_the_loaders() {
    let mut all = wanted("2:2:1 1:1:1");
    all[0].tries = NonZeroU32::new(3);
    let new = plan(&all, &Menu::Entries, &observed(&all[1..])).unwrap();
    assert_eq!(steps(&new), "entry 2+3");
    // Whatever became of them, the entry is there.
    let mut seen = observed(&all);
    for name in [
        "reroot-0000000002+3.conf",
        "reroot-0000000002+1-2.conf",
        "reroot-0000000002+0-3.conf",
        "reroot-0000000002.conf",
    ] {
        seen.entries.entries[0].file_name = name.into();
        seen.entries.entries[0].name = name.parse().ok();
        assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "", "{name}");
    }
    // A power cut while the loader renamed may leave both names; the one that booted well stays.
    let mut counted = seen.entries.entries[0].clone();
    counted.file_name = "reroot-0000000002+2-1.conf".into();
    counted.name = counted.file_name.parse().ok();
    seen.entries.entries.insert(0, counted);
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "remove 2+2-1");
}

#[test]
fn the_arguments_of_a_trial_are_in_its_entry_and_are_no_difference() {
    let mut all = wanted("2:2:1 1:1:1");
    all[0].tries = NonZeroU32::new(3);
    let new = plan(&all, &Menu::Entries, &observed(&all[1..])).unwrap();
    let options = new.entries_to_write[0].1.options();
    assert_eq!(options, "ro reroot=/reroot/deploy/default/deploy/2 panic=10 rd.shell=0 rd.emergency=reboot");
    // systemd-bless-boot takes away the counters and nothing else.
    let mut seen = observed(&all);
    seen.entries.entries[0].file_name = "reroot-0000000002.conf".into();
    seen.entries.entries[0].name = "reroot-0000000002.conf".parse().ok();
    for tries in [None, NonZeroU32::new(3)] {
        all[0].tries = tries;
        assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "");
    }
}

#[test]
fn a_trial_ends_with_a_new_entry() {
    let mut all = wanted("2:2:1 1:1:1");
    all[0].tries = NonZeroU32::new(3);
    let mut seen = observed(&all);
    let set_name = |entry: &mut Entry, name: &str| {
        entry.file_name = name.into();
        entry.name = name.parse().ok();
    };
    all[0].tries = None;
    for name in ["reroot-0000000002+3.conf", "reroot-0000000002+2-1.conf", "reroot-0000000002+0-3.conf"] {
        set_name(&mut seen.entries.entries[0], name);
        let plan = plan(&all, &Menu::Entries, &seen).unwrap();
        let counted = name.trim_start_matches("reroot-000000000").trim_end_matches(".conf");
        assert_eq!(steps(&plan), format!("entry 2, remove {counted}"));
        assert_eq!(plan.entries_to_write[0].1, entry(&all[0], &all[0].options, None).unwrap());
    }
    // The new one was written, and then the power went.
    let mut both = seen.clone();
    both.entries.entries.insert(0, entry_of(&all[0]));
    assert_eq!(steps(&plan(&all, &Menu::Entries, &both).unwrap()), "remove 2+0-3");
    // Where it goes to is something that nothing boots.
    let unreadable = entries::Unreadable {
        file_name: "reroot-0000000002.conf".into(),
        name: "reroot-0000000002.conf".parse().ok(),
        reason: "x".into(),
    };
    both = seen.clone();
    both.entries.unreadable.push(unreadable);
    assert_eq!(steps(&plan(&all, &Menu::Entries, &both).unwrap()), "useless 2, entry 2, remove 2+0-3");
}

#[test]
fn what_people_changed_during_a_trial_stays_after_it() {
    let mut all = wanted("2:2:1 1:1:1");
    all[0].tries = NonZeroU32::new(3);
    let mut seen = observed(&all);
    let text = seen.entries.entries[0].bls.print().replace("ro ", "ro nomodeset ") + "x-note mine\n";
    let text = text.replace(&digest(1).to_string(), &digest(7).to_string());
    seen.entries.entries[0].bls = BlsEntry::parse(text.as_bytes(), "f").unwrap();
    seen.pairs.push(pair(7));
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "differs 2+3 options+linux+initrd");
    all[0].tries = None;
    let over = plan(&all, &Menu::Entries, &seen).unwrap();
    assert_eq!(steps(&over), "entry 2, remove 2+3, differs 2+3 options+linux+initrd");
    let written = over.entries_to_write[0].1.print();
    assert_eq!(written, text.replace(" panic=10 rd.shell=0 rd.emergency=reboot", ""));
}

#[test]
fn what_people_changed_stays_and_is_reported() {
    let all = wanted("2:2:2 1:1:1");
    let mut seen = observed(&all);
    let text = seen.entries.entries[1].bls.print().replace("ro ", "ro nomodeset ") + "x-note mine\n";
    seen.entries.entries[1].bls = BlsEntry::parse(text.as_bytes(), "f").unwrap();
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "differs 1 options");
    // Another kernel of theirs is theirs; one of ours that they name is kept.
    let text = text.replace(&digest(1).to_string(), &digest(7).to_string());
    seen.entries.entries[1].bls = BlsEntry::parse(text.as_bytes(), "f").unwrap();
    seen.pairs.push(pair(7));
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "differs 1 options+linux+initrd");
}

#[test]
fn what_no_loader_can_boot_is_written_again() {
    let all = wanted("2:2:2 1:1:1");
    for text in ["", "title a\noptions reroot=/reroot/deploy/default/deploy/1\n", "linux /reroot/x/vmlinuz\n"]
    {
        let mut seen = observed(&all);
        seen.entries.entries[1].bls = BlsEntry::parse(text.as_bytes(), "f").unwrap();
        assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "useless 1, entry 1", "{text}");
    }
    let mut seen = observed(&all);
    let gone = seen.entries.entries.remove(1);
    seen.entries.unreadable.push(entries::Unreadable {
        file_name: gone.file_name,
        name: gone.name,
        reason: "x".into(),
    });
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "useless 1, entry 1");
    assert_eq!(steps(&plan(&all[..1], &Menu::Entries, &seen).unwrap()), "remove 1, sweep 1");
    // A kernel that was lost is written again; the entry is good then.
    let mut seen = observed(&all);
    seen.pairs.pop();
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "kernel 2");
    // So is one whose size is wrong.
    seen.pairs.push(Pair { initrd_bytes: 1, ..pair(2) });
    assert_eq!(steps(&plan(&all, &Menu::Entries, &seen).unwrap()), "kernel 2");
}

#[test]
fn an_order_that_was_given_twice_is_an_error() {
    let error = plan(&wanted("2:3:3 1:1:1"), &Menu::Entries, &observed(&wanted("2:2:2 1:1:1"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "loader/entries/reroot-0000000002.conf already boots something else: /reroot/deploy/default/deploy/2"
    );
}

#[test]
fn other_systems_are_left_alone() {
    let all = wanted("1:1:1");
    let mut seen = observed(&wanted("2:2:2 1:1:1"));
    seen.entries.entries.push(foreign("debian.conf", "title Debian\nlinux /vmlinuz\n"));
    seen.entries.entries.push(foreign("reroot-rescue.conf", &format!("linux {}\n", digest(2).linux_path())));
    seen.entries.unreadable.push(entries::Unreadable {
        file_name: "x.conf".into(),
        name: None,
        reason: "x".into(),
    });
    let plan = plan(&all, &Menu::Entries, &seen).unwrap();
    // The copy that somebody made of our entry still names the kernel.
    assert_eq!(steps(&plan), "remove 2");
}

#[test]
fn the_machine_id_is_in_all_entries_or_in_none() {
    const ID: &str = "6a9857a393724b7a981ebb5b8495b9ea";
    let with_id = |mut all: Vec<Wanted>, ids: &[Option<&str>]| {
        all.iter_mut().zip(ids).for_each(|(w, id)| w.machine_id = id.map(String::from));
        all
    };
    let other = "00000000000000000000000000000001";
    for (on_boot, wants, expected) in [
        (&[][..], &[Some(ID)][..], Some(ID)),
        (&[], &[None], None),
        (&[Some(ID)], &[Some(ID), Some(ID)], Some(ID)),
        // Installed before the id was known: never any more, or the new entry would sort after the old one.
        (&[None], &[Some(ID), Some(ID)], None),
        (&[Some(other)], &[Some(ID), Some(ID)], None),
        (&[Some(ID)], &[None, Some(ID)], None),
    ] {
        let old = with_id(wanted("1:1:1"), on_boot);
        let seen = if on_boot.is_empty() { Observed::default() } else { observed(&old) };
        let all = with_id(wanted("2:2:2 1:1:1")[2 - wants.len()..].to_vec(), wants);
        let plan = plan(&all, &Menu::Entries, &seen).unwrap();
        assert_eq!(plan.entries_to_write[0].1.machine_id(), expected, "{on_boot:?} {wants:?}");
    }
}

#[test]
fn space_is_counted_with_what_fat_rounds_up() {
    let plan = plan(
        &wanted("2:2:2 1:1:1"),
        &Menu::Entries,
        &Observed { available_bytes: 100, ..observed(&wanted("1:1:1")) },
    );
    let plan = plan.unwrap();
    assert_eq!(plan.needed_bytes, (3 + 1) * FILE_BYTES);
    assert_eq!(plan.shortage_bytes(), plan.needed_bytes - 100);
    let less = super::plan(&wanted("2:2:1"), &Menu::Entries, &observed(&wanted("1:1:1 "))).unwrap();
    assert_eq!((less.needed_bytes, less.shortage_bytes(), less.freed_bytes()), (FILE_BYTES, 0, 0));
    let freed = super::plan(&wanted("2:2:2"), &Menu::Entries, &observed(&wanted("2:2:2 1:1:1"))).unwrap();
    assert_eq!(freed.freed_bytes(), 30_002);
}

#[test]
fn grub_gets_a_menu_when_it_changes() {
    let root = GrubRoot::new("1A2B-3C4D", "/boot").unwrap();
    let menu = Menu::Grub(root.clone());
    let mut seen = observed(&wanted("1:1:1"));
    seen.entries.entries.insert(0, foreign("a.conf", "title A\nsort-key a\nlinux /a\n"));
    let first = plan(&wanted("2:2:2 1:1:1"), &menu, &seen).unwrap();
    assert_eq!(steps(&first), "kernel 2, entry 2, menu");
    let text = first.grub_menu.unwrap();
    let titles: Vec<_> = text
        .lines()
        .filter(|l| l.starts_with("menuentry"))
        .map(|l| l.split("--id ").nth(1).unwrap())
        .collect();
    assert_eq!(titles, ["a {", "reroot-0000000002 {", "reroot-0000000001 {"]);
    assert!(text.contains("set default=reroot-0000000002\n"));

    let mut seen = observed(&wanted("2:2:2 1:1:1"));
    seen.entries.entries.insert(0, foreign("a.conf", "title A\nsort-key a\nlinux /a\n"));
    seen.grub_menu = Some(text.into_bytes());
    assert_eq!(steps(&plan(&wanted("2:2:2 1:1:1"), &menu, &seen).unwrap()), "");
    assert_eq!(steps(&plan(&wanted("2:2:2"), &menu, &seen).unwrap()), "menu, remove 1, sweep 1");
    let mut bad = wanted("3:3:2 2:2:2");
    bad[0].options += " a=it's";
    assert!(plan(&bad, &menu, &seen).unwrap_err().to_string().contains("GRUB cannot pass"));
}
