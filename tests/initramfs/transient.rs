//! What is forgotten at the next boot.

use crate::machine::Machine;

const ETC: &str = "printf '[etc]\\ntransient = true\\n' > etc/reroot/prepare-root.toml\n";
const ROOT: &str = "printf '[root]\\ntransient = true\\n' > usr/lib/reroot/prepare-root.toml\n";
/// Changes something in each place and prints what of it reached the disk.
const CHANGE: &str = r#"
for place in usr etc var; do
    if echo x 2> /dev/null > "sysroot/$place/written"; then echo "$place yes"; else echo "$place no"; fi
done
echo changed > sysroot/etc/default
rm -f sysroot/usr/name && test ! -e sysroot/usr/name && echo removed
for name in usr/written usr/name etc/written usr/etc/written; do
    if [ -e "$P/$name" ]; then echo "disk has $name"; fi
done
cat "$P/etc/default" "$P/usr/etc/default"
"#;

#[test]
fn a_transient_etc_begins_with_the_defaults_and_is_forgotten() {
    let test = "a_transient_etc_begins_with_the_defaults_and_is_forgotten";
    let prepare = format!("{ETC} chmod 2750 $D/usr/etc; chown 0:7 $D/usr/etc");
    let after = format!("ls sysroot/etc; stat -c '%a %u %g' sysroot/etc; {{ {CHANGE} }} 2>&1");
    let Some(booted) = Machine::new().prepare(&prepare).boot(test, &after) else { return };
    let booted = booted.ok();
    assert_eq!(
        booted.after,
        "default\n2750 0 7\nusr no\netc yes\nvar yes\nrm: cannot remove 'sysroot/usr/name': Read-only file system\n\
         disk has usr/name\ndefault\ndefault\n"
    );
    let etc = booted.at("/sysroot/etc");
    assert_eq!((etc.kind.as_str(), etc.has("rw")), ("overlay", true));
    assert!(booted.at("/sysroot").has("ro"));
    assert!(!booted.places().iter().any(|p| p.starts_with("/run/")), "{:?}", booted.places());
    assert_eq!(booted.run, ["booted.json"]);
    let record = booted.record();
    assert_eq!((&record["transientEtc"], &record["transientRoot"]), (&true.into(), &false.into()));
}

#[test]
fn a_transient_root_is_writable_and_forgotten_and_keeps_etc_and_var() {
    let test = "a_transient_root_is_writable_and_forgotten_and_keeps_etc_and_var";
    let after = format!("{CHANGE} stat -c '%d %i' $P; ls sysroot");
    let Some(booted) = Machine::new().prepare(ROOT).boot(test, &after) else { return };
    let booted = booted.ok();
    let (text, rest) = booted.after.split_once("changed\ndefault\n").unwrap();
    assert_eq!(text, "usr yes\netc yes\nvar yes\nremoved\ndisk has usr/name\ndisk has etc/written\n");
    let root = booted.at("/sysroot");
    assert_eq!((root.kind.as_str(), root.has("rw")), ("overlay", true));
    assert_eq!(booted.at("/sysroot/etc").root, "/reroot/deploy/os/deploy/3/etc");
    assert!(booted.at("/sysroot/sysroot").has("ro"));
    let record = booted.record();
    assert_eq!((&record["transientEtc"], &record["transientRoot"]), (&false.into(), &true.into()));
    let identity = format!("{} {}\n", record["device"], record["inode"]);
    assert_eq!(rest, format!("{identity}boot\ndev\netc\nproc\nrun\nsys\nsysroot\ntmp\nusr\nvar\n"));
}

#[test]
fn both_can_be_transient() {
    let test = "both_can_be_transient";
    let Some(booted) = Machine::new().prepare(&format!("{ETC}{ROOT}")).boot(test, CHANGE) else { return };
    let booted = booted.ok();
    assert_eq!(booted.after, "usr yes\netc yes\nvar yes\nremoved\ndisk has usr/name\ndefault\ndefault\n");
    let record = booted.record();
    assert_eq!((&record["transientEtc"], &record["transientRoot"]), (&true.into(), &true.into()));
}

#[test]
fn the_file_in_etc_wins() {
    let test = "the_file_in_etc_wins";
    let prepare = format!("{ROOT} echo 'root.transient = false' > etc/reroot/prepare-root.toml");
    let Some(booted) = Machine::new().prepare(&prepare).boot(test, "") else { return };
    assert!(booted.ok().at("/sysroot").has("ro"));
}

#[test]
fn systemd_learns_the_device_of_a_transient_root() {
    let test = "systemd_learns_the_device_of_a_transient_root";
    let machine = Machine::new().prepare(ROOT).mount(
        r#"
        truncate -s 16M "$R/image"
        mkfs.ext4 -q "$R/image" || exit 99
        mount -o loop "$R/image" sysroot || exit 99
        deployment 3; populate
        "#,
    );
    let after = "readlink run/systemd/volatile-root; stat -c '/dev/block/%Hd:%Ld' sysroot/sysroot";
    let Some(booted) = machine.boot(test, after) else { return };
    let booted = booted.ok();
    let (link, device) = booted.after.trim().split_once('\n').unwrap();
    assert_eq!(link, device);
}
