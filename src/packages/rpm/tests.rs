//! Whole databases, sound and not.

use proptest::prelude::*;

use super::testing::{Rpm, ndb, sqlite};
use super::*;

fn headers(count: usize) -> Vec<Vec<u8>> {
    let rpm = |n: usize| {
        let paths: Vec<_> = (0..n % 60).map(|file| format!("/usr/share/p{n}/file-{file}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        Rpm::new(&format!("p{n:04}"), &format!("{n}"), "1").files(&paths).header()
    };
    (0..count).map(rpm).collect()
}

fn of_sqlite(file: &[u8]) -> RpmDatabase<'_> {
    RpmDatabase::Sqlite { file, log: &[] }
}

#[track_caller]
fn check(database: RpmDatabase<'_>, count: usize) {
    let packages = parse_files(database).unwrap();
    assert_eq!(packages.len(), count);
    for (n, (package, files)) in packages.iter().enumerate() {
        assert_eq!(
            (package.name.as_str(), package.version.as_str()),
            (&*format!("p{n:04}"), &*format!("{n}-1"))
        );
        assert_eq!(files.len(), n % 60);
        for (file, path) in files.iter().enumerate() {
            assert_eq!(*path, format!("/usr/share/p{n}/file-{file}").into_bytes());
        }
    }
    let names = packages.into_iter().map(|(package, _)| package);
    assert_eq!(parse(database).unwrap(), names.collect::<Vec<_>>());
}

#[test]
fn databases_of_every_size_are_read() {
    for count in [0, 1, 5, 700] {
        let headers = headers(count);
        for page_size in [512, 1024, 4096, 65536] {
            check(of_sqlite(&sqlite(&headers, page_size)), count);
        }
        check(RpmDatabase::Ndb(&ndb(&headers)), count);
    }
}

/// A log that brings a file to what another one is, and after that pages that were not committed.
fn log_of(file: &[u8], page_size: usize, magic: u32) -> Vec<u8> {
    let number = |bytes: &[u8]| match magic & 1 {
        1 => u32::from_be_bytes(bytes.try_into().unwrap()),
        _ => u32::from_le_bytes(bytes.try_into().unwrap()),
    };
    let mut sum = [0_u32; 2];
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(8) {
            sum[0] = sum[0].wrapping_add(number(&pair[..4])).wrapping_add(sum[1]);
            sum[1] = sum[1].wrapping_add(number(&pair[4..])).wrapping_add(sum[0]);
        }
        sum.map(u32::to_be_bytes).concat()
    };
    let mut log = [magic, 3_007_000, page_size as u32, 0, 11, 12].map(u32::to_be_bytes).concat();
    log.extend(add(&log));
    let count = file.len() / page_size;
    let nonsense = vec![0xff; page_size];
    let frames = (1..).zip(file.chunks(page_size)).chain([(2, &nonsense[..]), (1, &nonsense)]);
    for (page, bytes) in frames {
        let commit = if page as usize == count { count as u32 } else { 0 };
        let head = [page, commit].map(u32::to_be_bytes).concat();
        add(&head);
        let sum = add(bytes);
        let frame = [&head, &log[16..24], &sum, bytes].concat();
        log.extend(frame);
    }
    log
}

#[test]
fn what_is_in_the_log_is_newer() {
    let (old, new) = (sqlite(&headers(3), 1024), sqlite(&headers(70), 1024));
    for magic in [0x377f_0682, 0x377f_0683] {
        let log = log_of(&new, 1024, magic);
        for file in [&old[..], &new[..], &[]] {
            check(RpmDatabase::Sqlite { file, log: &log }, 70);
        }
        // Without the commit it does not count, nor with pages of another size, nor what is no log at all.
        for log in [&log[..5000], &log_of(&new, 512, magic), b"x"] {
            check(RpmDatabase::Sqlite { file: &old, log }, 3);
        }
    }
    let error = parse(RpmDatabase::Sqlite { file: &[], log: &[] }).unwrap_err();
    assert_eq!(error.to_string(), "the header: not a SQLite database");
}

#[test]
fn what_is_not_a_database_is_refused() {
    let whole = sqlite(&headers(70), 512);
    let last = whole.len() / 512 - 1;
    let refused = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        parse(of_sqlite(&file)).unwrap_err().to_string()
    };
    // The last page is the root, which leads to others.
    let root = last * 512;
    for (at, bytes, reason) in [
        (0, &b"x"[..], "the header: not a SQLite database"),
        (16, &[3], "the header: not a SQLite database"),
        (16, &[128, 0], "the header: it is cut off"),
        (19, &[3], "the header: a version that is not known"),
        (20, &[99], "the header: its pages are too small"),
        (28, &[1], "the header: it is cut off"),
        (56, &[0, 0, 0, 2], "the header: its text is not UTF-8"),
        (100, &[2], "page 1: not a page of a table"),
        (103, &[0, 0], "page 1: no table of packages"),
        (103, &[0xff, 0xff], "page 1: too many cells"),
        (108, &[0xff, 0xff], "page 1: a cell outside of it"),
        (root, &[10], &*format!("page {}: not a page of a table", last + 1)),
        (root + 8, &[0xff; 4], "page 4294967295: it is not in the file"),
        (root + 8, &u32::to_be_bytes(last as u32 + 1), &*format!("page {}: it is used twice", last + 1)),
        (root + 8, &u32::to_be_bytes(0), "page 0: it is not in the file"),
    ] {
        assert_eq!(refused(at, bytes), reason, "{at}");
    }
    assert_eq!(parse(of_sqlite(&whole[..600])).unwrap_err().to_string(), "the header: it is cut off");
}

#[test]
fn one_page_under_many_rows_is_refused() {
    // A file in which many rows claim the same overflow pages would be endless without being large.
    let blob = Rpm::new(&"a".repeat(3000), "1", "1").header();
    let mut file = sqlite(&[blob.clone(), blob], 1024);
    let leaf = file.len() - 1024;
    let cells: Vec<usize> = (0..2)
        .map(|n| usize::from(u16::from_be_bytes([file[leaf + 8 + n * 2], file[leaf + 9 + n * 2]])))
        .collect();
    let ends = [leaf + 1024, leaf + cells[0]];
    let first = file[ends[0] - 4..ends[0]].to_vec();
    file[ends[1] - 4..ends[1]].copy_from_slice(&first);
    let error = parse(of_sqlite(&file)).unwrap_err().to_string();
    assert!(error.ends_with("it is used twice"), "{error}");
}

proptest! {
    /// Whatever a file says: an answer or an error, at once.
    #[test]
    fn broken_databases_end_in_an_answer(
        kind in 0..3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let headers = headers(70);
        let mut bytes = match kind {
            0 => sqlite(&headers, 512),
            1 => log_of(&sqlite(&headers, 512), 512, 0x377f_0683),
            _ => ndb(&headers),
        };
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let database = match kind {
            0 => of_sqlite(&bytes),
            1 => RpmDatabase::Sqlite { file: &[], log: &bytes },
            _ => RpmDatabase::Ndb(&bytes),
        };
        let (names, files) = (parse(database), parse_files(database));
        if let (Ok(names), Ok(files)) = (names, files) {
            prop_assert_eq!(names.len(), files.len());
        }
    }
}
