//! Kernel arguments of the machine, from deployment to deployment.

use super::machine::{Loader, Machine};

/// The words of a command line that are among these, in their order.
fn among(options: &str, words: &[&str]) -> Vec<String> {
    options.split(' ').filter(|word| words.contains(word)).map(String::from).collect()
}

#[test]
fn several_values_of_one_argument_keep_their_order_across_upgrades() {
    let consoles = ["console=/dev/foo", "console=/dev/bar"];
    for loader in Loader::ALL {
        let mut machine = Machine::running(loader);
        let stable = machine.stable();
        machine.ok(&["deploy", "--karg", consoles[0], "--karg", consoles[1], &stable]);
        machine.reboot();
        for n in 2..=3 {
            assert_eq!(among(&machine.options(n), &consoles), consoles, "deployment {n}");
            machine.release(n as u32);
            machine.ok(&["upgrade"]);
            machine.reboot();
        }
        assert_eq!(among(&machine.options(4), &consoles), consoles);
        machine.ok(&["deploy", &stable]);
        machine.reboot();
        assert_eq!(among(&machine.options(5), &consoles), consoles);
        assert_eq!(among(&machine.options(1), &consoles), [""; 0]);
    }
}

#[test]
fn arguments_are_added_replaced_and_deleted_one_by_one() {
    let words = ["quiet", "A=1", "A=2", "A=3", "B=1", "root=LABEL=MOO"];
    for loader in Loader::ALL {
        let mut machine = Machine::installed(loader);
        machine.release(1);
        machine.ok(&["deploy", "--karg", "root=LABEL=MOO", "--karg", "quiet", &machine.stable()]);
        machine.boot();
        let change = |arguments: &[&str], expected: &[&str]| {
            machine.ok(&[&["kargs"], arguments].concat());
            let id = machine.reboot();
            assert_eq!(among(&machine.options(id), &words), expected, "{arguments:?}");
        };
        change(&["--append", "A=1", "--append", "A=2"], &["root=LABEL=MOO", "quiet", "A=1", "A=2"]);
        change(
            &["--append", "B=1", "--append", "A=3"],
            &["root=LABEL=MOO", "quiet", "A=1", "A=2", "B=1", "A=3"],
        );
        change(
            &["--delete", "B=1", "--delete", "quiet", "--delete", "A=1"],
            &["root=LABEL=MOO", "A=2", "A=3"],
        );
        change(&["--replace", "A=2=1"], &["root=LABEL=MOO", "A=1", "A=3"]);
        machine.refused(&["kargs", "--delete", "nothing"], 1, &["nothing"]);
        // What was there is what a rollback boots.
        machine.ok(&["rollback", "1"]);
        assert_eq!(machine.reboot(), 1);
        assert_eq!(among(&machine.options(1), &words), ["root=LABEL=MOO", "quiet"]);
        machine.assert_sound("arguments");
    }
}

#[test]
fn an_argument_with_spaces_is_one_argument() {
    for loader in [Loader::SystemdBoot, Loader::Grub] {
        let machine = Machine::running(loader);
        let spaced = "test=\"1 2\"";
        machine.ok(&["kargs", "--append", spaced]);
        machine.reboot();
        assert!(machine.options(2).contains(spaced), "{}", machine.options(2));
        machine.ok(&["kargs", "--delete", spaced]);
        machine.reboot();
        assert!(!machine.options(3).contains("test="), "{}", machine.options(3));
    }
}

#[test]
fn changed_arguments_wait_for_the_shutdown_and_a_power_cut_forgets_them() {
    for loader in Loader::ALL {
        let machine = Machine::running(loader);
        machine.ok(&["kargs", "--append", "quiet"]);
        assert_eq!(machine.order(), "2:staged 1:booted+default");
        assert_eq!(machine.cut_power(), 1);
        assert!(!machine.options(1).contains("quiet"));
        machine.ok(&["kargs", "--append", "quiet"]);
        assert_eq!(machine.reboot(), 3);
        assert!(machine.options(3).contains("quiet"));
    }
}
