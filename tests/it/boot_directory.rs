//! `$BOOT` as a directory: what is written, what is found again, what is left alone.

use std::fs;

use reroot::boot::entries::{self, read_entries, write_entry};
use reroot::boot::execute::{Outside, execute};
use reroot::boot::grub::GrubRoot;
use reroot::boot::kernel::{self, Ensured, ensure_pair, verify_pair};
use reroot::boot::loader_conf::{LoaderConf, Timeout};
use reroot::boot::plan::Menu;
use reroot::boot::systemd_boot::{EfiArchitecture, Foreign, Outcome, install};
use reroot::boot::{Error, bls::BlsEntry};

use crate::support::boot::{Boot, source, wanted};

#[test]
fn a_new_boot_directory_holds_what_the_specification_says() {
    let boot = Boot::new(Menu::Entries);
    let (one, two) = (wanted(1, 1, 1), wanted(2, 2, 1));
    let report = boot.reach(&[two.clone(), one.clone()]);
    assert_eq!((report.pairs_written, report.entries_written), (1, 2));
    let files = boot.files();
    let digest = one.pair.digest;
    assert_eq!(
        files.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "loader/entries.srel",
            "loader/entries/reroot-0000000001.conf",
            "loader/entries/reroot-0000000002.conf",
            &*format!("reroot/{digest}/initrd"),
            &*format!("reroot/{digest}/vmlinuz"),
        ]
    );
    assert_eq!(files["loader/entries.srel"], b"type1\n");
    assert_eq!(
        String::from_utf8_lossy(&files["loader/entries/reroot-0000000002.conf"]),
        format!(
            "title Debian GNU/Linux 13 (trixie) (reroot:2)\nversion 2\nsort-key reroot\n\
             options root=UUID=1A2B-3C4D ro reroot=/reroot/deploy/default/deploy/2\n\
             linux /reroot/{digest}/vmlinuz\ninitrd /reroot/{digest}/initrd\n"
        )
    );
    // Twice changes nothing, not even a time.
    let times = || {
        let path = boot.path().join("loader/entries/reroot-0000000002.conf");
        fs::metadata(path).unwrap().modified().unwrap()
    };
    let before = times();
    assert_eq!(boot.reach(&[two, one]), Default::default());
    assert_eq!((boot.files(), times()), (files, before));
}

#[test]
fn another_meaning_of_the_directory_is_respected() {
    let boot = Boot::new(Menu::Entries);
    boot.write("loader/entries.srel", b"type9\n");
    let error = boot.execute(&boot.plan(&[wanted(1, 1, 1)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "loader/entries.srel belongs to somebody else: it is not `type1`, so loader/entries is not for entries of the \
         Boot Loader Specification"
    );
    assert_eq!(boot.files().len(), 1);
}

#[test]
fn an_existing_directory_gets_no_marker() {
    let boot = Boot::new(Menu::Entries);
    boot.write("loader/entries/debian.conf", b"title Debian\nlinux /vmlinuz\n");
    boot.reach(&[wanted(1, 1, 1)]);
    assert!(!boot.files().contains_key("loader/entries.srel"));
}

#[test]
fn entries_of_others_stay_byte_for_byte() {
    let boot = Boot::new(Menu::Entries);
    let others: [(&str, &[u8]); 6] = [
        ("loader/entries/debian.conf", b"title Debian\n\n# c\nlinux  /vmlinuz\r\n"),
        ("loader/entries/reroot-0000000001-copy.conf", b"linux /x"),
        ("loader/entries/broken.conf", b"\xff\0"),
        ("loader/entries/README", b"x"),
        ("loader/random-seed", b"seed"),
        ("reroot/notes.txt", b"mine"),
    ];
    others.iter().for_each(|(path, bytes)| boot.write(path, bytes));
    boot.reach(&[wanted(2, 2, 2), wanted(1, 1, 1)]);
    boot.reach(&[wanted(3, 3, 3)]);
    let files = boot.files();
    for (path, bytes) in others {
        assert_eq!(files[path], bytes, "{path}");
    }
    let read = read_entries(&boot.dir).unwrap();
    assert_eq!(read.ours().count(), 1);
    assert_eq!(read.unreadable[0].reason, "loader/entries/broken.conf:1: not UTF-8");
}

#[test]
fn an_entry_is_never_written_over() {
    let boot = Boot::new(Menu::Entries);
    entries::ensure_directory(&boot.dir).unwrap();
    let name = "reroot-0000000001.conf".parse().unwrap();
    let entry = |text: &str| BlsEntry::parse(text.as_bytes(), "f").unwrap();
    write_entry(&boot.dir, &name, &entry("title one\n")).unwrap();
    let error = write_entry(&boot.dir, &name, &entry("title two\n")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "boot entry loader/entries/reroot-0000000001.conf is there already; entries are never rewritten"
    );
    assert_eq!(read_entries(&boot.dir).unwrap().entries[0].bls.title(), Some("one"));
    let error = entries::remove_entry(&boot.dir, "debian.conf").unwrap_err();
    assert_eq!(error.to_string(), "boot entry loader/entries/debian.conf is not one of reroot");
}

#[test]
fn what_interrupted_commands_left_is_swept() {
    let boot = Boot::new(Menu::Entries);
    let all = [wanted(2, 2, 2), wanted(1, 1, 1)];
    boot.reach(&all);
    let clean = boot.files();
    let digest = all[0].pair.digest;
    boot.write("loader/entries/.tmp-reroot-0000000009.conf.new", b"title half");
    boot.write(&format!("reroot/.tmp-{digest}/vmlinuz"), b"half");
    boot.write(&format!("reroot/.del-{digest}/vmlinuz"), b"half");
    boot.write("reroot/00000000000000000000000000000001/vmlinuz", b"without an initramfs");
    assert!(boot.plan(&all).is_empty());
    boot.reach(&all);
    assert_eq!(boot.files(), clean);
}

#[test]
fn a_kernel_is_written_once_and_found_damaged() {
    let boot = Boot::new(Menu::Entries);
    let pair = source(1).identify().unwrap();
    assert_eq!(ensure_pair(&boot.dir, &pair, &source(1)).unwrap(), Ensured::Written);
    assert_eq!(ensure_pair(&boot.dir, &pair, &source(1)).unwrap(), Ensured::WasThere);
    assert_eq!(kernel::pairs(&boot.dir).unwrap(), [pair]);
    assert!(verify_pair(&boot.dir, pair.digest).unwrap());
    assert!(!verify_pair(&boot.dir, source(2).identify().unwrap().digest).unwrap());

    let vmlinuz = format!("reroot/{}/vmlinuz", pair.digest);
    let mut bytes = boot.files()[&vmlinuz].clone();
    bytes[7] ^= 1;
    boot.write(&vmlinuz, &bytes);
    let error = verify_pair(&boot.dir, pair.digest).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("kernel reroot/{} is damaged: its content has the digest ", pair.digest)),
        "{error}"
    );
    // A wrong size is seen without reading, and put right.
    boot.write(&vmlinuz, b"short");
    assert_eq!(ensure_pair(&boot.dir, &pair, &source(1)).unwrap(), Ensured::Written);
    assert!(verify_pair(&boot.dir, pair.digest).unwrap());
    fs::remove_file(boot.path().join(&vmlinuz)).unwrap();
    assert!(matches!(verify_pair(&boot.dir, pair.digest), Err(Error::Corrupt { .. })));
}

#[test]
fn a_kernel_from_the_wrong_place_is_refused() {
    let boot = Boot::new(Menu::Entries);
    let pair = source(1).identify().unwrap();
    let error = ensure_pair(&boot.dir, &pair, &source(2)).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(kernel::pairs(&boot.dir).unwrap(), []);
}

#[test]
fn too_little_space_is_said_before_anything_is_written() {
    let boot = Boot::new(Menu::Entries);
    boot.reach(&[wanted(1, 1, 1)]);
    let before = boot.files();
    let mut plan = boot.plan(&[wanted(2, 2, 2), wanted(1, 1, 1)]);
    plan.needed_bytes = u64::MAX;
    assert!(matches!(boot.execute(&plan), Err(Error::NoSpace { required: u64::MAX, .. })));
    assert_eq!(boot.files(), before);
}

#[test]
fn a_disk_that_does_not_settle_stops_before_the_commit() {
    let boot = Boot::new(Menu::Grub(GrubRoot::new("1A2B-3C4D", "/boot").unwrap()));
    boot.reach(&[wanted(1, 1, 1)]);
    let plan = boot.plan(&[wanted(2, 2, 1)]);
    let before = boot.listed();
    let mut settle = || Err(std::io::Error::other("the disk is gone"));
    let mut outside = Outside { source: &mut |_| Ok(source(1)), settle: &mut settle };
    let error = execute(&plan, &boot.dir, &mut outside).unwrap_err();
    assert_eq!(error.to_string(), "bringing $BOOT to the disk: the disk is gone");
    assert_eq!(boot.listed(), before);
    boot.reach(&[wanted(2, 2, 1)]);
    assert!(!boot.files().keys().any(|name| name.contains(".tmp-")), "{:?}", boot.files().keys());
}

#[test]
fn orders_on_boot_are_never_given_again() {
    let boot = Boot::new(Menu::Entries);
    assert_eq!(read_entries(&boot.dir).unwrap().highest_order(), None);
    boot.reach(&[wanted(12, 2, 1), wanted(7, 1, 1)]);
    boot.write("loader/entries/reroot-0000000031+0-3.conf", b"\xff");
    boot.write("loader/entries/debian-99.conf", b"linux /x");
    assert_eq!(read_entries(&boot.dir).unwrap().highest_order().map(|o| o.get()), Some(31));
}

#[test]
fn systemd_boot_is_installed_updated_and_left_alone() {
    let esp = Boot::new(Menu::Entries);
    let program = |version: &str| format!("MZ #### LoaderInfo: systemd-boot {version} ####").into_bytes();
    let outcomes = |version: &str, foreign| {
        let installed = install(&esp.dir, &program(version), EfiArchitecture::X64, foreign).unwrap();
        (installed.program, installed.fallback)
    };
    esp.write("loader/random-seed", b"seed");
    assert_eq!(outcomes("257.9", Foreign::Keep), (Outcome::Written, Outcome::Written));
    assert_eq!(outcomes("257.9", Foreign::Keep), (Outcome::Same, Outcome::Same));
    assert_eq!(outcomes("257.10", Foreign::Keep), (Outcome::Written, Outcome::Written));
    let kept = || Outcome::NewerKept("257.10".into());
    assert_eq!(outcomes("256", Foreign::Replace), (kept(), kept()));
    esp.write("EFI/BOOT/BOOTX64.EFI", b"MZ shim");
    assert_eq!(outcomes("258", Foreign::Keep), (Outcome::Written, Outcome::ForeignKept));
    assert_eq!(esp.files()["EFI/BOOT/BOOTX64.EFI"], b"MZ shim");
    assert_eq!(outcomes("258", Foreign::Replace), (Outcome::Same, Outcome::Written));
    assert_eq!(esp.files()["loader/random-seed"], b"seed");
    let error = install(&esp.dir, b"MZ", EfiArchitecture::Aa64, Foreign::Keep).unwrap_err();
    assert_eq!(error.to_string(), "systemd-bootaa64.efi is not systemd-boot: it does not say its version");
    assert_eq!(
        esp.files().into_keys().collect::<Vec<_>>(),
        ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi", "loader/random-seed"]
    );
}

#[test]
fn the_loaders_configuration_keeps_what_people_wrote() {
    let esp = Boot::new(Menu::Entries);
    let mut conf = LoaderConf::read(&esp.dir).unwrap().unwrap_or_default();
    conf.add_missing(Timeout::Seconds(3));
    assert!(conf.write(&esp.dir).unwrap());
    assert!(!conf.write(&esp.dir).unwrap());
    assert_eq!(esp.files()["loader/loader.conf"], b"timeout 3\ndefault reroot-*\n");
    esp.write("loader/loader.conf", b"# mine\ntimeout menu-force\ndefault @saved\n");
    let mut conf = LoaderConf::read(&esp.dir).unwrap().unwrap();
    conf.add_missing(Timeout::Seconds(3));
    assert!(!conf.write(&esp.dir).unwrap());
}
