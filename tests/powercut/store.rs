//! The store alone, through its library: transactions and gc.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use reroot::digest::Sha256;
use reroot::fsx::lock::{LockFile, Wait};
use reroot::fsx::{self, Dir};
use reroot::names::ImagePath;
use reroot::repo::{
    Change, GcRun, ImageRecord, LayerTree, Meta, Mode, Mtime, Node, Repo, Reserve, Tree, TreeEntry,
};

use crate::check::{Boot, Workload};

pub struct Store;

const STEPS: [&str; 6] = ["init", "commit 0", "commit 1", "drop 0", "gc", "commit 2"];

fn open(root: &Path) -> Result<Dir> {
    let root = fsx::open_dir(root)?;
    Ok(fsx::ensure_dir(&root, "reroot", 0o700)?)
}

fn commit(dir: &Dir, version: usize) -> Result<()> {
    let repo = Repo::open(dir)?;
    let guard = LockFile::open(dir, "lock")?.shared(Wait::Forever)?;
    let transaction = repo.begin(&guard, Reserve::default())?;
    let mtime = Mtime::default();
    let mut entries =
        vec![TreeEntry { path: ImagePath::root(), meta: Meta::default(), mtime, node: Node::Directory }];
    let mut layers = Vec::new();
    for layer_number in 0..3 {
        let own = if layer_number == 0 { 0 } else { version };
        let diff_id = Sha256::of(format!("layer {layer_number} of {own}").as_bytes());
        let mut layer = LayerTree::default();
        let mut writer = transaction.writer();
        let known = repo.has_layer(&diff_id)?;
        for file in 0..20 {
            let size = 100 + 700 * file;
            let path = ImagePath::new(format!("f{layer_number}-{file:02}").as_bytes())?;
            let content: Vec<u8> =
                format!("{own} {layer_number} {file} ").into_bytes().into_iter().cycle().take(size).collect();
            let meta = Meta { mode: 0o644, ..Meta::default() };
            let object = writer.store(&meta, mtime, size as u64, &mut &content[..])?;
            let node = Node::File { object, size: size as u64 };
            entries.push(TreeEntry { path: path.clone(), meta: meta.clone(), mtime, node: node.clone() });
            layer.changes.push((path, Change::Set { meta, mtime, node }));
        }
        if !known {
            transaction.commit_layer(writer, &diff_id, &layer)?;
        }
        layers.push(diff_id);
    }
    let tree = Tree::new(entries)?;
    let manifest = format!("manifest {version}");
    let record = ImageRecord {
        version: 1,
        manifest_digest: Sha256::of(manifest.as_bytes()),
        index_digest: None,
        manifest,
        config: String::new(),
        tree: reroot::digest::TreeId([0; 32]),
        layers,
        kernel: None,
        pulled: 0,
    };
    let record = transaction.commit_image(&tree, record)?;
    repo.set_ref(&format!("v{version}"), &record.manifest_digest)?;
    Ok(())
}

impl Workload for Store {
    fn steps(&self) -> Vec<&'static str> {
        STEPS.to_vec()
    }

    fn run(&self, step: usize, _boot: Boot, root: &Path) -> Result<()> {
        let dir = open(root)?;
        match step {
            0 => {
                Repo::init(&dir, Mode::Bare)?;
                fsx::sync_dir(&fsx::open_dir(root)?)?;
            }
            1 | 2 => commit(&dir, step - 1)?,
            3 => drop(Repo::open(&dir)?.remove_ref("v0")?),
            4 => {
                let guard = LockFile::open(&dir, "lock")?.exclusive(Wait::Forever)?;
                Repo::open(&dir)?.gc(&guard, &BTreeSet::new(), GcRun::Delete)?;
            }
            _ => commit(&dir, 2)?,
        }
        Ok(())
    }

    fn check(&self, root: &Path, done: usize) -> Result<()> {
        if done == 0 {
            return Ok(());
        }
        let repo = Repo::open(&open(root)?)?;
        let report = repo.fsck()?;
        ensure!(report.problems.is_empty(), "{:?}", report.problems);
        let refs: Vec<_> = repo.refs()?.into_keys().collect();
        let expected: [&[&str]; 7] = [&[], &[], &["v0"], &["v0", "v1"], &["v1"], &["v1"], &["v1", "v2"]];
        let next = expected.get(done + 1).unwrap_or(&expected[done]);
        ensure!(refs == expected[done] || refs == *next, "{refs:?} after {done} steps");
        for id in repo.refs()?.values() {
            let image = repo.image(id)?.context("no image")?;
            repo.read_tree(&image.tree)?;
        }
        Ok(())
    }
}
