//! Images made to break out, to confuse two tools, or to exhaust: each class is refused with its entry named.
//!
//! Classes are those that have had CVEs in tar readers and container runtimes. Every archive is made here, by code.

use std::io::Read;

use reroot::layer::{self, Error, Limits};

use crate::support::memory_store::{MemoryStore, read};
use crate::support::raw_tar::*;

fn refusal(tar: &[u8]) -> String {
    match read(tar, &Limits::default()) {
        Ok((tree, _, _)) => panic!("accepted: {:?}", tree.changes),
        Err(error) => error.to_string(),
    }
}

fn check(cases: &[(&str, Vec<Vec<u8>>, &str)]) {
    for (name, parts, expected) in cases {
        let message = refusal(&archive(parts));
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn names_that_lead_elsewhere() {
    let name = "n".repeat(256);
    let long = "d/".repeat(2100) + "x";
    check(&[
        (
            "climbing",
            vec![file("../etc/passwd", "x")],
            "entry `../etc/passwd`: its path has a `..` component",
        ),
        ("climbing later", vec![file("a/../../b", "x")], "entry `a/../../b`: its path has a `..`"),
        ("climbing at the end", vec![directory("a/..")], "entry `a/..`: its path has a `..`"),
        ("absolute", vec![file("/etc/passwd", "x")], "entry `/etc/passwd`: its path is absolute"),
        ("absolute by pax", vec![pax(&[("path", b"/etc/passwd")]), file("a", "x")], "its path is absolute"),
        ("no name", vec![file("", "x")], "empty path"),
        ("no name by pax", vec![pax(&[("path", b"")]), file("a", "x")], "empty path"),
        ("NUL in a name", vec![pax(&[("path", b"a\0b")]), file("a", "x")], "NUL byte"),
        ("NUL in a GNU name", vec![gnu_long(b'L', "a\0b"), file("a", "x")], "NUL byte"),
        ("a long component", vec![gnu_long(b'L', &name), file("a", "x")], "component longer than 255 bytes"),
        ("a long path", vec![pax(&[("path", long.as_bytes())]), file("a", "x")], "path exceeds limit"),
        ("a link to nothing", vec![symlink("a", "")], "entry `a`: its link target is empty"),
        ("NUL in a link", vec![pax(&[("linkpath", b"a\0b")]), symlink("a", "x")], "has a NUL byte"),
        (
            "control bytes are not printed",
            vec![file("..\x1b[31m", "x"), file("\x1b[2J/..", "x")],
            "`\\u{1b}[2J/..`",
        ),
    ]);
}

#[test]
fn the_root_and_what_cannot_hold_entries() {
    check(&[
        ("the root as a link", vec![symlink("./", "/etc")], "the root of the image is not a directory"),
        (
            "the root as a link, umoci's CVE-2021-29136",
            vec![symlink(".", "/etc"), file("passwd", "x")],
            "the root of the image is not a directory",
        ),
        ("the root as a file", vec![file(".", "x")], "the root of the image is not a directory"),
        ("the root as a hard link", vec![file("a", "x"), hardlink(".", "a")], "the root of the image is not"),
        (
            "below a file",
            vec![file("a", "x"), file("a/b", "x")],
            "entry `a/b`: `a` above it is not a directory",
        ),
        (
            "below a device",
            vec![Header::new(b'3', "a").block(), file("a/b", "x")],
            "`a` above it is not a directory",
        ),
        (
            "a whiteout below a file",
            vec![file("a", "x"), file("a/.wh.b", "")],
            "`a` above it is not a directory",
        ),
    ]);
}

#[test]
fn hard_links() {
    check(&[
        ("climbing", vec![hardlink("a", "../../etc/shadow")], "entry `a`: its path has a `..` component"),
        ("to nothing", vec![hardlink("a", "")], "entry `a`: its path is empty"),
        ("to the root", vec![hardlink("a", "/")], "entry `a`: it"),
        (
            "to a directory",
            vec![directory("d"), hardlink("a", "d")],
            "it is a hard link to the directory `d`",
        ),
        ("with data", vec![Header::new(b'1', "a").link("b").with("data")], "entry `a`: it has data"),
    ]);
}

#[test]
fn whiteouts_of_what_is_not_theirs() {
    check(&[
        ("of nothing", vec![file("d/.wh.", "")], "entry `d/.wh.`: a whiteout of nothing or of a parent"),
        ("of the directory", vec![file("d/.wh..", "")], "a whiteout of nothing or of a parent directory"),
        ("of the parent", vec![file("d/.wh...", "")], "a whiteout of nothing or of a parent directory"),
        ("with a path", vec![file("../.wh.etc", "")], "has a `..` component"),
        ("as a directory", vec![file(".wh.d/x", "x")], "entry `.wh.d/x`: it is below a whiteout"),
        (
            "below a link",
            vec![symlink("l", "/etc"), file("l/.wh.passwd", "")],
            "entry `l/passwd`: it is deleted, but",
        ),
        (
            "opaque below a link",
            vec![symlink("l", "/etc"), file("l/d/.wh..wh..opq", "")],
            "it is deleted, but below",
        ),
        ("an opaque file", vec![file("a", "x"), file("a/.wh..wh..opq", "")], "is not a directory"),
    ]);
}

#[test]
fn what_two_tools_read_differently() {
    let header = || Header::new(b'0', "a");
    let sized = |field: &[u8]| vec![header().set(SIZE, field).block()];
    let records = |bytes: &[u8]| vec![Header::new(b'x', "p").with(bytes), file("a", "x")];
    let repeat = |key: &str| vec![pax(&[(key, b"1"), (key, b"1")]), file("a", "x")];
    check(&[
        (
            "a name in GNU's and in pax's way",
            vec![gnu_long(b'L', "b"), pax(&[("path", b"c")]), file("a", "x")],
            "its name or link is in a GNU and in a pax extension header",
        ),
        (
            "the other order",
            vec![pax(&[("path", b"c")]), gnu_long(b'L', "b"), file("a", "x")],
            "in a GNU and in a pax",
        ),
        (
            "a link in both ways",
            vec![gnu_long(b'K', "b"), pax(&[("linkpath", b"c")]), symlink("a", "x")],
            "in a GNU and in a pax",
        ),
        (
            "two GNU names",
            vec![gnu_long(b'L', "b"), gnu_long(b'L', "c"), file("a", "x")],
            "duplicate GNU long name",
        ),
        (
            "two pax headers",
            vec![pax(&[("path", b"b")]), pax(&[("path", b"c")]), file("a", "x")],
            "duplicate PAX",
        ),
        ("one record twice", repeat("path"), "two extension records `path`"),
        ("one size twice", repeat("size"), "two extension records `size`"),
        ("an unknown record twice", repeat("x"), "two extension records `x`"),
        ("records without a length", records(b"path=evil\n"), "extension records are malformed"),
        ("records with a wrong length", records(b"12 path=evil\n"), "malformed"),
        ("something behind the records", records(b"6 a=b\n\0\0\0"), "extension records are malformed"),
        ("records that begin with a sign", records(b"+7 a=b\n"), "extension records are malformed"),
        ("a size with a sign", vec![pax(&[("size", b"+1")]), file("a", "x")], "record `size` is malformed"),
        ("a size below zero", vec![pax(&[("size", b"-1")]), file("a", "x")], "record `size` is malformed"),
        ("an empty size", vec![pax(&[("size", b"")]), file("a", "x")], "record `size` is malformed"),
        ("an id in hex", vec![pax(&[("uid", b"0x10")]), file("a", "x")], "record `uid` is malformed"),
        ("a time in words", vec![pax(&[("mtime", b"now")]), file("a", "x")], "record `mtime` is malformed"),
        (
            "an id that chown ignores",
            vec![pax(&[("uid", b"4294967295")]), file("a", "x")],
            "entry `a`: its uid 4294967295 is out of range",
        ),
        (
            "an id that is cut",
            vec![pax(&[("gid", b"4294967296")]), file("a", "x")],
            "its gid 4294967296 is out of range",
        ),
        (
            "a base-256 id that is cut",
            vec![header().set(UID, base256::<8>(1 << 32)).with("x")],
            "out of range",
        ),
        (
            "an id below zero",
            vec![header().set(UID, [0xff; 8]).with("x")],
            "its uid is malformed or negative",
        ),
        ("a size beyond 64 bits", sized(&base256::<12>((1 << 64) + 512)), "its size is malformed"),
        ("a size below zero", sized(&[0xff; 12]), "invalid entry size"),
        ("a size with a tail", sized(b"0000001\x00000\0"), "its size is malformed"),
        ("a size behind a NUL", sized(b"\x0000000001\0"), "its size is malformed"),
        ("a mode that is no number", vec![header().set(MODE, "rw-r--r").with("x")], "invalid octal"),
        (
            "another ustar version",
            vec![header().set(MAGIC, "ustar\x00 1").with("x")],
            "unknown ustar version",
        ),
        (
            "star's prefix",
            vec![header().set(PREFIX, [b'p'; 155]).set(508..512, "tar\0").with("x")],
            "star's fields",
        ),
        (
            "text where GNU has times",
            vec![header().gnu().set(PREFIX, "usr/bin").with("x")],
            "text where its times",
        ),
        ("a file with a directory's name", vec![file("a/", "")], "a regular file whose name ends in a slash"),
        ("a directory with data", vec![Header::new(b'5', "d").with("data")], "entry `d`: it has data"),
        ("a link with data", vec![Header::new(b'2', "l").link("x").with("data")], "entry `l`: it has data"),
        ("a pipe with data", vec![Header::new(b'6', "p").with("data")], "entry `p`: it has data"),
        (
            "data by pax only",
            vec![pax(&[("size", b"512")]), directory("d"), file("hidden", "x")],
            "it has data",
        ),
        ("a type nobody knows", vec![Header::new(b'Z', "a").block()], "are not known"),
        ("a volume label", vec![Header::new(b'V', "a").block()], "are not known"),
        (
            "an extension without magic",
            vec![Header::new(b'x', "p").v7().with(records_of_path()), file("a", "x")],
            "entry `p`: it has data",
        ),
        (
            "a lone block of zeros",
            vec![file("a", "x"), vec![0; 512], file("b", "x")],
            "a lone block of zeros",
        ),
        (
            "one behind an extension",
            vec![pax(&[("path", b"b")]), vec![0; 512], file("a", "x")],
            "a lone block of zeros",
        ),
        ("an end behind an extension", vec![pax(&[("path", b"b")])], "without a following actual entry"),
        (
            "a global path",
            vec![global(&[("path", b"evil")]), file("a", "x")],
            "global extension header sets `path`",
        ),
        (
            "a global size",
            vec![global(&[("size", b"1")]), file("a", "x")],
            "global extension header sets `size`",
        ),
        ("a global link", vec![global(&[("linkpath", b"x")]), symlink("a", "b")], "sets `linkpath`"),
        ("global owners", vec![global(&[("uid", b"0")]), file("a", "x")], "sets `uid`"),
        (
            "a global xattr",
            vec![global(&[("SCHILY.xattr.user.a", b"0")]), file("a", "x")],
            "sets `SCHILY.xattr.user.a`",
        ),
        ("a malformed global header", vec![Header::new(b'g', "g").with("evil"), file("a", "x")], "malformed"),
        (
            "an extension before a global header",
            vec![pax(&[("path", b"b")]), global(&[("comment", b"x")]), file("a", "x")],
            "a global header stands between it and its extension headers",
        ),
        ("a wrong checksum", vec![header().without_checksum().with("x")], "checksum"),
        (
            "two xattr values",
            vec![pax(&[("SCHILY.xattr.user.a", b"1"), ("LIBARCHIVE.xattr.user.a", b"Mg")]), file("a", "x")],
            "two values of the xattr `user.a`",
        ),
    ]);
    let after = [archive(&[file("a", "x")]), file("b", "x")].concat();
    assert!(refusal(&after).contains("data after the end of the archive"));
}

fn records_of_path() -> Vec<u8> {
    records(&[("path", b"evil")])
}

#[test]
fn sparse_files_that_lie() {
    let map = |pairs: &[(&str, &[u8])], content: &str| {
        let keys: Vec<String> = pairs.iter().map(|(key, _)| format!("GNU.sparse.{key}")).collect();
        let pairs: Vec<_> = keys.iter().zip(pairs).map(|(key, (_, value))| (key.as_str(), *value)).collect();
        vec![pax(&pairs), file("a", content)]
    };
    let one = [("major", &b"1"[..]), ("minor", b"0"), ("name", b"a"), ("realsize", b"9")];
    let gnu = |region: &str, size: &str| {
        let header = Header::new(b'S', "a").gnu().set(SPARSE..SPARSE + 24, region).set(REAL_SIZE, size);
        vec![header.with("xyz")]
    };
    check(&[
        ("overlapping", map(&[("size", b"9"), ("map", b"0,2,1,2")], "wxyz"), "out of order or beyond"),
        ("backwards", map(&[("size", b"9"), ("map", b"4,2,0,2")], "wxyz"), "out of order or beyond"),
        ("beyond its size", map(&[("size", b"3"), ("map", b"0,4")], "wxyz"), "out of order or beyond"),
        (
            "beyond 64 bits",
            map(&[("size", b"9"), ("map", b"18446744073709551615,4")], "wxyz"),
            "out of order or beyond",
        ),
        (
            "more than is stored",
            map(&[("size", b"9"), ("map", b"0,5")], "wxyz"),
            "more or less than its sparse map",
        ),
        (
            "less than is stored",
            map(&[("size", b"9"), ("map", b"0,3")], "wxyz"),
            "more or less than its sparse map",
        ),
        ("half a region", map(&[("size", b"9"), ("map", b"0,3,4")], "xyz"), "odd number of values"),
        (
            "another count",
            map(&[("size", b"9"), ("numblocks", b"2"), ("map", b"0,3")], "xyz"),
            "another number of regions",
        ),
        ("without a size", map(&[("map", b"0,3")], "xyz"), "incomplete or of an unknown version"),
        (
            "without a map",
            map(&[("size", b"9"), ("name", b"b")], "xyz"),
            "incomplete or of an unknown version",
        ),
        (
            "a new version",
            map(&[("major", b"2"), ("minor", b"0"), ("realsize", b"3")], "xyz"),
            "unknown version",
        ),
        ("a map cut short", map(&one, "1\n"), "ends in the middle"),
        ("a map without an end", map(&one, "1\n0\n"), "ends in the middle"),
        ("too many regions", map(&one, "99999999\n"), "too many sparse entries"),
        (
            "a directory",
            vec![pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"")]), directory("a")],
            "a sparse map but is not a regular file",
        ),
        (
            "GNU's, beyond its size",
            gnu("00000000002\x0000000000003\0", "00000000004\0"),
            "out of order or beyond",
        ),
        ("GNU's, not a number", gnu("0000000000x\x0000000000003\0", "00000000007\0"), "invalid octal"),
        (
            "GNU's, without a map",
            vec![Header::new(b'S', "a").gnu().set(REAL_SIZE, "00000000007\0").with("xyz")],
            "more or less than its sparse map",
        ),
        (
            "GNU's and pax's",
            [
                vec![pax(&[("GNU.sparse.size", b"7"), ("GNU.sparse.map", b"0,3")])],
                gnu("00000000002\x0000000000003\0", "00000000007\0"),
            ]
            .concat(),
            "sparse maps of two formats",
        ),
    ]);
}

#[test]
fn archives_that_break_off() {
    let whole = [pax(&[("path", b"long")]), file("a", vec![7; 2000])].concat();
    for (cut, expected) in [
        (100, "ends in the middle"),
        (512, "ends in the middle"),
        (600, "ends in the middle"),
        (1024, "ends in the middle"),
        (1536, "entry `long`: the archive ends in the middle of it"),
        (1536 + 1999, "entry `long`: the archive ends in the middle of it"),
        (1536 + 2000, "ends in the middle of an entry"),
    ] {
        let message = refusal(&whole[..cut]);
        assert!(message.contains(expected), "cut at {cut}: {message}");
    }
    assert!(refusal(b"not a tar archive").contains("ends in the middle"));
    assert!(refusal(&[b'x'; 4096]).contains("malformed tar at byte 0"));
}

/// Gives a header and then the same byte for ever.
fn endless(header: Vec<u8>, byte: u8) -> impl Read {
    std::io::Cursor::new(header).chain(std::io::repeat(byte))
}

fn endless_refusal(header: Vec<u8>, byte: u8, limits: &Limits) -> Error {
    layer::read_layer(endless(header, byte), &mut MemoryStore::default(), limits).unwrap_err()
}

#[test]
fn bombs_are_stopped_at_their_limit() {
    let limits = Limits { available_bytes: 1 << 20, entries: 1000, metadata_bytes: 1 << 20 };
    let stopped = |header: Vec<u8>, byte: u8| endless_refusal(header, byte, &limits).to_string();
    let size = |size: i128| Header::new(b'0', "a").set(SIZE, base256::<12>(size)).block();

    let message = stopped(size((1 << 20) + 1), 0);
    assert_eq!(message, "entry `a`: its size of 1048577 is over the limit of 1048576");
    assert!(stopped(size(i128::from(i64::MAX)), 0).contains("is over the limit"));
    let holes = pax(&[("GNU.sparse.size", b"1152921504606846976"), ("GNU.sparse.map", b"0,0")]);
    let message = stopped([holes, file("a", "")].concat(), 0);
    assert_eq!(message, "entry `a`: its size of 1152921504606846976 is over the limit of 1048576");

    // Zeros behind the end, for ever.
    assert!(stopped(archive(&[file("a", "x")]), 0).contains("too much padding"));
    // Headers that promise much.
    for kind in [b'x', b'g', b'L', b'K'] {
        let header = Header::new(kind, "p").gnu().size(1 << 30).block();
        assert!(stopped(header, b'a').contains("metadata exceeds limit"), "{}", char::from(kind));
    }
    // A chain of extension headers.
    let chain = [gnu_long(b'L', "a"), gnu_long(b'K', "b"), pax(&[("uid", b"1")])].concat();
    assert!(stopped(chain.repeat(20), 0).contains("duplicate"));
    // Sparse maps without an end: one in the content, one in blocks of its own.
    let one = [("major", "1"), ("minor", "0"), ("realsize", "9")];
    let one = one.map(|(key, value)| (format!("GNU.sparse.{key}"), value));
    let one: Vec<_> = one.iter().map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
    let map = [pax(&one), Header::new(b'0', "a").size(1 << 30).block()].concat();
    assert!(stopped(map.clone(), b'1').contains("header with extensions of more than"));
    assert!(stopped([map, b"9000\n".to_vec()].concat(), b'\n').contains("invalid decimal"));
    let mut block = vec![b'1'; BLOCK];
    block[504] = 1;
    let blocks = Header::new(b'S', "a").gnu().set(EXTENDED..EXTENDED + 1, [1]).block();
    let message = stopped([blocks.clone(), block.repeat(500)].concat(), 0);
    assert!(message.contains("too many sparse entries"), "{message}");
    block[..504].fill(0);
    let message = stopped([blocks, block.repeat(5000)].concat(), 0);
    assert!(message.contains("header with extensions of more than"), "{message}");
}

#[test]
fn endless_entries_are_stopped_at_their_limit() {
    struct Entries {
        number: u64,
        metadata: usize,
    }
    impl Read for Entries {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.number += 1;
            let name = format!("{}", self.number);
            let entry = match self.metadata {
                0 => file(&name, ""),
                n => [pax(&[("comment", &vec![b'c'; n])]), file(&name, "")].concat(),
            };
            out[..entry.len()].copy_from_slice(&entry);
            Ok(entry.len())
        }
    }
    let limits = Limits { entries: 1000, metadata_bytes: 1 << 20, ..Limits::default() };
    let stopped = |metadata| {
        // Whole entries at a time need a buffer that one fits in.
        let entries = std::io::BufReader::with_capacity(64 << 10, Entries { number: 0, metadata });
        layer::read_layer(entries, &mut MemoryStore::default(), &limits).unwrap_err().to_string()
    };
    assert_eq!(stopped(0), "entry `1001`: the number of entries 1001 is over the limit of 1000");
    assert!(stopped(20_000).contains("metadata of"), "{}", stopped(20_000));
}

#[test]
fn xattrs_that_no_file_system_takes() {
    let name = format!("SCHILY.xattr.user.{}", "n".repeat(251));
    check(&[
        (
            "a long name",
            vec![pax(&[(&name, b"x")]), file("a", "x")],
            "entry `a`: an xattr name is empty, too long",
        ),
        ("no name", vec![pax(&[("SCHILY.xattr.", b"x")]), file("a", "x")], "an xattr name is empty"),
        (
            "a large value",
            vec![pax(&[("SCHILY.xattr.user.a", &vec![b'x'; 65537])]), file("a", "x")],
            "entry `a`: an xattr value of 65537 is over the limit of 65536",
        ),
        ("broken base64", vec![pax(&[("LIBARCHIVE.xattr.user.a", b"*")]), file("a", "x")], "is malformed"),
        (
            "broken escapes",
            vec![pax(&[("LIBARCHIVE.xattr.user.%zz", b"AA")]), file("a", "x")],
            "is malformed",
        ),
    ]);
}
