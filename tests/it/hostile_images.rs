//! Hostile and broken images through the program: each is refused with the image and the entry named, nothing
//! outside the repo changes, the store stays sound, and a good image is deployed afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::image::{Blob, Built, Compress, Image, Layer, Layout, bootable};
use crate::support::raw_tar;

/// A sysroot with one deployment, and beside it what nobody may touch.
struct Sandbox {
    temp: tempfile::TempDir,
    layout: Layout,
}

impl Sandbox {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for name in ["outside/sysroot", "outside/config", "outside/etc"] {
            fs::create_dir_all(temp.path().join(name)).unwrap();
        }
        fs::write(temp.path().join("outside/etc/passwd"), "untouched").unwrap();
        let mut layout = Layout::new(temp.path().join("images"));
        layout.tag("good", &bootable());
        let this = Self { temp, layout };
        this.succeed(&["init"]);
        this.succeed(&["deploy", &this.layout.reference("good")]);
        this
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_reroot"))
            .args(arguments)
            .env("REROOT_SYSROOT", self.outside().join("sysroot"))
            .env("REROOT_CONFIG_ROOT", self.outside().join("config"))
            .output()
            .unwrap()
    }

    fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Deploys an image that must not be deployed; gives the exit code and what it says.
    fn refuse(&self) -> (i32, String) {
        let output = self.run(&["deploy", &self.layout.reference("evil")]);
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap_or_else(|| panic!("killed: {message}")), message)
    }

    fn outside(&self) -> PathBuf {
        self.temp.path().join("outside")
    }

    /// Everything but the repo, whose leftovers are its own.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut state = BTreeMap::new();
        let mut open = vec![self.outside()];
        while let Some(path) = open.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut what = format!("{:o} {} {}", meta.mode(), meta.ino(), meta.size());
            if meta.is_file() {
                what += &blake3::hash(&fs::read(&path).unwrap()).to_hex();
            } else if meta.is_dir() {
                // Directories change size with what is in them.
                what = format!("{:o}", meta.mode());
                let entries = fs::read_dir(&path).unwrap().map(|e| e.unwrap().path());
                open.extend(entries.filter(|p| !p.ends_with("reroot/repo")));
            }
            state.insert(path, what);
        }
        state
    }
}

fn with_layer(tar: Vec<u8>) -> Image {
    bootable().blob(Blob::of_tar(&tar, Compress::Gzip))
}

fn evil(parts: &[Vec<u8>]) -> Image {
    with_layer(raw_tar::archive(parts))
}

#[test]
fn hostile_images_change_nothing_and_are_named() {
    use raw_tar::*;
    let mut sandbox = Sandbox::new();
    let before = sandbox.state();
    let through = |target: &str, parts: Vec<Vec<u8>>| {
        let link = [pax(&[("linkpath", target.as_bytes())]), symlink("l", "x")].concat();
        evil(&[link]).blob(Blob::of_tar(&archive(&parts), Compress::Zstd))
    };
    let name = format!("{}/sysroot/evil", sandbox.outside().display());
    let up = format!("{}{}", "../".repeat(30), name.trim_start_matches('/'));
    let huge = [Header::new(b'0', "huge").set(SIZE, base256::<12>(1 << 60)).block(), vec![0; 4096]].concat();
    let cases: Vec<(&str, Image, i32, &str)> = vec![
        (
            "a climbing path",
            evil(&[file("../../evil", "x")]),
            1,
            "entry `../../evil`: its path has a `..` component",
        ),
        ("an absolute path", evil(&[file("/etc/evil", "x")]), 1, "entry `/etc/evil`: its path is absolute"),
        (
            "a path out of here",
            evil(&[pax(&[("path", up.as_bytes())]), file("a", "x")]),
            1,
            "has a `..` component",
        ),
        (
            "a file through a link out",
            through(&up, vec![file("l/x", "x")]),
            1,
            "layer 3, `l/x`: a symbolic link above it leads out of the image",
        ),
        (
            "a file below a link out",
            through("../..", vec![file("l/evil", "x")]),
            1,
            "layer 3, `l/evil`: a symbolic link",
        ),
        ("a hard link out", evil(&[hardlink("h", "../../etc/passwd")]), 1, "entry `h`: its path has a `..`"),
        (
            "a hard link to the host",
            evil(&[hardlink("h", "/proc/1/environ")]),
            1,
            "layer 2, `h`: it is a hard link to `proc/1/environ`, which does not exist",
        ),
        (
            "a whiteout of the parent",
            evil(&[file("usr/.wh...", "")]),
            1,
            "a whiteout of nothing or of a parent",
        ),
        ("the root as a link", evil(&[symlink(".", "/etc")]), 1, "the root of the image is not a directory"),
        (
            "below a file",
            evil(&[file("usr/bin/x", "x"), file("usr/bin/x/y", "x")]),
            1,
            "`usr/bin/x` above it is not",
        ),
        ("a size beyond the disk", with_layer(huge), 1, "entry `huge`: its size of 1152921504606846976"),
        (
            "a truncated tar",
            with_layer(file("cut", vec![1; 5000])[..3000].to_vec()),
            1,
            "entry `cut`: the archive ends",
        ),
        ("no tar", with_layer(b"not a tar archive".repeat(100)), 1, "malformed tar at byte 0"),
        (
            "no kernel",
            Image::new().layer(Layer::new().dir("usr").file("usr/x", "x")),
            1,
            "there is no directory /usr/lib/modules",
        ),
        (
            "two kernels",
            evil(&[file("usr/lib/modules/7/vmlinuz", "k")]),
            1,
            "it has 2 kernels (6.1.0-test, 7)",
        ),
        (
            "a kernel name for the boot loader",
            bootable().layer(
                Layer::new()
                    .whiteout("usr/lib/modules")
                    .file("usr/lib/modules/1 init=x/vmlinuz", "k")
                    .file("usr/lib/modules/1 init=x/initramfs.img", "i"),
            ),
            1,
            "has characters that boot entries cannot hold",
        ),
        ("a usr that is a link", evil(&[symlink("usr", "/evil")]), 1, "/usr is missing or not a directory"),
        (
            "a wrong diff_id",
            bootable().blob(lying(|b| b.diff_id = format!("sha256:{}", "0".repeat(64)))),
            5,
            "does not match the image's config: expected diff_id sha256:0000",
        ),
        (
            "a blob cut short",
            bootable().blob(lying(|b| b.bytes.truncate(b.bytes.len() - 5))),
            1,
            "is malformed: unexpected end of file",
        ),
        (
            "a gzip with rubbish behind it",
            bootable().blob(lying(|b| b.bytes.extend(b"rubbish"))),
            1,
            "is malformed: unexpected end of file",
        ),
        (
            "too few diff_ids",
            bootable().layer(Layer::new().dir("x")).edit_config(|c| {
                c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
            }),
            1,
            "it names 1 layers, the manifest 2",
        ),
        (
            "another architecture",
            bootable().edit_config(|c| c["architecture"] = "s390x".into()),
            1,
            "it has no image for linux/",
        ),
    ];
    for (what, image, code, expected) in &cases {
        let built: Built = sandbox.layout.tag("evil", image);
        let (found, message) = sandbox.refuse();
        assert!(message.contains(expected), "{what}: {message}");
        assert_eq!(found, *code, "{what}: {message}");
        assert!(message.contains("images:evil"), "{what} does not name the image: {message}");
        assert!(!message.contains('\x1b'), "{what} reaches the terminal: {message:?}");
        assert_eq!(sandbox.state(), before, "{what} changed something ({})", built.digest());
        sandbox.succeed(&["fsck"]);
    }
    let passwd: &Path = &sandbox.outside().join("etc/passwd");
    assert_eq!(fs::read_to_string(passwd).unwrap(), "untouched");
    sandbox.layout.tag("evil", &bootable().layer(Layer::new().file("usr/lib/new", "x")).version("2"));
    sandbox.succeed(&["deploy", &sandbox.layout.reference("evil")]);
    sandbox.succeed(&["fsck"]);
}

/// A sound layer, then changed.
fn lying(change: impl FnOnce(&mut Blob)) -> Blob {
    let mut blob = Blob::of_tar(&Layer::new().file("usr/lib/x", "x").tar(), Compress::Gzip);
    change(&mut blob);
    blob
}

#[test]
fn thousands_of_layers_are_only_many() {
    let mut sandbox = Sandbox::new();
    let image = (0..1500).fold(bootable(), |image, n| {
        image.layer_as(Layer::new().file(format!("usr/share/{}", n % 50), format!("{n}")), Compress::None)
    });
    sandbox.layout.tag("evil", &image);
    sandbox.succeed(&["deploy", &sandbox.layout.reference("evil")]);
}

#[test]
fn a_bomb_of_zeros_takes_little_memory_and_ends() {
    let mut sandbox = Sandbox::new();
    // 64 MiB of zeros behind the end of the archive: more than any tool pads with.
    let tar = [raw_tar::archive(&[raw_tar::file("a", "x")]), vec![0; 64 << 20]].concat();
    let bomb = Blob::of_tar(&tar, Compress::Gzip);
    assert!(bomb.bytes.len() < 200_000);
    sandbox.layout.tag("evil", &bootable().blob(bomb));
    let (code, message) = sandbox.refuse();
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("too much padding after the end of the archive"), "{message}");
}
