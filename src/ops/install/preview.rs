//! An image before it is stored: its tree and the few files that decide how it is installed. Every layer is read and
//! checked, nothing is written.
//!
//! An installation destroys what was on the disk, so what can be known before is known before: that the image boots,
//! what it asks for, and that it fits.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use crate::boot::initrd::Search;
use crate::digest::{ObjectId, Sha256};
use crate::layer;
use crate::layer::sink::ObjectSink;
use crate::names::ImagePath;
use crate::ops::checkout::DeploymentTree;
use crate::ops::fetch::Resolved;
use crate::ops::initramfs::Check;
use crate::ops::pull::PullPlan;
use crate::ops::{Context, Error, ForeignInitramfs, Result, ResultExt, initramfs};
use crate::parallel::in_batches;
use crate::progress::{Event, Silent};
use crate::repo::{self, LayerTree, Meta, Mtime, Node, Tree, TreeEntry};

use super::configuration::{Configuration, LARGEST_FILE};

/// Layers read at once.
const LAYERS_AT_ONCE: usize = 2;
/// All files of settings of a layer together.
const KEPT_BYTES: u64 = 16 << 20;
/// What a file system rounds files up to, and what a directory takes.
const BLOCK: u64 = 4096;

/// What is known of an image that is not stored.
pub struct Preview {
    tree: Tree,
    texts: BTreeMap<ObjectId, Vec<u8>>,
    initramfs: Initramfs,
    /// Whether the initramfs has to be looked at again: one that is another name of another file was not.
    pub later: Check,
    /// Bytes that its files take in an empty store, at least.
    pub root_bytes: u64,
    /// Bytes of the image's `/var`, which a separate file system would hold.
    pub var_bytes: u64,
}

impl Preview {
    /// Reads an image. Refuses one that a machine cannot boot from or that cannot be deployed.
    pub fn of_bootable(
        resolved: &Resolved,
        foreign: ForeignInitramfs,
        context: &Context<'_>,
    ) -> Result<Self> {
        let mut preview = Self::of(resolved, context)?;
        let what = || format!("installing {}", resolved.reference);
        let path = layer::check_bootable(&preview.tree).context(what)?.initramfs;
        DeploymentTree::new(&preview.tree).context(what)?;
        preview.later = Check::Always(foreign);
        if let Some(Node::File { object, .. }) = preview.tree.get(&path).map(|e| &e.node)
            && let Some(found) = preview.initramfs.remove(object)
        {
            if foreign == ForeignInitramfs::Refuse {
                initramfs::judge(&path, found).context(what)?;
            }
            preview.later = Check::Never;
        }
        Ok(preview)
    }

    /// Reads an image.
    pub fn of(resolved: &Resolved, context: &Context<'_>) -> Result<Self> {
        context.reporter.report(Event::Phase(&format!("reading {}", resolved.reference)));
        let layers = &resolved.image.layers;
        let read: Mutex<BTreeMap<Sha256, LayerTree>> = Mutex::default();
        let kept: Mutex<(BTreeMap<ObjectId, Vec<u8>>, Initramfs)> = Mutex::default();
        let plan = PullPlan::new(layers, &HashSet::new());
        in_batches(
            &plan.fetch,
            1,
            LAYERS_AT_ONCE,
            || (),
            |(), batch| -> Result<()> {
                for &index in batch {
                    let what =
                        || format!("layer {} of {} ({})", index + 1, layers.len(), layers[index].digest);
                    let mut sink = Sink::new(index);
                    let (tree, _) =
                        resolved.reader(index, &Silent).read(&mut sink, u64::MAX).context(what)?;
                    read.lock().unwrap_or_else(PoisonError::into_inner).insert(layers[index].diff_id, tree);
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.0.extend(sink.texts);
                    kept.1.extend(sink.initramfs);
                }
                Ok(())
            },
        )?;
        let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missing = || layer::Error::NotBootable("a layer was not read".into());
        let tree = layer::merge(layers.iter().map(|l| read.get(&l.diff_id).cloned().ok_or_else(missing)))
            .context(|| format!("reading {}", resolved.reference))?;
        drop(read);
        crate::memory::give_back();
        let (texts, initramfs) = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            root_bytes: stored_bytes(&tree),
            var_bytes: var_bytes(&tree),
            tree,
            texts,
            initramfs,
            later: Check::Never,
        })
    }

    /// What its files of settings say.
    pub fn configuration(&self, resolved: &Resolved) -> Result<Configuration> {
        Configuration::of_tree(&self.tree, &resolved.image.config.architecture, |entry| self.text(entry))
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The content of a file of settings; `None` for what is not a file.
    pub fn text(&self, entry: &TreeEntry) -> Result<Option<Vec<u8>>> {
        match &entry.node {
            Node::Empty => Ok(Some(Vec::new())),
            Node::File { object, size } => match self.texts.get(object) {
                Some(text) => Ok(Some(text.clone())),
                None if *size > LARGEST_FILE => Err(Error::incompatible(format!(
                    "/{} has {size} bytes, more than the {LARGEST_FILE} that are read",
                    entry.path
                ))),
                None => Err(Error::incompatible(format!(
                    "/{} cannot be read before the image is stored: its own name must end in .toml",
                    entry.path
                ))),
            },
            _ => Ok(None),
        }
    }

    /// Bytes of the kernel and its initramfs together.
    pub fn kernel_bytes(&self) -> Result<u64> {
        let bootable = layer::check_bootable(&self.tree)?;
        let size = |path: &ImagePath| match self.tree.get(path).map(|e| &e.node) {
            Some(Node::File { size, .. }) => *size,
            _ => 0,
        };
        Ok(size(&bootable.vmlinuz).saturating_add(size(&bootable.initramfs)))
    }
}

/// What the files of an image take in a store with one deployment. What lower layers have and the image has not is not
/// counted, nor is what the file system needs for itself.
fn stored_bytes(tree: &Tree) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0_u64;
    for entry in tree.entries() {
        let size = match &entry.node {
            Node::File { object, size } if seen.insert(*object) => size.next_multiple_of(BLOCK),
            Node::Directory => BLOCK,
            _ => 0,
        };
        bytes = bytes.saturating_add(size);
    }
    bytes
}

fn var_bytes(tree: &Tree) -> u64 {
    let var = ImagePath::new(b"var").expect("a constant in canonical form");
    let size = |entry: &TreeEntry| if let Node::File { size, .. } = entry.node { size } else { 0 };
    tree.below(&var).iter().fold(0, |sum: u64, e| sum.saturating_add(size(e).next_multiple_of(BLOCK)))
}

/// What was found in files that may be the initramfs.
type Initramfs = BTreeMap<ObjectId, io::Result<Search>>;

/// What the next file may be.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Other,
    Settings,
    Initramfs,
}

/// Gives every file a number of its own in place of a name by content, and looks at what may be settings or the initramfs.
#[derive(Default)]
struct Sink {
    layer: u64,
    files: u64,
    next: Kind,
    kept_bytes: u64,
    texts: BTreeMap<ObjectId, Vec<u8>>,
    initramfs: Initramfs,
}

impl Sink {
    fn new(layer: usize) -> Self {
        Self { layer: layer as u64, ..Self::default() }
    }
}

impl ObjectSink for Sink {
    fn announce(&mut self, path: &ImagePath) {
        self.next = match path.file_name() {
            b"initramfs.img" => Kind::Initramfs,
            name if name.ends_with(b".toml") => Kind::Settings,
            _ => Kind::Other,
        };
    }

    fn store(&mut self, _: &Meta, _: Mtime, size: u64, content: &mut dyn Read) -> repo::Result<ObjectId> {
        self.files += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.layer.to_be_bytes());
        id[8..16].copy_from_slice(&self.files.to_be_bytes());
        let id = ObjectId(id);
        match self.next {
            Kind::Settings if size <= LARGEST_FILE && self.kept_bytes + size <= KEPT_BYTES => {
                let mut text = Vec::new();
                content.take(size).read_to_end(&mut text).map_err(repo::Error::io("reading a file"))?;
                self.kept_bytes += size;
                self.texts.insert(id, text);
            }
            Kind::Initramfs => {
                self.initramfs.insert(id, initramfs::search(&mut content.take(size)));
            }
            Kind::Settings | Kind::Other => {}
        }
        // What is not read is skipped by who reads the layer.
        Ok(id)
    }
}
