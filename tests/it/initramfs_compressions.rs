//! Every compression of an initramfs that the kernel knows, as the real programs write it.

use std::io::Write;
use std::process::Stdio;

use reroot::boot::initrd::{Search, search};

use crate::support::skip::skip;
use crate::support::tools::{command, missing};

/// How those who build an initramfs call the programs.
const PROGRAMS: [&[&str]; 8] = [
    &["gzip", "-n", "-6"],
    &["zstd", "-q", "-T0", "-1"],
    &["xz", "--check=crc32", "--lzma2=dict=1MiB", "-T1"],
    &["xz", "--x86", "--lzma2=dict=1MiB", "--check=crc32"],
    &["xz", "--format=lzma", "-1"],
    &["lz4", "-l", "-9", "-q", "-"],
    &["lzop", "-9", "-"],
    &["bzip2", "-9"],
];

/// An archive with noise and text in it, larger than a block of any of them, and then a file of this name.
fn archive(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |name: &str, mode: u32, content: &[u8]| {
        let fields = [1, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        bytes.extend_from_slice(b"070701");
        fields.iter().for_each(|field| write!(bytes, "{field:08X}").unwrap());
        for part in [[name.as_bytes(), b"\0"].concat(), content.to_vec()] {
            bytes.extend_from_slice(&part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    };
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(600_000)
    .collect();
    add("noise", 0o100_644, &noise);
    add("text", 0o100_644, &b"the same again and again\n".repeat(100_000));
    add(name, 0o100_755, b"\x7fELF");
    add("TRAILER!!!", 0, b"");
    bytes
}

fn through(program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = command(program[0])
        .args(&program[1..])
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program:?}");
    output.stdout
}

#[test]
fn an_initramfs_is_read_whatever_its_compression() {
    if let Some(reason) = missing(&["gzip", "zstd", "xz", "lz4", "lzop", "bzip2"]) {
        return skip("initramfs_compressions::an_initramfs_is_read_whatever_its_compression", reason);
    }
    let microcode = [archive("kernel/x86/microcode/GenuineIntel.bin"), vec![0; 512]].concat();
    for program in PROGRAMS {
        for (name, expected) in
            [("usr/lib/reroot/reroot-prepare-root", Search::Found), ("usr/bin/sh", Search::Missing)]
        {
            let compressed = through(program, &archive(name));
            let found = search(&mut &*[&*microcode, &compressed].concat(), b"reroot-prepare-root");
            assert_eq!(found.unwrap(), expected, "{program:?}");
            // Another one behind it, as people add files to an initramfs.
            let more = [compressed.clone(), archive("bin/reroot-prepare-root")].concat();
            if program[0] != "lz4" {
                let found = search(&mut &*more, b"reroot-prepare-root");
                assert_eq!(found.unwrap(), Search::Found, "{program:?} and more");
            }
            for cut in [7, 20, compressed.len() / 2] {
                let found = search(&mut &compressed[..cut], b"reroot-prepare-root");
                assert_ne!(found.ok(), Some(Search::Found), "{program:?}");
            }
        }
    }
}
