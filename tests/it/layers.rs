//! Layers as tools write them: every form of tar entry comes out as what it says.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{self as unix, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use reroot::layer::{Limits, Warning};

use crate::support::memory_store::{lines, read};
use crate::support::raw_tar::*;

/// Pieces of an archive, in order.
type Parts = Vec<Vec<u8>>;

fn read_lines(tar: &[u8]) -> Vec<String> {
    let (tree, warnings, store) = read(tar, &Limits::default()).unwrap();
    assert_eq!(warnings, []);
    lines(&tree, &store)
}

#[test]
fn every_form_of_entry_is_what_it_says() {
    let long = format!("{}/end", "d".repeat(200));
    let cases: &[(&str, Parts, &str)] = &[
        ("v7 file", vec![Header::new(b'0', "a").v7().with("x")], "a 0644 0:0 1 file \"x\""),
        ("v7 file of type NUL", vec![Header::new(0, "a").v7().with("x")], "a 0644 0:0 1 file \"x\""),
        ("v7 directory", vec![Header::new(0, "a/").v7().block()], "a 0644 0:0 1 dir"),
        (
            "ustar prefix",
            vec![Header::new(b'0', "c").set(PREFIX, "a/b").with("x")],
            "a/b/c 0644 0:0 1 file \"x\"",
        ),
        ("no prefix in GNU headers", vec![Header::new(b'0', "c").gnu().with("x")], "c 0644 0:0 1 file \"x\""),
        ("contiguous file", vec![Header::new(b'7', "a").with("x")], "a 0644 0:0 1 file \"x\""),
        ("empty file", vec![file("a", "")], "a 0644 0:0 1 empty"),
        ("directory", vec![directory("./a/")], "a 0755 0:0 1 dir"),
        ("the root", vec![directory("./")], "/ 0755 0:0 1 dir"),
        ("symbolic link", vec![symlink("a", "../b")], "a 0644 0:0 1 -> ../b"),
        ("fifo", vec![Header::new(b'6', "a").block()], "a 0644 0:0 1 fifo"),
        (
            "character device",
            vec![Header::new(b'3', "a").set(MAJOR, "0000005\0").set(MINOR, "0000001\0").block()],
            "a 0644 0:0 1 char 5:1",
        ),
        (
            "block device with a large minor",
            vec![Header::new(b'4', "a").set(MAJOR, "0007777\0").set(MINOR, "3777777\0").block()],
            "a 0644 0:0 1 block 4095:1048575",
        ),
        (
            "setuid, and the file type in the mode",
            vec![Header::new(b'0', "a").set(MODE, "0104755\0").with("x")],
            "a 4755 0:0 1 file \"x\"",
        ),
        ("not UTF-8", vec![Header::new(b'0', b"a\xff\n").with("x")], "a\\xff\\n 0644 0:0 1 file \"x\""),
        (
            "a name without NUL",
            vec![Header::new(b'0', "n".repeat(100)).with("x")],
            &format!("{} 0644 0:0 1 file \"x\"", "n".repeat(100)),
        ),
        ("dots and slashes", vec![file(".//a/./b", "x")], "a/b 0644 0:0 1 file \"x\""),
        (
            "GNU long name",
            vec![gnu_long(b'L', &long), Header::new(b'0', "d").gnu().with("x")],
            &format!("{long} 0644 0:0 1 file \"x\""),
        ),
        (
            "GNU long link",
            vec![gnu_long(b'K', &long), Header::new(b'2', "a").gnu().block()],
            &format!("a 0644 0:0 1 -> {long}"),
        ),
        (
            "pax path",
            vec![pax(&[("path", long.as_bytes())]), file("short", "x")],
            &format!("{long} 0644 0:0 1 file \"x\""),
        ),
        ("pax link", vec![pax(&[("linkpath", b"b/c")]), symlink("a", "x")], "a 0644 0:0 1 -> b/c"),
        (
            "pax size against the header's",
            vec![pax(&[("size", b"3")]), Header::new(b'0', "a").size(0).block(), padded(b"xyz")],
            "a 0644 0:0 1 file \"xyz\"",
        ),
        (
            "pax ids",
            vec![pax(&[("uid", b"4294967294"), ("gid", b"70000")]), file("a", "x")],
            "a 0644 4294967294:70000 1 file \"x\"",
        ),
        (
            "base-256 ids",
            vec![
                Header::new(b'0', "a").set(UID, base256::<8>(3_000_000)).set(GID, base256::<8>(7)).with("x"),
            ],
            "a 0644 3000000:7 1 file \"x\"",
        ),
        (
            "pax time",
            vec![pax(&[("mtime", b"1700000000.123456789")]), file("a", "x")],
            "a 0644 0:0 1700000000.123456789 file \"x\"",
        ),
        (
            "a time before 1970",
            vec![pax(&[("mtime", b"-1.5")]), file("a", "x")],
            "a 0644 0:0 -2.500000000 file \"x\"",
        ),
        (
            "and in base-256",
            vec![Header::new(b'0', "a").set(MTIME, base256::<12>(-5)).with("x")],
            "a 0644 0:0 -5 file \"x\"",
        ),
        (
            "a capability with a newline in it",
            vec![pax(&[("SCHILY.xattr.security.capability", b"\x01\0\0\n14 path=evil\n")]), file("a", "x")],
            "a 0644 0:0 1 file \"x\" security.capability=\\u{1}\\u{0}\\u{0}\\n14 path=evil\\n",
        ),
        (
            "libarchive's xattrs",
            vec![pax(&[("LIBARCHIVE.xattr.user.a%20b", b"AAE")]), file("a", "x")],
            "a 0644 0:0 1 file \"x\" user.a b=\\u{0}\\u{1}",
        ),
        (
            "a GNU long name and pax xattrs",
            vec![
                pax(&[("SCHILY.xattr.user.a", b"1")]),
                gnu_long(b'L', &long),
                Header::new(b'0', "d").gnu().with("x"),
            ],
            &format!("{long} 0644 0:0 1 file \"x\" user.a=1"),
        ),
        ("a comment for all", vec![global(&[("comment", b"v1")]), file("a", "x")], "a 0644 0:0 1 file \"x\""),
        (
            "unknown records",
            vec![pax(&[("VENDOR.x", b"v1"), ("atime", b"1")]), file("a", "x")],
            "a 0644 0:0 1 file \"x\"",
        ),
        (
            "old GNU sparse",
            vec![
                Header::new(b'S', "a")
                    .gnu()
                    .set(SPARSE..SPARSE + 24, "00000000002\x0000000000003\0")
                    .set(REAL_SIZE, "00000000007\0")
                    .with("xyz"),
            ],
            "a 0644 0:0 1 file \"\\u{0}\\u{0}xyz\\u{0}\\u{0}\"",
        ),
        (
            "a sparse file that is all hole",
            vec![pax(&[("GNU.sparse.size", b"4"), ("GNU.sparse.map", b"4,0")]), file("a", "")],
            "a 0644 0:0 1 file \"\\u{0}\\u{0}\\u{0}\\u{0}\"",
        ),
        ("whiteout", vec![file("d/.wh.a", "")], "d/a whiteout"),
        ("opaque", vec![file("d/.wh..wh..opq", "")], "d opaque"),
        (
            "whiteout of a name that is not UTF-8",
            vec![Header::new(b'0', b".wh.\xff").block()],
            "\\xff whiteout",
        ),
        ("a whiteout that is a device", vec![Header::new(b'3', ".wh.a").block()], "a whiteout"),
        ("hard link to a lower layer", vec![hardlink("a", "/b")], "a hardlink b"),
    ];
    for (name, parts, expected) in cases {
        assert_eq!(read_lines(&archive(parts)), [*expected], "{name}");
    }
}

#[test]
fn entries_of_one_layer_work_together() {
    let cases: &[(&str, Parts, &[&str])] = &[
        ("nothing", vec![], &[]),
        (
            "AUFS's own",
            vec![directory(".wh..wh.plnk/"), file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs", "")],
            &[],
        ),
        (
            "a hard link has the inode of its target",
            vec![
                pax(&[("mtime", b"5.5")]),
                Header::new(b'0', "a").set(MODE, "0000600\0").with("x"),
                hardlink("b", "./a"),
            ],
            &["a 0600 0:0 5.500000000 file \"x\"", "b 0600 0:0 5.500000000 file \"x\""],
        ),
        (
            "the last of two wins, and what it replaced does not come back",
            vec![file("a", "1"), file("b", "2"), directory("a"), file("a/x", "3"), file("a", "4")],
            &["a 0644 0:0 1 file \"4\"", "b 0644 0:0 1 file \"2\""],
        ),
        (
            "records of one entry are not the next one's",
            vec![pax(&[("uid", b"5"), ("mtime", b"7")]), file("a", "x"), file("b", "x")],
            &["a 0644 5:0 7 file \"x\"", "b 0644 0:0 1 file \"x\""],
        ),
    ];
    for (name, parts, expected) in cases {
        assert_eq!(read_lines(&archive(parts)), *expected, "{name}");
    }
}

#[test]
fn an_archive_may_end_in_every_usual_way() {
    let one = file("a", "x");
    let expected = ["a 0644 0:0 1 file \"x\""];
    for zeros in [0, 512, 1024, 1536, 10240, 1 << 20] {
        assert_eq!(read_lines(&[one.clone(), vec![0; zeros]].concat()), expected, "{zeros} zeros");
    }
}

#[test]
fn dropped_xattrs_are_named_once() {
    let dropped = |name: &str| Warning::DroppedXattr(name.as_bytes().to_vec());
    let records = [
        ("SCHILY.xattr.trusted.overlay.opaque", &b"y"[..]),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.reroot.meta", b"forged"),
        ("SCHILY.xattr.security.selinux", b"system_u:object_r:bin_t:s0\0"),
    ];
    let parts = [pax(&records), file("a", "x"), pax(&records), file("b", "x")];
    let (tree, warnings, store) = read(&archive(&parts), &Limits::default()).unwrap();
    assert_eq!(
        lines(&tree, &store)[0],
        "a 0644 0:0 1 file \"x\" security.selinux=system_u:object_r:bin_t:s0\\u{0}"
    );
    let names = ["trusted.overlay.opaque", "user.overlay.redirect", "user.reroot.meta"];
    assert_eq!(warnings, names.map(dropped));
    assert_eq!(warnings[0].to_string(), "xattr trusted.overlay.opaque is not kept");
}

fn tar_is_there() -> bool {
    let there =
        Command::new("tar").arg("--version").output().is_ok_and(|o| o.stdout.starts_with(b"tar (GNU"));
    if !there {
        eprintln!("skipped: GNU tar is not installed");
    }
    there
}

fn tar(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").arg("-C").arg(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "tar {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn sparse_files_of_gnu_tar_come_out_whole_in_all_its_formats() {
    if !tar_is_there() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    // More regions than fit a header, or an extension block.
    let mut file = fs::File::create(temp.path().join("sparse")).unwrap();
    for region in 0..60u64 {
        file.seek(SeekFrom::Start(region << 16)).unwrap();
        file.write_all(format!("region {region}").as_bytes()).unwrap();
    }
    file.set_len(5 << 20).unwrap();
    fs::write(temp.path().join("then"), "sound").unwrap();
    let content = fs::read(temp.path().join("sparse")).unwrap();
    let formats: &[&[&str]] = &[
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    for format in formats {
        let bytes = tar(temp.path(), &[format, &["--sparse", "-cf", "-", "sparse", "then"][..]].concat());
        assert!(bytes.len() < content.len(), "{format:?} is not sparse here");
        let (tree, _, store) = read(&bytes, &Limits::default()).unwrap();
        assert_eq!(tree.changes.len(), 2, "{format:?}");
        assert!(store.files.contains_key(blake3::hash(&content).as_bytes()), "{format:?}");
        assert!(store.files.contains_key(blake3::hash(b"sound").as_bytes()), "{format:?}");
    }
}

/// Makes a tree with everything that needs no privileges, in a directory.
fn make_tree(root: &Path) {
    let long = format!("usr/share/{}", "n".repeat(150));
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir_all(root.join(&long)).unwrap();
    fs::write(root.join("usr/bin/su"), "su").unwrap();
    fs::write(root.join("usr/bin/empty"), "").unwrap();
    fs::write(root.join(&long).join("large"), vec![7; 700_000]).unwrap();
    fs::hard_link(root.join("usr/bin/su"), root.join("usr/bin/su-too")).unwrap();
    unix::symlink("usr/bin", root.join("bin")).unwrap();
    unix::symlink(format!("../{}", "t".repeat(120)), root.join("usr/long-link")).unwrap();
    let status = Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
    assert!(status.success());
    fs::set_permissions(root.join("usr/bin/su"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(root.join("usr"), fs::Permissions::from_mode(0o1775)).unwrap();
}

/// The tree as the lines of a layer would say it.
fn tree_lines(root: &Path, whole_seconds: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            "dir".into()
        } else if meta.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if meta.file_type().is_fifo() {
            "fifo".into()
        } else if meta.len() == 0 {
            "empty".into()
        } else if meta.len() <= 60 {
            format!("file {:?}", fs::read_to_string(&path).unwrap())
        } else {
            let hash = blake3::hash(&fs::read(&path).unwrap()).to_hex();
            format!("file of {}: {}", meta.len(), &hash[..8])
        };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let name = if name.is_empty() { "/".into() } else { name };
        let fraction = match meta.mtime_nsec() {
            0 => String::new(),
            _ if whole_seconds => String::new(),
            nanoseconds => format!(".{nanoseconds:09}"),
        };
        let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
        lines.push(format!("{name} {mode:04o} {uid}:{gid} {}{fraction} {kind}", meta.mtime()));
    }
    lines.sort();
    lines
}

#[test]
fn a_tree_packed_by_gnu_tar_comes_out_as_it_was() {
    if !tar_is_there() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    make_tree(temp.path());
    for (format, whole_seconds) in [("gnu", true), ("oldgnu", true), ("posix", false)] {
        let bytes = tar(temp.path(), &[&format!("--format={format}"), "-cf", "-", "."]);
        let mut found = read_lines(&bytes);
        found.sort();
        assert_eq!(found, tree_lines(temp.path(), whole_seconds), "{format}");
    }
}

/// An archive with all kinds of headers.
fn sample() -> Vec<u8> {
    archive(&[
        global(&[("comment", b"c")]),
        directory("./"),
        directory("d/"),
        pax(&[("path", b"d/pax"), ("mtime", b"5.25"), ("SCHILY.xattr.user.a", b"v\n"), ("size", b"3")]),
        file("x", "abc"),
        gnu_long(b'L', &"l".repeat(120)),
        Header::new(b'0', "l").gnu().with("content"),
        hardlink("h", "d/pax"),
        symlink("s", "d"),
        file("d/.wh.gone", ""),
        file("d/.wh..wh..opq", ""),
        Header::new(b'S', "sparse")
            .gnu()
            .set(SPARSE..SPARSE + 24, "00000000512\x0000000000003\0")
            .set(REAL_SIZE, "00000001000\0")
            .with("xyz"),
        [
            pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"sparse1"),
                ("GNU.sparse.realsize", b"9"),
            ]),
            file("y", [padded(b"1\n2\n3\n"), b"xyz".to_vec()].concat()),
        ]
        .concat(),
        Header::new(b'3', "c").set(MAJOR, "0000001\0").set(MINOR, "0000003\0").block(),
        file("last", vec![1; 1500]),
    ])
}

#[test]
fn the_sample_is_sound() {
    let found = read_lines(&sample());
    assert_eq!(found.len(), 12, "{found:#?}");
    assert!(
        found.contains(&"sparse1 0644 0:0 1 file \"\\u{0}\\u{0}xyz\\u{0}\\u{0}\\u{0}\\u{0}\"".into()),
        "{found:#?}"
    );
}

/// Makes checksums right again, so that a mutation reaches what is behind them.
fn mend_checksums(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(BLOCK).filter(|b| b[257..262] == *b"ustar") {
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_layer_panics_or_promises_what_is_not_there(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        mend: bool,
    ) {
        let mut tar = sample();
        for (at, byte) in edits {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if mend {
            mend_checksums(&mut tar);
        }
        if let Some(cut) = cut {
            tar.truncate(cut.index(tar.len()));
        }
        let limits = Limits { available_bytes: 1 << 20, ..Limits::default() };
        // The store asserts that no content is shorter than its header said.
        if let Ok((tree, _, store)) = read(&tar, &limits) {
            prop_assert_eq!(lines(&tree, &store).len(), tree.changes.len() + tree.opaque.len());
            let merged = reroot::layer::merge([Ok(tree)]);
            if let Ok(tree) = merged {
                let _ = reroot::layer::check_bootable(&tree);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&bytes, &Limits::default());
    }

    #[test]
    fn a_cut_archive_is_refused_or_ends_between_entries(cut in any::<prop::sample::Index>()) {
        let whole = sample();
        let cut = cut.index(whole.len() - 1024);
        if let Ok((tree, _, _)) = read(&whole[..cut], &Limits::default()) {
            prop_assert_eq!(cut % BLOCK, 0, "{} entries", tree.changes.len());
        }
    }
}
