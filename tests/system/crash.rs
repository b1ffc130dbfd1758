//! Every named crash point, by abort and by error, in the life of a machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::reroot::Ran;
use crate::support::skip::say;
use crate::workload::{Copy, From, Machine};

/// Commands in an order in which every one has something to do.
const LIFE: &[&[&str]] = &[
    &["image", "pull", "IMAGE"],
    &["deploy", "IMAGE"],
    &["rollback"],
    &["pin", "1"],
    &["unpin", "1"],
    &["undeploy", "1"],
    // A stateroot whose /var is still empty.
    &["init", "--stateroot", "other"],
    &["deploy", "--stateroot", "other", "IMAGE"],
    &["image", "rm", "IMAGE"],
    &["prune"],
];

#[test]
fn a_command_stopped_at_any_crash_point_loses_nothing_and_can_be_run_again() {
    let points = crash_points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(points.len() > 20, "{points:?}");
    let machine = Machine::new(30, From::Directory);
    let mut unreached = Vec::new();
    for point in &points {
        for action in ["abort", "error"] {
            let stops = live(&machine, point, action);
            if stops == 0 {
                unreached.push(format!("{point}={action}"));
            }
        }
    }
    say(&format!("crash points: {} x abort, error", points.len()));
    assert_eq!(unreached, Vec::<String>::new(), "no command gets there");
}

/// The names in the source.
fn crash_points(directory: &Path) -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points.append(&mut crash_points(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("fsx/crashpoint.rs")
        {
            let text = fs::read_to_string(&path).unwrap();
            let after = text.split("crashpoint!(\"").skip(1);
            points.extend(after.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    points
}

/// Goes through [`LIFE`], each command first with the crash point set. Returns how many were stopped there.
fn live(machine: &Machine, point: &str, action: &str) -> usize {
    let copy = machine.copy("crash");
    // Something for the sweeping of leftovers to do.
    stop(&copy, &["deploy", machine.old_image()], "deploy.checked-out", "abort");
    let mut stops = 0;
    let mut expected = copy.reroot.ids();
    assert_eq!(expected, [3, 2, 1]);
    for words in LIFE {
        let arguments: Vec<_> =
            words.iter().map(|word| if *word == "IMAGE" { machine.new_image() } else { *word }).collect();
        let ran = stop(&copy, &arguments, point, action);
        let when = format!("when {words:?} met {point}={action}");
        if ran.code != Some(0) {
            stops += 1;
            assert_ne!(ran.code, Some(101), "a panic {when}: {}", ran.stderr);
            let told = action == "abort" || ran.stderr.contains(point);
            assert!(told, "the error does not tell what failed {when}: {}", ran.stderr);
            copy.reroot.assert_sound(&when);
            let ids = copy.reroot.ids();
            let removes = matches!(words[0], "undeploy" | "prune");
            assert!(
                removes || expected.iter().all(|id| ids.contains(id)),
                "{ids:?} after {expected:?} {when}"
            );
            again(&copy, words, &arguments, &ids, &when);
        }
        // Whatever a command removes, what was first to boot is not in it.
        copy.check_keeping(&expected[..1], &format!("after {words:?}, {point}={action}"));
        expected = copy.reroot.ids();
    }
    copy.reroot.assert_tidy(&format!("at the end of a life with {point}={action}"));
    stops
}

/// The same command once more. What it should do may have happened just before it was stopped.
fn again(copy: &Copy<'_>, words: &[&str], arguments: &[&str], ids: &[u64], when: &str) {
    let done = match words {
        ["undeploy", id] => !ids.contains(&id.parse().unwrap()),
        ["image", "rm", _] => {
            !copy.reroot.json(["image", "list"]).to_string().contains(&format!("\"{}\"", arguments[2]))
        }
        _ => false,
    };
    let ran = copy.reroot.run(arguments);
    assert!(ran.code == Some(0) || done, "the same command again {when}: {}", ran.stderr);
    copy.reroot.assert_sound(&format!("after the same command again {when}"));
}

fn stop(copy: &Copy<'_>, arguments: &[&str], point: &str, action: &str) -> Ran {
    let mut command = copy.reroot.command(arguments);
    command.env("REROOT_CRASHPOINT", format!("{point}={action}"));
    Ran::of(&command.output().unwrap())
}
