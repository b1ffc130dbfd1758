//! Others' readers as judges: systemd for the order of entries and versions, GRUB for its language.

use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use reroot::boot::entries::read_entries;
use reroot::boot::grub::{GrubRoot, esp_stub, main_config, quote};
use reroot::boot::order::compare_versions;
use reroot::boot::plan::Menu;

use crate::support::boot::{Boot, wanted};
use crate::support::skip::skip;
use crate::support::tools::{command, missing, missing_for_root, run};

/// Values that are the same in every run.
fn samples<T>(strategy: impl Strategy<Value = T>, number: usize) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..number).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn versions_are_ordered_as_systemd_orders_them() {
    if let Some(reason) = missing(&["systemd-analyze"]) {
        return skip("versions_are_ordered_as_systemd_orders_them", reason);
    }
    for (a, b) in samples(("[0129.~^a-c_+-]{0,7}", "[0129.~^a-c_+-]{0,7}"), 250) {
        // Leading `-` would be an option; an empty argument is an error there.
        let (a, b) = (format!("1{a}"), format!("1{b}"));
        let output = command("systemd-analyze").args(["compare-versions", &a, &b]).output().unwrap();
        let expected = match output.status.code() {
            Some(0) => "Equal",
            Some(11) => "Greater",
            Some(12) => "Less",
            _ => panic!("{a} {b}: {output:?}"),
        };
        assert_eq!(format!("{:?}", compare_versions(&a, &b)), expected, "{a} {b}");
    }
}

#[test]
fn entries_are_ordered_as_bootctl_orders_them() {
    if let Some(reason) = missing_for_root(&["bootctl", "unshare"]) {
        return skip("entries_are_ordered_as_bootctl_orders_them", reason);
    }
    let boot = Boot::new(Menu::Entries);
    boot.reach(&[wanted(10, 10, 2), wanted(9, 9, 2), wanted(2, 2, 1)]);
    let ours = |name: &str| format!("loader/entries/{name}");
    let text = boot.files()[&ours("reroot-0000000010.conf")].clone();
    for (file_name, change) in [
        ("reroot-0000000011+0-3.conf", ("version 10", "version 11")),
        ("reroot-0000000012+2-1.conf", ("version 10", "version 12")),
        ("other.conf", ("sort-key reroot", "sort-key other")),
        ("with-id.conf", ("version 10", "machine-id 6a9857a393724b7a981ebb5b8495b9ea\nversion 99")),
        ("z-old-style-10.conf", ("sort-key reroot\n", "")),
        ("z-old-style-9.conf", ("sort-key reroot\n", "")),
        ("zz.conf", ("sort-key reroot", "sort-key zz")),
    ] {
        boot.write(&ours(file_name), String::from_utf8_lossy(&text).replace(change.0, change.1).as_bytes());
    }
    // bootctl wants the root of a file system.
    let script = "mount -t tmpfs none \"$1\" && cp -a \"$0/.\" \"$1\" && bootctl --esp-path=\"$1\" --boot-path=\"$1\" list --json=short";
    let place = tempfile::tempdir().unwrap();
    let mut bootctl = command("unshare");
    bootctl.args(["--mount", "sh", "-c", script]).args([boot.path(), place.path()]);
    bootctl.env("SYSTEMD_RELAX_ESP_CHECKS", "1").env("SYSTEMD_RELAX_XBOOTLDR_CHECKS", "1");
    let printed = run(&mut bootctl);
    // Older versions print a line for each entry, newer ones a list.
    let file_name = |text: &str| text.split('"').next().unwrap().rsplit('/').next().unwrap().to_string();
    let expected: Vec<_> = printed.split("\"path\":\"").skip(1).map(file_name).collect();
    let found: Vec<_> = read_entries(&boot.dir).unwrap().entries.into_iter().map(|e| e.file_name).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 10);
}

#[test]
fn grub_accepts_what_is_generated() {
    if let Some(reason) = missing(&["grub-script-check"]) {
        return skip("grub_accepts_what_is_generated", reason);
    }
    let root = GrubRoot::new("8d4d9b0e-0a51-4a3c-9d5e-5d0b0f1f6d10", "/boot").unwrap();
    let check = |text: &str| {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("grub.cfg");
        std::fs::write(&path, text).unwrap();
        run(command("grub-script-check").arg(path));
    };
    check(&esp_stub(&root, "grub"));
    check(&main_config(&root, 3));
    check(&main_config(&GrubRoot::new("1A2B-3C4D", "").unwrap(), 0));
    let boot = Boot::new(Menu::Grub(root));
    let mut order = 0;
    for (title, options) in
        samples(("[ -~äß]{0,20}", "([ -!#-&(-\\[\\]-~ä]{0,20}|a=\"[ -!#-&(-\\[\\]-~]{0,9}\")"), 40)
    {
        order += 1;
        let mut all = [wanted(order, order, 1)];
        all[0].title = format!("{title}x");
        all[0].options += &format!(" x={options}");
        all[0].tries = std::num::NonZeroU32::new(order as u32 % 4);
        // Values that cannot be in an entry are refused before; what is not refused must be right.
        let observed = reroot::boot::plan::Observed::read(&boot.dir).unwrap();
        if let Ok(plan) = reroot::boot::plan::plan(&all, &boot.menu, &observed) {
            boot.execute(&plan).unwrap();
            check(&String::from_utf8_lossy(&boot.files()["loader/grub.cfg"]));
        }
    }
    assert!(boot.listed().len() == 1 && boot.listed()[0].options.contains(" "));
}

#[test]
fn grub_reads_the_words_that_were_quoted() {
    if let Some(reason) = missing(&["grub-emu"]) {
        return skip("grub_reads_the_words_that_were_quoted", reason);
    }
    let mut words: Vec<String> = samples("[ -~]{0,12}", 60);
    words.extend(
        ["dyndbg=file a.c +p", "x=$y", "It's; {x}", "", "*", "#a", "\\", "a&&b||c"].map(String::from),
    );
    let mut script = String::from("function show {\n\techo \"[$1]\"\n}\n");
    words.iter().for_each(|word| script += &format!("show {}\n", quote(word)));
    script += "exit\n";
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("grub.cfg"), script).unwrap();
    let mut emulator: Command = command("grub-emu");
    let printed = run(emulator.arg("-d").arg(place.path()).env("TERM", "linux"));
    let expected: Vec<_> = words.iter().map(|word| format!("[{word}]")).collect();
    let start = printed.find(&expected[0]).expect("the first word");
    let lines: Vec<_> =
        printed[start..].lines().map(|line| line.trim_matches('\r')).take(expected.len()).collect();
    assert_eq!(lines, expected);
}
