//! What is mounted where.

use reroot::sysroot::BootedRecord;

use crate::machine::Machine;

const PLACES: [&str; 8] =
    ["/", "/proc", "/proc/cmdline", "/run", "/sysroot", "/sysroot/etc", "/sysroot/var", "/sysroot/sysroot"];

/// Tries to write in four places of the new root.
const WRITE: &str = r#"
for place in . usr etc var sysroot; do
    if echo x 2> /dev/null > "sysroot/$place/written"; then echo "$place yes"; else echo "$place no"; fi
done
"#;

#[test]
fn the_deployment_is_read_only_and_its_etc_and_var_are_not() {
    let test = "the_deployment_is_read_only_and_its_etc_and_var_are_not";
    let after = format!(
        "{WRITE}\ncat sysroot/usr/name sysroot/etc/mine sysroot/var/data; \
         ls $P/etc; ls sysroot/sysroot/reroot/deploy/os/var; stat -c '%d %i' sysroot; stat -c %a run/reroot"
    );
    let Some(booted) = Machine::new().boot(test, &after) else { return };
    let booted = booted.ok();
    let mut places = booted.places();
    places.sort_unstable_by_key(|p| PLACES.iter().position(|q| q == p));
    assert_eq!(places, PLACES, "{:#?}", booted.mounts);
    for (place, root, access) in [
        ("/sysroot", "/reroot/deploy/os/deploy/3", "ro"),
        ("/sysroot/etc", "/reroot/deploy/os/deploy/3/etc", "rw"),
        ("/sysroot/var", "/reroot/deploy/os/var", "rw"),
        ("/sysroot/sysroot", "/", "ro"),
    ] {
        let mount = booted.at(place);
        assert_eq!((mount.root.as_str(), mount.has(access)), (root, true), "{place}: {mount:?}");
        assert_eq!(mount.propagation, "", "{place}");
    }
    let (answers, identity) = booted.after.split_once("written\n").unwrap();
    let (rest, identity) = identity.rsplit_once("written\n").unwrap();
    assert_eq!(answers, ". no\nusr no\netc yes\nvar yes\nsysroot no\nof 3\nmine\ndata\ndefault\nmine\n");
    assert_eq!(rest, "data\n");

    let record = booted.record();
    let millis = record["millis"].as_u64().unwrap();
    let identity: Vec<u64> =
        identity.lines().next().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    let expected = serde_json::json!({
        "version": 1,
        "path": "/reroot/deploy/os/deploy/3",
        "stateroot": "os",
        "id": 3,
        "device": identity[0],
        "inode": identity[1],
        "transientEtc": false,
        "transientRoot": false,
        "mounts": ["/etc", "/var", "/sysroot"],
        "millis": millis,
    });
    assert_eq!(record, expected);
    assert_eq!(booted.run, ["booted.json"]);
    assert!(booted.after.ends_with("\n755\n"), "{}", booted.after);
    assert_eq!(
        booted.stdout,
        format!(
            "reroot-prepare-root: mounted deployment 3 of stateroot os (/reroot/deploy/os/deploy/3) in {millis} ms\n"
        )
    );
    assert_eq!(booted.stderr, "");

    let read: BootedRecord = serde_json::from_slice(booted.record_bytes()).unwrap();
    assert_eq!((read.version, read.deployment.to_string()), (1, "deployment 3 of stateroot os".into()));
}

#[test]
fn a_root_that_was_mounted_read_only_becomes_writable_where_it_must() {
    let test = "a_root_that_was_mounted_read_only_becomes_writable_where_it_must";
    let machine = Machine::new().prepare("mount -o remount,ro sysroot");
    let Some(booted) = machine.boot(test, WRITE) else { return };
    assert_eq!(booted.ok().after, ". no\nusr no\netc yes\nvar yes\nsysroot no\n");
}

#[test]
fn a_real_file_system_mounted_read_only_becomes_writable_where_it_must() {
    let test = "a_real_file_system_mounted_read_only_becomes_writable_where_it_must";
    let machine = Machine::new().mount(
        r#"
        image=$R/image
        truncate -s 16M "$image"
        mkfs.ext4 -q "$image" || exit 99
        mount -o loop,nosuid,noatime "$image" sysroot || exit 99
        deployment 3; populate
        mount -o remount,ro sysroot
        "#,
    );
    let Some(booted) = machine.boot(test, WRITE) else { return };
    let booted = booted.ok();
    assert_eq!(booted.after, ". no\nusr no\netc yes\nvar yes\nsysroot no\n");
    for place in ["/sysroot", "/sysroot/etc", "/sysroot/var", "/sysroot/sysroot"] {
        let mount = booted.at(place);
        assert!(mount.has("nosuid") && mount.has("noatime"), "{mount:?}");
        assert_eq!(mount.kind, "ext4");
    }
}

#[test]
fn what_was_mounted_below_the_physical_root_stays_there() {
    let test = "what_was_mounted_below_the_physical_root_stays_there";
    let machine =
        Machine::new().prepare("mkdir sysroot/boot; mount -t tmpfs boot sysroot/boot; touch sysroot/boot/x");
    let Some(booted) = machine.boot(test, "ls sysroot/sysroot/boot") else { return };
    let booted = booted.ok();
    assert_eq!(booted.after, "x\n");
    assert!(booted.at("/sysroot/sysroot/boot").has("rw"));
}

#[test]
fn the_second_run_finds_nothing_to_do() {
    let test = "the_second_run_finds_nothing_to_do";
    let after = "cat /proc/self/mountinfo > before; prepare_root; cat /proc/self/mountinfo | cmp - before";
    let Some(booted) = Machine::new().boot(test, after) else { return };
    assert_eq!(booted.ok().after, "reroot-prepare-root: deployment 3 of stateroot os is already mounted\n");
}

#[test]
fn without_the_argument_nothing_is_done() {
    let test = "without_the_argument_nothing_is_done";
    let machine = Machine::new().cmdline("root=/dev/vda4 quiet\n");
    let Some(booted) = machine.boot(test, "ls sysroot") else { return };
    let booted = booted.ok();
    assert_eq!((booted.stdout.as_str(), booted.stderr.as_str()), ("", ""));
    assert_eq!(booted.after, "reroot\n");
    assert_eq!((booted.at("/sysroot").root.as_str(), booted.run.len()), ("/", 0));
    assert!(booted.at("/sysroot").propagation.starts_with("shared:"));
}

#[test]
fn a_run_that_was_killed_halfway_does_not_hinder_the_next() {
    let test = "a_run_that_was_killed_halfway_does_not_hinder_the_next";
    let machine = Machine::new().prepare(
        "mkdir -p run/reroot/new run/reroot/ram; mount -t tmpfs ram run/reroot/ram; mount --bind $D run/reroot/new",
    );
    let Some(booted) = machine.boot(test, WRITE) else { return };
    assert_eq!(booted.ok().after, ". no\nusr no\netc yes\nvar yes\nsysroot no\n");
}

#[test]
fn the_boot_directory_of_the_physical_root_is_writable_at_boot() {
    let test = "the_boot_directory_of_the_physical_root_is_writable_at_boot";
    let write = "echo new > sysroot/boot/loader/new; cat sysroot/sysroot/boot/loader/new";
    let machine = Machine::new().prepare("mkdir -p sysroot/boot/loader");
    let Some(booted) = machine.boot(test, write) else { return };
    let booted = booted.ok();
    let mount = booted.at("/sysroot/boot");
    assert_eq!((mount.root.as_str(), mount.has("rw")), ("/boot", true), "{mount:?}");
    assert_eq!(booted.after, "new\n");
    for other in [
        // No loader reads it.
        "mkdir -p sysroot/boot",
        "mkdir sysroot/boot; ln -s /reroot sysroot/boot/loader",
        "mkdir -p sysroot/elsewhere/loader; ln -s elsewhere sysroot/boot",
        // The deployment has something there, or nowhere to mount it.
        "mkdir -p sysroot/boot/loader; touch $D/boot/mine",
        "mkdir -p sysroot/boot/loader; rmdir $D/boot",
    ] {
        let Some(booted) = Machine::new().prepare(other).boot(test, "") else { return };
        let booted = booted.ok();
        assert!(!booted.places().contains(&"/sysroot/boot"), "{other}: {:#?}", booted.mounts);
    }
}

#[test]
fn what_a_killed_run_has_left_is_taken_back() {
    let test = "what_a_killed_run_has_left_is_taken_back";
    // As Job::run does it, as far as it comes.
    let first = "mount --make-rprivate /; mkdir -p run/reroot/new; mount --bind $D run/reroot/new";
    let second = "mount --bind $D/etc run/reroot/new/etc; mount -o remount,bind,ro run/reroot/new";
    let third =
        "mount --move sysroot run/reroot/new/sysroot; mount -o remount,bind,ro run/reroot/new/sysroot";
    let last = "mount --move run/reroot/new sysroot";
    let steps = [first, second, third, last];
    for done in 1..=steps.len() {
        let machine = Machine::new().prepare(&steps[..done].join("\n"));
        let after = format!("{WRITE}\ncat sysroot/usr/name");
        let Some(booted) = machine.boot(test, &after) else { return };
        assert_eq!(booted.code, 0, "after {done} steps: {}", booted.stderr);
        let mut places = booted.places();
        places.sort_unstable_by_key(|p| PLACES.iter().position(|q| q == p));
        assert_eq!(places, PLACES, "after {done} steps: {:#?}", booted.mounts);
        assert_eq!(booted.at("/sysroot/sysroot").root, "/");
        assert!(
            booted.after.starts_with(". no\nusr no\netc yes\nvar yes\nsysroot no\nof 3\n"),
            "{}",
            booted.after
        );
        assert_eq!(booted.run, ["booted.json"], "after {done} steps");
    }
}

#[test]
fn a_var_of_its_own_is_mounted() {
    let machine = Machine::new()
        .cmdline("reroot=/reroot/deploy/os/deploy/3 reroot.var=UUID=1-2:tmpfs\n")
        .prepare("mkdir -p dev/disk/by-uuid; touch dev/disk/by-uuid/1-2; rm -r sysroot/reroot/deploy/os/var");
    let Some(booted) = machine.boot("a_var_of_its_own_is_mounted", "") else {
        return;
    };
    let booted = booted.ok();
    let var = booted.at("/sysroot/var");
    assert_eq!((var.root.as_str(), var.kind.as_str(), var.has("rw")), ("/", "tmpfs", true), "{var:?}");
}

#[test]
fn a_var_that_the_running_system_mounts_is_left_to_it() {
    let test = "a_var_that_the_running_system_mounts_is_left_to_it";
    let told = "reroot=/reroot/deploy/os/deploy/3 systemd.mount-extra=UUID=1:/var:ext4\n";
    let fstab = "echo 'UUID=1 /var ext4' > $D/etc/fstab";
    let transient =
        "echo etc.transient=true > etc/reroot/prepare-root.toml; echo 'UUID=1 /var ext4' > $D/usr/etc/fstab";
    for machine in [
        Machine::new().cmdline(told),
        Machine::new().cmdline(told).prepare("rm -r sysroot/reroot/deploy/os/var"),
        Machine::new().prepare(fstab),
        Machine::new().prepare(transient),
    ] {
        let Some(booted) = machine.boot(test, "ls -A sysroot/var; mount -t tmpfs var sysroot/var") else {
            return;
        };
        let booted = booted.ok();
        assert!(!booted.places().contains(&"/sysroot/var"), "{:#?}", booted.mounts);
        assert_eq!(booted.after, "");
    }
    // A link, or a file for another place, says nothing.
    for prepare in ["ln -s /reroot/fstab $D/etc/fstab", "echo 'UUID=1 /var/log ext4' > $D/etc/fstab"] {
        let Some(booted) = Machine::new().prepare(prepare).boot(test, "cat sysroot/var/data") else { return };
        assert_eq!(booted.ok().after, "data\n", "{prepare}");
    }
}
