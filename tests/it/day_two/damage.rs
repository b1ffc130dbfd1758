//! State that somebody or something damaged (bootc's scenario 45): what is hit is named, the rest goes on, and the next
//! command repairs or finishes.

use std::fs;

use super::machine::{Loader, Machine};

/// Deployments 1 and 2, which runs; version 3 is out.
fn two(loader: Loader) -> Machine {
    let mut machine = Machine::outdated(loader);
    machine.ok(&["upgrade"]);
    machine.reboot();
    machine.release(3);
    machine
}

fn problems(machine: &Machine) -> Vec<String> {
    let status = machine.status();
    let problems = status["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|problem| format!("{} {}", problem["kind"].as_str().unwrap(), problem["path"]))
        .collect()
}

#[test]
fn entries_of_others_are_never_touched_and_what_they_name_stays() {
    for loader in Loader::ALL {
        let machine = two(loader);
        let entries = machine.boot_dir().join("loader/entries");
        let first = machine.entries("a copy")[1].file_name.clone();
        let text = fs::read_to_string(entries.join(&first)).unwrap();
        let foreign = [
            ("rescue.conf", text.clone()),
            ("reroot-mine.conf", text.replace("/deploy/1", "/deploy/999")),
            ("other-os.conf", "title Other\nlinux /other/vmlinuz\n".into()),
            ("broken.conf", "\u{0}\u{1}garbage".into()),
            ("empty.conf", String::new()),
        ];
        for (name, text) in &foreign {
            fs::write(entries.join(name), text).unwrap();
        }
        fs::create_dir(machine.boot_dir().join("other")).unwrap();
        fs::write(machine.boot_dir().join("other/vmlinuz"), "a kernel of others").unwrap();
        assert_eq!(problems(&machine), [""; 0]);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 3);
        machine.ok(&["rollback", "2"]);
        machine.ok(&["prune", "--retain", "1"]);
        assert_eq!(machine.reboot(), 2);
        for (name, text) in &foreign {
            assert_eq!(fs::read_to_string(entries.join(name)).unwrap(), *text, "{name}");
        }
        assert!(machine.boot_dir().join("other/vmlinuz").exists());
        // Deployment 1 is gone, and the kernel that a copy of its entry names is not.
        assert!(!machine.deployments().join("1").exists());
        let linux = text.lines().find_map(|line| line.strip_prefix("linux /")).unwrap();
        assert!(machine.boot_dir().join(linux).exists());
        assert_eq!(machine.menu("with those of others"), [2, 3]);
        machine.assert_all_boot("with those of others");
    }
}

#[test]
fn an_entry_that_was_edited_stays_as_it_is_and_one_that_was_removed_comes_back() {
    for loader in Loader::ALL {
        let machine = two(loader);
        let entries = machine.boot_dir().join("loader/entries");
        let names: Vec<_> = machine.entries("before").iter().map(|entry| entry.file_name.clone()).collect();
        let edited =
            fs::read_to_string(entries.join(&names[0])).unwrap().replace("options ", "options debug ");
        fs::write(entries.join(&names[0]), &edited).unwrap();
        fs::remove_file(entries.join(&names[1])).unwrap();
        let ran = machine.run(&["upgrade"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(machine.reboot(), 3);
        assert_eq!(fs::read_to_string(entries.join(&names[0])).unwrap(), edited);
        assert_eq!(machine.settled("edited"), [3, 2, 1]);
        assert!(machine.options(2).contains("debug"));
        machine.assert_all_boot("edited");
    }
}

#[test]
fn half_of_an_entry_or_of_a_kernel_is_made_whole_by_the_next_command() {
    for loader in Loader::ALL {
        let machine = two(loader);
        let entries = machine.boot_dir().join("loader/entries");
        let of_one = machine.entries("before")[1].file_name.clone();
        let text = fs::read_to_string(entries.join(&of_one)).unwrap();
        fs::write(entries.join(&of_one), &text[..text.len() / 2]).unwrap();
        let kernel = text.lines().find_map(|line| line.strip_prefix("linux /")).unwrap();
        fs::remove_dir_all(machine.boot_dir().join(kernel).parent().unwrap()).unwrap();
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 3);
        assert_eq!(machine.settled("made whole"), [3, 2, 1]);
        machine.assert_sound("made whole");
    }
}

#[test]
fn run_is_gone_in_the_middle_and_the_same_command_works_again() {
    for loader in Loader::ALL {
        let machine = two(loader);
        machine.ok(&["upgrade"]);
        fs::remove_file(machine.run_dir().join("staged.json")).unwrap();
        assert_eq!(machine.order(), "3: 2:booted+default 1:rollback");
        machine.ok(&["upgrade"]);
        assert_eq!(machine.order(), "4:staged 3: 2:booted+default 1:rollback");
        assert_eq!(machine.reboot(), 4);
        machine.ok(&["prune"]);
        assert_eq!(machine.order(), "4:booted+default 2:rollback 1:");
        machine.assert_sound("again");
    }
}

#[test]
fn a_staged_deployment_without_its_origin_is_named_and_replaced_by_the_next() {
    for loader in Loader::ALL {
        let machine = two(loader);
        machine.ok(&["kargs", "--append", "quiet"]);
        machine.reboot();
        machine.ok(&["upgrade"]);
        fs::remove_file(machine.deployments().join("4.origin")).unwrap();
        assert_eq!(problems(&machine), ["bad-origin \"/reroot/deploy/default/deploy/4.origin\""]);
        let ran = machine.run(&["finalize-staged"]);
        assert!(ran.code != Some(0) && ran.stderr.contains("4.origin"), "{}", ran.stderr);
        for arguments in [vec!["upgrade"], vec!["switch", &machine.stable()]] {
            machine.ok(&arguments);
        }
        assert_eq!(machine.reboot(), 5);
        // The machine's own arguments are those of what runs.
        assert!(machine.options(5).contains("quiet"));
        machine.assert_sound("replaced");
    }
}

#[test]
fn a_staged_deployment_whose_directory_is_gone_is_named_and_replaced_by_the_next() {
    for loader in Loader::ALL {
        let machine = two(loader);
        machine.ok(&["upgrade"]);
        fs::remove_dir_all(machine.deployments().join("3")).unwrap();
        assert_eq!(problems(&machine), ["missing-directory \"/reroot/deploy/default/deploy/3\""]);
        let ran = machine.run(&["finalize-staged"]);
        assert!(ran.code != Some(0) && ran.stderr.contains("deployment 3"), "{}", ran.stderr);
        assert!(ran.stderr.contains("no directory"), "{}", ran.stderr);
        assert_eq!(machine.settled("damaged"), [2, 1]);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.order(), "4:staged 2:booted+default 1:rollback");
        assert_eq!(machine.reboot(), 4);
        machine.assert_sound("replaced");
    }
}

#[test]
fn an_older_deployment_whose_directory_is_gone_leaves_the_menu_with_the_next_command() {
    for loader in Loader::ALL {
        let machine = two(loader);
        fs::remove_dir_all(machine.deployments().join("1")).unwrap();
        assert_eq!(problems(&machine), ["missing-directory \"/reroot/deploy/default/deploy/1\""]);
        machine.refused(&["rollback"], 1, &["no deployment to roll back to"]);
        machine.refused(&["rollback", "1"], 1, &["deployment 1", "no directory"]);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 3);
        assert_eq!(machine.menu("without 1"), [3, 2]);
        machine.ok(&["undeploy", "1"]);
        assert_eq!(problems(&machine), [""; 0]);
        machine.assert_sound("undeployed");
    }
}

#[test]
fn the_running_deployment_is_missed_by_name_when_its_directory_is_gone() {
    for loader in Loader::ALL {
        let machine = two(loader);
        fs::rename(machine.deployments().join("2"), machine.path().join("aside")).unwrap();
        assert_eq!(problems(&machine), ["missing-directory \"/reroot/deploy/default/deploy/2\""]);
        // What is known to be there can be made to boot.
        machine.ok(&["deploy", &machine.stable()]);
        assert_eq!(machine.reboot(), 3);
        assert_eq!(machine.menu("without 2"), [3, 1]);
        machine.ok(&["undeploy", "2"]);
        machine.assert_sound("undeployed");
    }
}

#[test]
fn a_record_that_does_not_parse_is_named_and_nothing_is_removed_until_it_is_undeployed() {
    for loader in Loader::ALL {
        for text in ["", "{", "{\"version\":1}", "\u{0}\u{0}\u{0}"] {
            let machine = two(loader);
            fs::write(machine.deployments().join("1.json"), text).unwrap();
            assert_eq!(problems(&machine), ["damaged-record \"/reroot/deploy/default/deploy/1.json\""]);
            machine.refused(&["prune"], 1, &["nothing is removed while it is unknown", "1.json"]);
            machine.refused(&["rollback", "1"], 1, &["1.json"]);
            machine.ok(&["upgrade"]);
            assert_eq!(machine.reboot(), 3);
            machine.ok(&["undeploy", "1"]);
            machine.ok(&["prune"]);
            assert_eq!(machine.order(), "3:booted+default 2:rollback");
            machine.assert_sound("undeployed");
        }
    }
}

#[test]
fn nothing_new_begins_with_the_etc_of_another_one_than_what_runs() {
    for loader in Loader::ALL {
        let machine = two(loader);
        machine.write(2, "etc/hostname", "today\n");
        let (record, booted) = (machine.deployments().join("2.json"), machine.run_dir().join("booted.json"));
        let stable = machine.stable();
        for (file, shown) in [(&record, "deploy/2.json"), (&booted, "/run/reroot/booted.json")] {
            let before = fs::read(file).unwrap();
            for staged in [false, true] {
                if staged {
                    machine.ok(&["upgrade"]);
                }
                fs::write(file, "{").unwrap();
                machine.refused(&["deploy", &stable], 1, &[shown]);
                machine.refused(&["kargs", "--append", "quiet"], 1, &[shown]);
                if !staged {
                    machine.refused(&["upgrade", "--allow-downgrade"], 1, &[shown]);
                } else {
                    let ran = machine.run(&["finalize-staged"]);
                    assert!(ran.code == Some(1) && ran.stderr.contains(shown), "{}", ran.stderr);
                }
                fs::write(file, &before).unwrap();
                assert_eq!(machine.settled("damaged for a while"), [2, 1]);
            }
            machine.ok(&["unstage"]);
        }
        // What is known can be booted, and the damaged one removed from there.
        fs::write(record, "{").unwrap();
        machine.ok(&["rollback", "1"]);
        assert_eq!(machine.reboot(), 1);
        machine.ok(&["undeploy", "2"]);
        machine.ok(&["upgrade"]);
        machine.reboot();
        machine.assert_sound("without the damaged one");
    }
}

#[test]
fn a_staged_record_that_does_not_parse_boots_nothing_new() {
    for loader in Loader::ALL {
        let machine = two(loader);
        machine.ok(&["upgrade"]);
        fs::write(machine.deployments().join("3.json"), "{").unwrap();
        let ran = machine.run(&["finalize-staged"]);
        assert!(ran.code != Some(0) && ran.stderr.contains("3.json"), "{}", ran.stderr);
        assert_eq!(machine.menu("damaged"), [2, 1]);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 4);
        machine.assert_sound("replaced");
    }
}

#[test]
fn what_is_staged_is_not_guessed_at() {
    for loader in Loader::ALL {
        let machine = two(loader);
        machine.ok(&["upgrade"]);
        fs::write(machine.run_dir().join("staged.json"), "{\"version\":1,\"sta").unwrap();
        assert_eq!(problems(&machine), ["damaged-run-state \"/run/reroot/staged.json\""]);
        for arguments in [vec!["prune"], vec!["undeploy", "1"], vec!["unstage"]] {
            machine.refused(&arguments, 1, &["/run/reroot/staged.json"]);
        }
        assert_eq!(machine.menu("damaged"), [2, 1]);
        assert_eq!(machine.cut_power(), 2);
        machine.ok(&["upgrade"]);
        assert_eq!(machine.reboot(), 4);
        machine.ok(&["prune"]);
        machine.assert_sound("after a reboot");
    }
}

#[test]
fn counters_that_were_cut_short_cost_no_number() {
    for loader in Loader::ALL {
        for text in [None, Some(""), Some("{\"version\":1,\"next")] {
            let machine = two(loader);
            let counters = machine.reroot.sysroot.join("reroot/counters.json");
            match text {
                None => fs::remove_file(&counters).unwrap(),
                Some(text) => fs::write(&counters, text).unwrap(),
            }
            machine.ok(&["upgrade"]);
            assert_eq!(machine.reboot(), 3);
            machine.assert_sound("counted anew");
        }
    }
}

#[test]
fn lost_or_damaged_notes_for_people_stop_nothing() {
    let machine = two(Loader::Grub);
    let reroot = machine.reroot.sysroot.join("reroot");
    fs::write(reroot.join("history.jsonl"), "{\"half\n\u{0}").unwrap();
    fs::write(reroot.join("finalize-failed.json"), "{").unwrap();
    machine.ok(&["upgrade"]);
    assert_eq!(machine.reboot(), 3);
    let history = machine.run(&["history"]);
    assert_eq!(history.code, Some(0), "{}", history.stderr);
    machine.assert_sound("without notes");
}

#[test]
fn a_record_of_a_newer_version_is_left_alone() {
    let machine = two(Loader::SystemdBoot);
    let file = machine.deployments().join("1.json");
    let text = fs::read_to_string(&file).unwrap().replace("\"version\": 1,", "\"version\": 9,");
    assert!(text.contains("\"version\": 9,"), "{text}");
    fs::write(&file, &text).unwrap();
    for arguments in [vec!["prune"], vec!["undeploy", "1"], vec!["rollback", "1"]] {
        machine.refused(&arguments, 1, &["1.json"]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}
