//! What the console says when it does not work. Nothing is left half done then, and nothing else is booted.

use crate::machine::{Booted, Machine};

/// The program must have failed and left everything as it was.
fn fails(test: &str, machine: &Machine) -> Option<Booted> {
    let booted = machine.boot(test, "")?;
    assert_eq!(booted.code, 1, "{}{}", booted.stdout, booted.stderr);
    assert_eq!(booted.stdout, "");
    if let Some(sysroot) = booted.mounts.iter().rfind(|m| m.place == "/sysroot") {
        assert_eq!(sysroot.root, "/", "{:#?}", booted.mounts);
    }
    let inside = booted.places().iter().any(|p| p.starts_with("/sysroot/") || p.starts_with("/run/"));
    assert!(!inside, "{:#?}", booted.mounts);
    assert_eq!(booted.run, Vec::<String>::new());
    Some(booted)
}

#[test]
fn the_console_names_the_deployment_the_path_and_what_to_try() {
    let test = "the_console_names_the_deployment_the_path_and_what_to_try";
    let machine =
        Machine::new().prepare("rm -r $D; deployment 2; mkdir -p sysroot/reroot/deploy/os/deploy/4");
    let Some(booted) = fails(test, &machine) else { return };
    assert_eq!(
        booted.stderr,
        "reroot-prepare-root: cannot boot deployment 3 of stateroot os: /reroot/deploy/os/deploy/3 does not exist\n  \
         it was removed, or never finished; the entry in the boot menu is older than that\n  \
         other deployments on this disk, for which the boot menu may have entries:\n    \
         reroot=/reroot/deploy/os/deploy/2\n    \
         reroot=/reroot/deploy/os/deploy/1\n  \
         nothing else is booted in its place: restart and choose another entry in the boot menu\n"
    );
}

#[test]
fn whatever_is_broken_is_named() {
    let d = "/reroot/deploy/os/deploy/3";
    for (prepare, expected) in [
        ("rm $D.json", format!("{d}.json does not exist")),
        ("rm $D.json; mkdir $D.json", format!("{d}.json is not a regular file")),
        ("rm -r $D/sysroot", format!("{d}/sysroot does not exist")),
        ("rmdir $D/sysroot; ln -s / $D/sysroot", format!("{d}/sysroot is not a directory")),
        ("rm -r $D/etc; ln -s /reroot $D/etc", format!("{d}/etc is not a directory")),
        ("rm -r $D/usr", format!("{d}/usr does not exist")),
        ("rm -r sysroot/reroot/deploy/os/var", "/reroot/deploy/os/var does not exist".into()),
        ("mv $D elsewhere; ln -s /elsewhere $D; mv elsewhere sysroot/", format!("{d} is not a directory")),
        ("rm -r sysroot/reroot", "/reroot does not exist".into()),
        ("umount sysroot", "/sysroot is not a mount point".into()),
        ("touch run/reroot", "making /run/reroot: Not a directory (os error 20)".into()),
        (
            "echo 'etc.transiert = true' > etc/reroot/prepare-root.toml",
            "/etc/reroot/prepare-root.toml:1: unknown field `transiert`, expected `transient`".into(),
        ),
        (
            "echo 'etc.transient = true' > etc/reroot/prepare-root.toml; rm -r $D/usr/etc",
            format!("{d}/usr/etc does not exist"),
        ),
    ] {
        let test = "whatever_is_broken_is_named";
        let machine = Machine::new().prepare(prepare);
        let Some(booted) = machine.boot(test, "") else { return };
        assert_eq!(booted.code, 1, "{prepare}: {booted:?}");
        let first = format!("reroot-prepare-root: cannot boot deployment 3 of stateroot os: {expected}\n");
        assert!(booted.stderr.starts_with(&first), "{prepare}: {}", booted.stderr);
        assert!(booted.stderr.lines().count() >= 3, "{}", booted.stderr);
        assert!(!booted.places().iter().any(|p| p.starts_with("/sysroot/")), "{:#?}", booted.mounts);
    }
}

#[test]
fn an_argument_that_names_nothing_is_not_passed_over() {
    let test = "an_argument_that_names_nothing_is_not_passed_over";
    for (cmdline, expected) in [
        ("quiet reroot", "the kernel argument `reroot=` has no value"),
        ("reroot=/", "the kernel argument `reroot=/` does not begin with /reroot/deploy/"),
        (
            "reroot=/reroot/deploy/../../deploy/1",
            "the kernel argument `reroot=/reroot/deploy/../../deploy/1` has no valid name of a stateroot in it",
        ),
        (
            "reroot=/reroot/deploy/os/deploy/1 reroot=/reroot/deploy/os/deploy/3",
            "the kernel argument `reroot=/reroot/deploy/os/deploy/1` is not the only one, and they differ",
        ),
    ] {
        let Some(booted) = fails(test, &Machine::new().cmdline(cmdline)) else { return };
        let expected = format!("reroot-prepare-root: cannot boot: {expected}\n");
        assert!(booted.stderr.starts_with(&expected), "{}", booted.stderr);
    }
}

#[test]
fn a_failure_in_the_middle_leaves_the_physical_root_where_it_was() {
    // A file system that cannot become writable is found before anything is moved, a mount point that cannot be
    // used while the new root is put together.
    let test = "a_failure_in_the_middle_leaves_the_physical_root_where_it_was";
    let machine = Machine::new().prepare("mount -t proc proc $D/etc && mount -t proc proc $D/var && mount --bind $D/proc $D/sysroot; umount $D/etc; umount $D/var");
    // Mounts below the deployment are not taken along and do no harm.
    let Some(booted) = machine.boot(test, "") else { return };
    assert_eq!(booted.code, 0, "{}", booted.stderr);
    let read_only = Machine::new().mount(
        r#"
        truncate -s 16M "$R/image"
        mkfs.ext4 -q "$R/image" || exit 99
        mount -o loop "$R/image" sysroot || exit 99
        deployment 3; populate
        umount sysroot
        loop=$(losetup --find --show --read-only "$R/image") || exit 99
        mount -o ro "$loop" sysroot
        losetup -d "$loop"
        "#,
    );
    let Some(booted) = fails(test, &read_only) else { return };
    let expected = "reroot-prepare-root: cannot boot deployment 3 of stateroot os: making the file system at /sysroot \
                    writable (it is mounted read-only until then): ";
    assert!(booted.stderr.starts_with(expected), "{}", booted.stderr);
}

#[test]
fn another_deployment_is_not_mounted_over_the_first() {
    let test = "another_deployment_is_not_mounted_over_the_first";
    let after = "echo reroot=/reroot/deploy/os/deploy/1 > cmdline; status=0; prepare_root 2>&1 || status=$?; echo $status";
    let Some(booted) = Machine::new().boot(test, after) else { return };
    let booted = booted.ok();
    assert!(
        booted.after.starts_with(
            "reroot-prepare-root: cannot boot deployment 1 of stateroot os: /run/reroot/booted.json says that another \
             deployment is mounted already\n"
        ),
        "{}",
        booted.after
    );
    assert!(booted.after.ends_with("\n1\n"), "{}", booted.after);
}

#[test]
fn mistakes_in_the_use_of_the_program_are_told() {
    let program = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reroot-prepare-root"));
        command.args(arguments).output().unwrap()
    };
    for arguments in [&["--frob"][..], &["/a", "/b"], &[""]] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: reroot-prepare-root [SYSROOT]"));
    }
    assert_eq!(program(&["--help"]).status.code(), Some(0));
    assert!(String::from_utf8_lossy(&program(&["--version"]).stdout).starts_with("reroot-prepare-root "));
}
