use std::io::Write;

use super::*;

const PROGRAM: &[u8] = b"reroot-prepare-root";

/// An archive of files and, where the name ends in `/`, directories.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files.iter().chain(&[("TRAILER!!!", &b""[..])]) {
        let mode = if name.ends_with('/') { 0o040_755 } else { 0o100_755 };
        let name = name.trim_end_matches('/');
        let fields = [1, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        bytes.extend_from_slice(b"070701");
        fields.iter().for_each(|field| write!(bytes, "{field:08X}").unwrap());
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn ours() -> Vec<u8> {
    archive(&[("usr/", b""), ("usr/lib/reroot/reroot-prepare-root", b"ELF"), ("zz", b"later")])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

fn found(bytes: &[u8]) -> Result<Search, String> {
    search(&mut &*bytes, PROGRAM).map_err(|e| e.to_string())
}

#[test]
fn the_program_is_found_through_every_compression_that_is_read() {
    let microcode =
        [archive(&[("kernel/x86/microcode/GenuineIntel.bin", &[7; 3000])]), vec![0; 512]].concat();
    let others = archive(&[("init", &[1; 200_000]), ("usr/bin/sh", b"x")]);
    for bytes in [
        ours(),
        gzip(&ours()),
        zstd(&ours()),
        [microcode.clone(), ours()].concat(),
        [microcode.clone(), zstd(&ours())].concat(),
        [microcode.clone(), gzip(&[others.clone(), ours()].concat())].concat(),
        [zstd(&others), vec![0; 8], gzip(&others), zstd(&ours())].concat(),
    ] {
        assert_eq!(found(&bytes), Ok(Search::Found));
    }
    for bytes in [others.clone(), zstd(&others), [microcode.clone(), gzip(&others)].concat(), Vec::new()] {
        assert_eq!(found(&bytes), Ok(Search::Missing));
    }
}

#[test]
fn only_a_file_of_that_name_counts() {
    let content = ours();
    for (name, expected) in [
        ("bin/reroot-prepare-root", Search::Found),
        ("reroot-prepare-root", Search::Found),
        ("reroot-prepare-root/", Search::Missing),
        ("reroot-prepare-root.service", Search::Missing),
        ("not-reroot-prepare-root", Search::Missing),
        ("reroot-prepare-root/x", Search::Missing),
    ] {
        // An archive as the content of a file is content.
        assert_eq!(found(&archive(&[("a", &content), (name, b"1")])), Ok(expected), "{name}");
    }
}

#[test]
fn what_is_no_initramfs_is_named() {
    let long_name = b"070701".iter().chain(&[b'F'; 104]).copied().collect::<Vec<_>>();
    let no_number = b"070701".iter().chain(&[b'+'; 104]).copied().collect::<Vec<_>>();
    let whole = archive(&[("init", &[1; 5000])]);
    for (bytes, expected) in [
        (b"an initramfs\n".to_vec(), "there is something in it that is no cpio archive"),
        (gzip(b"an initramfs\n"), "there is something in it that is no cpio archive"),
        (gzip(&gzip(&ours())), "there is something in it that is no cpio archive"),
        (long_name, "a file in it has a name of impossible length"),
        (no_number, "a file in it has a header with something that is no number"),
        (whole[..2000].to_vec(), "it ends in the middle of a file"),
        (whole[..50].to_vec(), "it ends in the middle of an archive"),
        (whole[..whole.len() - 30].to_vec(), "it ends in the middle of an archive"),
    ] {
        assert_eq!(found(&bytes).unwrap_err(), expected);
    }
    assert!(found(&zstd(&whole)[..30]).is_err());
    assert!(found(&gzip(&whole)[..30]).is_err());
}

#[test]
fn a_bomb_ends_by_itself() {
    /// Zeros for ever.
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let mut endless = archive(&[("a", b"")]);
    endless.truncate(endless.len() / 2);
    let mut walk = Walk { program: PROGRAM, bytes: MOST_BYTES - 1000, entries: 0 };
    let error = walk.archives(&mut Ahead::new(&mut Endless), Level::Outside).err().unwrap();
    assert_eq!(error.to_string(), "it has more than 4 GiB");
    let mut walk = Walk { program: PROGRAM, bytes: 0, entries: 999_999 };
    let many = archive(&[("a", b""), ("b", b"")]);
    let error = walk.archives(&mut Ahead::new(&mut &*many), Level::Outside).err().unwrap();
    assert_eq!(error.to_string(), "it has more than a million files");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        start in 0..6_usize,
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
    ) {
        let start: &[u8] = [&b""[..], b"070701", b"070702", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\0\0"][start];
        let _ = found(&[start, &bytes].concat());
    }

    #[test]
    fn a_flipped_or_missing_byte_never_panics(at in 0..400_usize, with in 0..=255_u8, cut in 0..400_usize) {
        let mut bytes = ours();
        let at = at % bytes.len();
        bytes[at] = with;
        bytes.truncate(cut.max(1));
        let _ = found(&bytes);
        let _ = found(&gzip(&bytes));
    }

    #[test]
    fn names_are_found_wherever_they_are(before in "[a-z]{1,9}(/[a-z]{1,9}){0,2}", size in 0..70_000_usize) {
        let content = vec![b'0'; size];
        let bytes = archive(&[(&before, &content), ("x/reroot-prepare-root", b"")]);
        proptest::prop_assert_eq!(found(&zstd(&bytes)), Ok(Search::Found));
        proptest::prop_assert_eq!(found(&bytes), Ok(Search::Found));
    }
}
