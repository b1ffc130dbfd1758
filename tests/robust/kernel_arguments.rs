//! Kernel arguments on their way from the image, the machine and the command line into boot entries.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::boot::{menu, options};
use crate::support::image::{Image, Layout, bootable_layer};
use crate::support::skip::skip;
use crate::world::World;

struct Machine {
    world: World,
    layout: Layout,
    _temp: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let temp = crate::world::scratch();
        let layout = Layout::new(temp.path().join("images"));
        Self { world: World::new(), layout, _temp: temp }
    }

    /// An image under the one tag that asks for these arguments.
    fn release(&mut self, version: &str, kargs: &str) -> String {
        let layer = bootable_layer()
            .file("usr/lib/bootc/kargs.d/10-os.toml", format!("kargs = [{kargs}]\n"))
            .file(
                "usr/lib/reroot/kargs.d/20-other.toml",
                "kargs = ['s390']\nmatch-architectures = ['s390x']\n",
            )
            .file("usr/lib/version", version);
        self.layout.tag("stable", &Image::new().layer(layer).version(version));
        self.layout.reference("stable")
    }

    fn machine_file(&self, id: u64, name: &str, text: &str) {
        let directory = self.world.deployment(id).join("etc/reroot/kargs.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
    }

    /// `argument source` for each, and what is removed.
    fn shown(&self, args: &[&str]) -> (Vec<String>, Vec<String>) {
        let ran = self.world.succeed(&[&["kargs", "--json"], args].concat());
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let list = |key: &str| {
            let line = |a: &Value| {
                let file = a["file"].as_str().and_then(|f| f.rsplit('/').next()).unwrap_or_default();
                format!("{} {} {file}", a["argument"].as_str().unwrap(), a["source"].as_str().unwrap())
            };
            report[key].as_array().unwrap().iter().map(|a| line(a).trim_end().to_owned()).collect()
        };
        (list("arguments"), list("removed"))
    }

    #[track_caller]
    fn assert_options(&self, id: u64, expected: &str) {
        let expected = format!("{expected} reroot=/reroot/deploy/default/deploy/{id}");
        assert_eq!(options(&self.world, id), expected);
    }
}

#[test]
fn each_argument_is_shown_with_where_it_comes_from() {
    let mut machine = Machine::new();
    let image = machine.release("1", "'quiet', 'console=tty0'");
    let spaces = "dyndbg=\"file drivers/usb/* +p\"";
    machine.world.succeed(&["deploy", &image, "--karg", "root=UUID=1-2", "--karg", spaces]);
    machine.assert_options(1, &format!("quiet console=tty0 root=UUID=1-2 {spaces}"));
    machine.machine_file(1, "50-serial.toml", "kargs = [\"console=ttyS0,115200 alone\"]\n");
    machine.machine_file(1, "60-not.toml", "kargs = ['no']\nmatch-architectures = ['s390x']\n");
    // What an entry says is settled.
    machine.world.succeed(&["pin", "1"]);
    machine.assert_options(1, &format!("quiet console=tty0 root=UUID=1-2 {spaces}"));

    machine.world.succeed(&[
        "kargs",
        "--delete",
        "quiet",
        "--replace",
        "root=UUID=3-4",
        "--append",
        "x=\"a b\"",
    ]);
    machine.assert_options(
        2,
        &format!("console=tty0 console=ttyS0,115200 alone root=UUID=3-4 {spaces} x=\"a b\""),
    );
    let (shown, removed) = machine.shown(&[]);
    assert_eq!(
        shown,
        [
            "console=tty0 image 10-os.toml",
            "console=ttyS0,115200 machine 50-serial.toml",
            "alone machine 50-serial.toml",
            "root=UUID=3-4 origin",
            &format!("{spaces} origin"),
            "x=\"a b\" origin",
            "reroot=/reroot/deploy/default/deploy/2 reroot",
        ]
    );
    assert_eq!(removed, ["quiet image 10-os.toml"]);
    assert_eq!(machine.shown(&["1"]).0[0], "quiet image 10-os.toml");
    assert_eq!(menu(&machine.world, "after kargs"), [2, 1]);
    machine.world.succeed(&["fsck"]);
}

#[test]
fn what_was_decided_here_outlives_upgrades_that_change_the_images_arguments() {
    let mut machine = Machine::new();
    let image = machine.release("1", "'quiet', 'a=1', 'b=1'");
    machine.world.succeed(&["deploy", &image, "--karg", "mine"]);
    machine.world.succeed(&["kargs", "--delete", "quiet", "--replace", "a=9"]);
    machine.assert_options(2, "b=1 mine a=9");
    machine.release("2", "'quiet', 'a=1', 'b=2', 'c=1'");
    machine.world.succeed(&["upgrade"]);
    machine.assert_options(3, "b=2 c=1 mine a=9");
    // A value that nobody here has seen comes; the local one stays behind it, and so counts.
    machine.release("3", "'quiet', 'a=2'");
    machine.world.succeed(&["upgrade"]);
    machine.assert_options(4, "a=2 mine a=9");
    machine.world.succeed(&["deploy", &image]);
    machine.assert_options(5, "a=2 mine a=9");
    let origin = fs::read_to_string(machine.world.deployments().join("5.origin")).unwrap();
    assert!(origin.ends_with("removed = [\"quiet\", \"a=1\"]\n"), "{origin}");
}

#[test]
fn files_of_the_machine_are_read_when_a_deployment_is_made() {
    let mut machine = Machine::new();
    let image = machine.release("1", "'quiet'");
    machine.world.succeed(&["deploy", &image]);
    let unchanged = machine.world.run(&["kargs", "--refresh", "--unchanged-exit-77"]);
    assert_eq!(
        (unchanged.code, unchanged.stdout.as_str()),
        (Some(77), "No change: deployment 1 has these kernel arguments already\n")
    );
    machine.machine_file(1, "10.toml", "kargs = ['local']\n");
    let dry = machine.world.succeed(&["kargs", "--refresh", "--dry-run"]);
    assert_eq!(dry.stdout, "Would make deployment 2 from deployment 1\n+ local\n");
    assert_eq!(machine.world.ids(), [1]);
    machine.release("2", "'quiet', 'new'");
    machine.world.succeed(&["upgrade"]);
    machine.assert_options(2, "quiet new local");

    machine.machine_file(2, "20-bad.toml", "# one\nkargs = [\n  'fine',\n  'not=\"closed',\n]\n");
    machine.release("3", "'quiet'");
    let before = machine.world.stored();
    for args in
        [&["upgrade"][..], &["upgrade", "--dry-run"], &["deploy", &image], &["kargs", "--append", "x"]]
    {
        let refused = machine.world.run(args);
        assert_eq!(refused.code, Some(2), "{args:?}: {refused}");
        let expected = "reading /etc/reroot/kargs.d of deployment 2: /etc/reroot/kargs.d/20-bad.toml:4: \
                        `not=\"closed`: it has a quote that is not closed";
        assert!(refused.stderr.contains(expected), "{args:?}: {refused}");
        assert_eq!((machine.world.ids(), machine.world.stored()), (vec![2, 1], before.clone()), "{args:?}");
    }
}

#[test]
fn what_cannot_be_a_kernel_argument_is_refused_before_anything_is_written() {
    let mut machine = Machine::new();
    let image = machine.release("1", "'quiet'");
    machine.world.succeed(&["deploy", &image]);
    let long = format!("a={}", "x".repeat(1900));
    for (args, expected) in [
        (vec!["kargs", "--append", "a b"], "a space outside double quotes; write KEY=\"A B\""),
        (vec!["kargs", "--append", "a=\"b"], "a double quote that is not closed"),
        (vec!["kargs", "--append", "reroot=/x"], "set by reroot itself"),
        (
            vec!["kargs", "--append", &long],
            "the kernel arguments have 1947 bytes together, and 1900 is the most",
        ),
        (vec!["kargs", "--delete", "splash"], "there is no kernel argument `splash`"),
        (vec!["kargs", "--editor"], "an editor needs a terminal"),
        (vec!["kargs", "9"], "deployment 9 does not exist"),
        (vec!["deploy", &image, "--karg", "a\"b"], "a double quote that is not closed"),
        (vec!["deploy", &image, "--karg", "ä"], "a character that is not ASCII"),
        (vec!["deploy", &image, "--karg", "\"reroot=/x\""], "`reroot` is set by reroot itself"),
        (vec!["deploy", &image, "--karg", &long], "and 1900 is the most"),
    ] {
        let refused = machine.world.run(&args);
        assert!(matches!(refused.code, Some(1 | 2)), "{args:?}: {refused}");
        assert!(refused.stderr.contains(expected), "{args:?}: {refused}");
        assert_eq!(machine.world.ids(), [1]);
        assert!(machine.world.leftovers().is_empty(), "{args:?}");
    }
    // GRUB cannot pass what systemd-boot can.
    let refused = machine.world.run(&["kargs", "--append", "a=it's"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("GRUB cannot pass the kernel argument `a=it's`"), "{refused}");
    assert_eq!((machine.world.ids(), machine.world.leftovers().len()), (vec![1], 0));
    machine.world.succeed(&["kargs", "--append", "a=\"b c\""]);
    let text = fs::read_to_string(machine.world.root.join("boot/loader/grub.cfg")).unwrap();
    assert!(text.contains(" quiet 'a=b c' reroot="), "{text}");
}

#[test]
fn a_record_of_before_has_its_arguments_from_the_tree() {
    let mut machine = Machine::new();
    let image = machine.release("1", "'quiet'");
    machine.world.succeed(&["deploy", &image, "--karg", "mine"]);
    let path = machine.world.deployments().join("1.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(record["boot"]["prettyName"], "Demo OS 1");
    record.as_object_mut().unwrap().remove("boot");
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(machine.shown(&[]).0[..2], ["quiet image 10-os.toml", "mine origin"]);
    machine.world.succeed(&["deploy", &image]);
    assert_eq!(menu(&machine.world, "two deployments"), [2, 1]);
    machine.assert_options(1, "quiet mine");
}

#[test]
fn an_editor_gets_the_list_and_what_it_writes_is_taken() {
    let mut machine = Machine::new();
    let image = machine.release("1", "'quiet', 'a=1'");
    machine.world.succeed(&["deploy", &image, "--karg", "d=\"x y\""]);
    let editor = "sed -i -e s/^quiet$// -e 's/^d=.*/d=\"z z\"\\n# not this\\nlast/'";
    let command = machine.world.command(&["kargs", "--editor"]);
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    let line = words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("EDITOR", editor).env_remove("VISUAL");
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = match script.output() {
        Ok(output) => output,
        Err(error) => return skip("an editor on a terminal", format!("script: {error}")),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    machine.assert_options(2, "a=1 d=\"z z\" last");
    assert_eq!(machine.shown(&[]).1, ["quiet image 10-os.toml"]);
}
