//! A small machine with some history, on which commands are disturbed, and the check that nothing was lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::registry::{self, Access, Registry};
use crate::support::image::{Compress, Entry, Image, Layer, Layout, bootable};
use crate::support::reroot::{Ran, Reroot};
use crate::support::skip::scratch;
use crate::support::tree::{Facts, Times};

/// What is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Pull,
    Deploy,
    Prune,
}

pub const VERBS: [Verb; 3] = [Verb::Pull, Verb::Deploy, Verb::Prune];

/// Where the images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Directory,
    /// A real one over HTTP, where it is installed.
    Registry,
}

/// A sysroot with the deployments 1, 2 and 3, of which `prune` removes the first, and a fourth image to fetch.
pub struct Machine {
    directory: tempfile::TempDir,
    base: Reroot,
    /// The deployments, and what the fourth will be.
    facts: BTreeMap<u64, Facts>,
    images: [String; 4],
    _registry: Option<Registry>,
}

impl Machine {
    /// `files` is about how many files each version of the image has.
    pub fn new(files: usize, from: From) -> Self {
        Self::new_in(scratch(), files, from)
    }

    pub fn new_in(directory: tempfile::TempDir, files: usize, from: From) -> Self {
        let mut layout = Layout::new(directory.path().join("layout"));
        for version in 1..=4 {
            layout.tag(&format!("v{version}"), &image(version, files));
        }
        let registry = (from == From::Registry && registry::obstacle().is_none())
            .then(|| Registry::start(&directory.path().join("storage"), Access::Plain));
        let images = [1, 2, 3, 4].map(|version| {
            let name = format!("v{version}");
            let Some(registry) = &registry else { return layout.reference(&name) };
            registry.push(&layout.reference(&name), &format!("small:{name}"));
            registry.reference(&format!("small:{name}"))
        });

        let base = Reroot::init(&directory.path().join("base"));
        base.configure("etc/reroot/config.d/50-test.toml", "retain = 1\n");
        for image in &images[..3] {
            base.run(["deploy", image]).ok();
        }
        let mut facts: BTreeMap<u64, Facts> = (1..=3).map(|id| (id, base.facts(id))).collect();
        let model = base.copy_to(&directory.path().join("model"));
        model.run(["deploy", &images[3]]).ok();
        assert_eq!(model.ids(), [4, 3, 2, 1]);
        facts.insert(4, model.facts(4));
        Self { directory, base, facts, images, _registry: registry }
    }

    /// A copy of the machine to disturb. Every caller needs another name.
    pub fn copy(&self, name: &str) -> Copy<'_> {
        let directory = self.directory.path().join(name);
        Copy { reroot: self.base.copy_to(&directory), machine: self, directory }
    }

    /// An image that is stored.
    pub fn old_image(&self) -> &str {
        &self.images[2]
    }

    /// The image that is not there yet.
    pub fn new_image(&self) -> &str {
        &self.images[3]
    }
}

/// A copy of a [`Machine`]; deleted when dropped, kept when the test fails.
pub struct Copy<'a> {
    pub reroot: Reroot,
    machine: &'a Machine,
    directory: std::path::PathBuf,
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

impl Copy<'_> {
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn arguments(&self, verb: Verb) -> Vec<&str> {
        let image = self.machine.new_image();
        match verb {
            Verb::Pull => vec!["image", "pull", image],
            Verb::Deploy => vec!["deploy", image],
            Verb::Prune => vec!["prune"],
        }
    }

    pub fn command(&self, verb: Verb) -> Command {
        self.reroot.command(self.arguments(verb))
    }

    pub fn run(&self, verb: Verb) -> Ran {
        self.reroot.run(self.arguments(verb))
    }

    /// The store is sound, no deployment is gone that `verb` has to leave, and every one listed is whole.
    pub fn check(&self, verb: Verb, when: &str) {
        self.check_keeping(if verb == Verb::Prune { &[2, 3] } else { &[1, 2, 3] }, when);
    }

    pub fn check_keeping(&self, must_stay: &[u64], when: &str) {
        self.reroot.assert_sound(when);
        let ids = self.reroot.ids();
        assert!(must_stay.iter().all(|id| ids.contains(id)), "deployments {ids:?} {when}");
        for id in ids {
            // A second run of `deploy` makes a deployment of the same image again, with the next number.
            let (facts, times) = match self.machine.facts.get(&id) {
                Some(facts) if id < 4 => (facts, Times::All),
                _ => (&self.machine.facts[&4], Times::NotOfSharedFiles),
            };
            facts.assert_same(&self.reroot.facts(id), times, &format!("deployment {id} {when}"));
        }
    }

    /// The same command now succeeds, does its work, and leaves nothing behind.
    pub fn finish(&self, verb: Verb, when: &str) {
        let ran = self.run(verb);
        assert_eq!(ran.code, Some(0), "{verb:?} again {when}: {}", ran.stderr);
        let when = &format!("after {verb:?} was run again {when}");
        self.check(verb, when);
        self.reroot.assert_tidy(when);
        let ids = self.reroot.ids();
        match verb {
            Verb::Pull => {
                let images = self.reroot.json(["image", "list"]).to_string();
                assert!(images.contains(self.machine.new_image()), "{when}: {images}");
            }
            Verb::Deploy => assert!(ids[0] >= 4, "{ids:?} {when}"),
            Verb::Prune => assert_eq!(ids, [3, 2], "{when}"),
        }
    }
}

/// A bootable image in three layers: what all versions share, what changes, and the kernel's layer below.
fn image(version: u64, files: usize) -> Image {
    let mut common = Layer::new().dir("usr/share").dir("usr/share/common").file("usr/share/empty", "");
    for n in 0..files / 2 {
        common = common.file(format!("usr/share/common/{n}"), text(n, 0, 200 + 97 * (n % 64)));
    }
    common = common
        .add(Entry::file("usr/bin/tool", text(7, 7, 9000)).mode(0o4755))
        .hardlink("usr/bin/same-tool", "usr/bin/tool")
        .add(Entry::file("usr/bin/ping", "ping\n").mode(0o755).xattr("user.comment", "with an attribute"))
        .file("var/lib/seed", "seed\n")
        .symlink("usr/lib/link", "../share/common/0");
    let mut own = Layer::new()
        .dir("usr/lib/own")
        .file(
            "usr/lib/os-release",
            format!("ID=small\nVERSION_ID={version}\nPRETTY_NAME=\"Small {version}\"\n"),
        )
        .file("etc/version", format!("{version}\n"))
        .whiteout(&format!("usr/share/common/{version}"));
    for n in 0..files / 2 {
        own = own.file(format!("usr/lib/own/{n}"), text(n, version, 100 + 211 * (n % 64)));
    }
    bootable()
        .layer_as(common, Compress::Zstd)
        .layer(own)
        .version(&version.to_string())
        .created(&format!("2026-01-0{version}T00:00:00Z"))
}

fn text(number: usize, version: u64, length: usize) -> Vec<u8> {
    format!("{number} of {version}; ").into_bytes().into_iter().cycle().take(length).collect()
}
