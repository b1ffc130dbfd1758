//! The units and scripts of `systemd/`: systemd reads the units, shells read the scripts, and the generator makes what it
//! should.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::skip::{scratch, skip};
use crate::support::tools::{command, installed, missing, run};

const SCRIPTS: [&str; 5] = [
    "systemd/grow-root",
    "systemd/hold-boot",
    "systemd/system-generators/reroot-system-generator",
    "bootloader/initramfs-tools/hooks/reroot",
    "bootloader/initramfs-tools/scripts/local-bottom/reroot",
];

/// Units that no preset enables: an image or a machine does.
const BY_CHOICE: [&str; 3] = ["reroot-grow-root.service", "reroot-agent.service", "reroot-update.timer"];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn units() -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> =
        fs::read_dir(project().join("systemd/system")).unwrap().map(|e| e.unwrap().path()).collect();
    units.sort();
    units
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn systemd_finds_no_mistake_in_the_units() {
    let system = ["/usr/lib/systemd/system", "/lib/systemd/system"].map(Path::new);
    let Some(system) = system.into_iter().find(|dir| dir.join("sysinit.target").exists()) else {
        return skip("systemd_finds_no_mistake_in_the_units", "systemd is not installed");
    };
    if let Some(reason) = missing(&["systemd-analyze"]) {
        return skip("systemd_finds_no_mistake_in_the_units", reason);
    }
    // A root with systemd's units, ours, and programs that can be run.
    let temp = scratch();
    let directory = temp.path().join("usr/lib/systemd/system");
    fs::create_dir_all(directory.parent().unwrap()).unwrap();
    run(command("cp").arg("-a").arg(system).arg(&directory));
    for unit in units() {
        fs::copy(&unit, directory.join(name(&unit))).unwrap();
    }
    let drop_in = "emergency.service.d/50-reroot.conf";
    fs::create_dir_all(directory.join("emergency.service.d")).unwrap();
    fs::copy(project().join("systemd").join(drop_in), directory.join(drop_in)).unwrap();
    for program in ["usr/bin/reroot", "usr/bin/kill", "usr/lib/reroot/hold-boot", "usr/lib/reroot/grow-root"]
    {
        let program = temp.path().join(program);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let verify = |unit: &str| {
        let mut verify = command("systemd-analyze");
        verify.arg(format!("--root={}", temp.path().display()));
        let output = verify.args(["--man=no", "--recursive-errors=one", "verify", unit]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Of systemd's own units, which have programs that are not there.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("reroot")).collect();
        (output.status.success(), ours.join("\n"))
    };
    for unit in units() {
        assert_eq!(verify(name(&unit)), (true, String::new()), "{}", unit.display());
    }
    assert_eq!(verify("emergency.service").1, "", "{drop_in}");
    // All together, as the preset enables them, and with systemd's own that waits for the end of a boot.
    let etc = temp.path().join("etc/systemd/system");
    let enable = |target: &str, unit: &str| {
        let wants = etc.join(target);
        fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(unit)).unwrap();
    };
    for unit in units() {
        let text = fs::read_to_string(&unit).unwrap();
        for line in text.lines() {
            let (wanted, required) = (line.strip_prefix("WantedBy="), line.strip_prefix("RequiredBy="));
            wanted.into_iter().for_each(|target| enable(&format!("{target}.wants"), name(&unit)));
            required.into_iter().for_each(|target| enable(&format!("{target}.requires"), name(&unit)));
        }
    }
    enable("basic.target.wants", "systemd-bless-boot.service");
    for target in
        ["graphical.target", "multi-user.target", "rescue.target", "reboot.target", "soft-reboot.target"]
    {
        if directory.join(target).exists() {
            assert_eq!(verify(target).1, "", "{target}");
        }
    }
    fs::write(directory.join("reroot-wrong.service"), "[Service]\nExecStrat=/bin/true\n").unwrap();
    assert!(!verify("reroot-wrong.service").1.is_empty(), "systemd-analyze finds nothing at all");
}

#[test]
fn every_unit_says_what_it_is_and_touches_no_other_machine() {
    let documented = fs::read_to_string(project().join("docs/units.md")).unwrap();
    let preset = fs::read_to_string(project().join("systemd/system-preset/40-reroot.preset")).unwrap();
    for path in units() {
        let (unit, text) = (name(&path), fs::read_to_string(&path).unwrap());
        assert!(text.contains("\nDocumentation=man:reroot(8)"), "{unit}");
        assert!(text.contains("\nDescription="), "{unit}");
        assert!(text.contains("\nConditionPathExists=/run/reroot/") || unit.ends_with(".target"), "{unit}");
        assert!(documented.contains(&format!("`{unit}`")), "docs/units.md lacks {unit}");
        let is_enabled = preset.lines().any(|line| line == format!("enable {unit}"));
        let by_choice = BY_CHOICE.contains(&unit);
        assert_eq!(is_enabled, text.contains("\n[Install]") && !by_choice, "{unit} in the preset");
    }
    // What no preset mentions is enabled where a distribution says nothing.
    for unit in ["reroot-agent.service", "reroot-update.timer"] {
        assert!(preset.lines().any(|line| line == format!("disable {unit}")), "{unit} in the preset");
    }
}

/// The values of a key in a unit, in their order.
fn values(unit: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(project().join("systemd/system").join(unit)).unwrap();
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(String::from);
    text.lines().filter_map(value).collect()
}

#[test]
fn what_updates_by_itself_can_do_all_that_an_upgrade_does() {
    for unit in ["reroot-agent.service", "reroot-update.service"] {
        assert!(values(unit, "ExecStart")[0].starts_with("/usr/bin/reroot agent run"), "{unit}");
        // A boot that did not turn out well is none to update from.
        assert!(values(unit, "Requires").contains(&"boot-complete.target".into()), "{unit}");
        assert!(values(unit, "After").contains(&"boot-complete.target".into()), "{unit}");
        // Each of these makes a mount namespace, from which a soft reboot's mounts are not seen, or takes something away that an
        // upgrade needs (systemd.exec(5)).
        let text = fs::read_to_string(project().join("systemd/system").join(unit)).unwrap();
        for forbidden in [
            "Protect",
            "Private",
            "ReadOnlyPaths",
            "ReadWritePaths",
            "InaccessiblePaths",
            "TemporaryFileSystem",
            "MountFlags",
            "DynamicUser",
            "User=",
            "CapabilityBoundingSet",
            "RestrictNamespaces",
            "RestrictSUIDSGID",
            "DevicePolicy",
            "DeviceAllow",
            "SystemCallFilter",
            "MemoryDenyWriteExecute",
            "NoNewPrivileges",
        ] {
            assert!(!text.lines().any(|line| line.starts_with(forbidden)), "{unit}: {forbidden}");
        }
    }
    // Else multi-user.target, which comes before boot-complete.target, would wait for it.
    assert_eq!(values("reroot-agent.service", "DefaultDependencies"), ["no"]);
    assert_eq!(values("reroot-agent.service", "Conflicts"), ["shutdown.target", "reroot-update.timer"]);
    assert_eq!(values("reroot-agent.service", "Type"), ["notify"]);
    assert_eq!(values("reroot-update.timer", "WantedBy"), ["timers.target"]);
}

#[test]
fn scripts_are_sound() {
    for script in SCRIPTS.map(|script| project().join(script)) {
        run(command("sh").arg("-n").arg(&script));
    }
    if !installed("shellcheck") {
        return skip("scripts_are_sound", "not installed: shellcheck");
    }
    // What they source is on the machine that they run on.
    let mut shellcheck = command("shellcheck");
    shellcheck.args(["--shell=dash", "--exclude=SC1091,SC2154", "--severity=info"]).current_dir(project());
    run(shellcheck.args(SCRIPTS));
}

/// Runs the generator below a root of its own; gives the files it made with their content.
fn generate(root: &Path) -> Vec<(String, String)> {
    let out = root.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).unwrap();
    let generator = project().join("systemd/system-generators/reroot-system-generator");
    run(command(&generator).args([&out, &out, &out]).env("REROOT_CONFIG_ROOT", root));
    let (mut made, mut open) = (Vec::new(), vec![out.clone()]);
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()) {
            let shown = path.strip_prefix(&out).unwrap().display().to_string();
            match fs::read_link(&path) {
                Ok(target) => made.push((shown, format!("-> {}", target.display()))),
                Err(_) if path.is_dir() => open.push(path),
                Err(_) => made.push((shown, fs::read_to_string(&path).unwrap())),
            }
        }
    }
    made.sort();
    made
}

#[test]
fn the_generator_keeps_mounts_and_mounts_the_partition_of_grub() {
    let temp = scratch();
    let root = temp.path();
    for directory in ["run/reroot", "etc", "proc", "boot", "sysroot/reroot"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let write = |path: &str, text: &str| fs::write(root.join(path), text).unwrap();
    let names = || generate(root).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    write("proc/cmdline", "quiet\n");
    assert_eq!(names(), [""; 0], "not booted from a deployment");

    let record = |mounts: &[&str], extra: &str| {
        format!("{{\n  \"version\": 1,\n{extra}  \"mounts\": {mounts:?}\n}}\n").replace(", ", ",\n    ")
    };
    write("run/reroot/booted.json", &record(&["/etc", "/var", "/sysroot"], ""));
    assert_eq!(names(), ["sysroot.mount.d/50-reroot.conf", "var.mount.d/50-reroot.conf"]);
    assert!(generate(root)[0].1.contains("\nDefaultDependencies=no\n"));
    // Prepared, and gone over to.
    let stat = fs::metadata(root).unwrap();
    let identity = |inode: u64| format!("  \"rootDevice\": {},\n  \"rootInode\": {inode},\n", stat.dev());
    write("run/reroot/nextroot.json", &record(&["/sysroot"], &identity(stat.ino() + 1)));
    assert_eq!(names().len(), 2);
    write("run/reroot/nextroot.json", &record(&["/sysroot"], &identity(stat.ino())));
    assert_eq!(names(), ["sysroot.mount.d/50-reroot.conf"]);

    write("run/reroot/booted.json", &record(&["/etc"], ""));
    fs::remove_file(root.join("run/reroot/nextroot.json")).unwrap();
    let boot = |prefix: &str| {
        let uuid = "0a1b2c3d-0000-4000-8000-00000000000f";
        let grub = format!("\"root\": {{\n    \"fsUuid\": \"{uuid}\",\n    \"prefix\": \"{prefix}\"\n  }}");
        write("sysroot/reroot/boot.json", &format!("{{\n  \"loader\": \"grub\",\n  {grub}\n}}\n"));
    };
    boot("/boot");
    assert_eq!(names(), [""; 0]);
    boot("");
    let made = generate(root);
    let mounted = made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(mounted, ["boot.automount", "boot.mount", "local-fs.target.wants/boot.mount"]);
    assert_eq!(made[0].1, "-> /dev/null");
    assert!(
        made[1].1.contains("\nWhat=/dev/disk/by-uuid/0a1b2c3d-0000-4000-8000-00000000000f\nWhere=/boot\n")
    );
    let check =
        "systemd-fsck@dev-disk-by\\x2duuid-0a1b2c3d\\x2d0000\\x2d4000\\x2d8000\\x2d00000000000f.service";
    assert!(made[1].1.contains(&format!("\nRequires={check}\n")), "{}", made[1].1);

    for (fstab, cmdline, expected) in [
        ("# UUID=1 /boot ext4\n#UUID=1 /boot\nUUID=1 /boot/efi vfat", "quiet", 3),
        ("UUID=1 / ext4\nUUID=2\t/boot/  ext4 defaults 0 2\n", "quiet", 0),
        ("", "a systemd.mount-extra=UUID=1:/boot:ext4 b", 0),
        ("", "systemd.mount_extra=UUID=1:/boot", 0),
        ("", "systemd.mount-extra=UUID=1:/boot/efi x", 3),
    ] {
        write("etc/fstab", fstab);
        write("proc/cmdline", &format!("{cmdline}\n"));
        assert_eq!(names().len(), expected, "{fstab} {cmdline}");
    }
    write("etc/fstab", "");
    write("proc/cmdline", "\n");
    write("run/reroot/booted.json", &record(&["/boot"], ""));
    assert_eq!(names(), ["boot.mount.d/50-reroot.conf"]);
}
