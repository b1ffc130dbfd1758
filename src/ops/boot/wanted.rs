//! What the boot loader should know of a deployment, read from its tree: nothing is opened by a path of the image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use crate::boot::file_name::BootOrder;
use crate::boot::kernel::{BootDigest, Pair, PairSource};
use crate::boot::plan::Wanted;
use crate::boot::{bls, kargs_d};
use crate::digest::{ObjectId, Sha256, TreeId};
use crate::layer;
use crate::names::ImagePath;
use crate::ops::{Error, Result, files, pull};
use crate::repo::{Node, Repo, Tree};
use crate::sysroot::Deployment;

/// Kernels of deployments, each read once.
pub struct Kernels<'r> {
    repo: &'r Repo,
    by_tree: BTreeMap<TreeId, Kernel>,
    objects: BTreeMap<BootDigest, (ObjectId, ObjectId)>,
}

#[derive(Clone)]
struct Kernel {
    pair: Pair,
    pretty_name: String,
    /// What the image asks for.
    arguments: Vec<String>,
}

impl<'r> Kernels<'r> {
    pub fn new(repo: &'r Repo) -> Self {
        Self { repo, by_tree: BTreeMap::new(), objects: BTreeMap::new() }
    }

    /// The entry of a deployment.
    pub fn wanted(&mut self, deployment: &Deployment, several_stateroots: bool) -> Result<Wanted> {
        let record = &deployment.record;
        let Kernel { pair, pretty_name, arguments } = self.kernel(&record.tree, &record.image.digest)?;
        let label = match several_stateroots {
            true => format!("{}:{}", record.stateroot, record.id),
            false => record.id.to_string(),
        };
        let order = BootOrder::new(record.order).ok_or_else(|| {
            Error::incompatible(format!("boot order {} is not a number of ten digits", record.order))
        })?;
        let origin = deployment.origin.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "{}.origin cannot be read: it has the kernel arguments",
                deployment.path()
            ))
        })?;
        // The image's first: of an argument that is given twice, the later one counts for most of the kernel.
        let own = origin.kernel_arguments.iter().map(|argument| argument.as_str().to_owned());
        let mut options: Vec<String> = arguments.into_iter().chain(own).collect();
        options.push(format!("reroot={}", deployment.path()));
        Ok(Wanted {
            order,
            title: bls::title(&pretty_name, &label),
            options: options.join(" "),
            pair,
            machine_id: None,
            tries: None,
            extra: Vec::new(),
        })
    }

    /// Opens the files of a pair that [`Self::wanted`] named.
    pub fn open(&self, pair: &Pair) -> io::Result<PairSource> {
        let (vmlinuz, initrd) = self.objects.get(&pair.digest).ok_or(io::ErrorKind::NotFound)?;
        let open = |object| self.repo.open_object(object).map_err(io::Error::other);
        Ok(PairSource { vmlinuz: open(vmlinuz)?, initrd: open(initrd)? })
    }

    fn kernel(&mut self, id: &TreeId, image: &Sha256) -> Result<Kernel> {
        if let Some(kernel) = self.by_tree.get(id) {
            return Ok(kernel.clone());
        }
        let tree = self.repo.read_tree(id)?;
        let bootable = layer::check_bootable(&tree)?;
        let object = |path: &ImagePath| object_at(&tree, path);
        let objects = (object(&bootable.vmlinuz)?, object(&bootable.initramfs)?);
        let open = |object| -> Result<File> { Ok(self.repo.open_object(object)?) };
        let source = PairSource { vmlinuz: open(&objects.0)?, initrd: open(&objects.1)? };
        let pair = source.identify().map_err(Error::io(format!("reading the kernel of tree {id}")))?;
        let release = files::os_release(self.repo, &tree)?;
        let pretty_name = release.get("PRETTY_NAME").or(release.get("ID")).cloned().unwrap_or_default();
        self.objects.insert(pair.digest, objects);
        let arguments = image_arguments(self.repo, &tree, image)?;
        let kernel = Kernel { pair, pretty_name, arguments };
        self.by_tree.insert(*id, kernel.clone());
        Ok(kernel)
    }
}

/// The kernel arguments that an image asks for, bootc's directory before ours.
fn image_arguments(repo: &Repo, tree: &Tree, image: &Sha256) -> Result<Vec<String>> {
    const LARGEST: u64 = 64 << 10;
    let mut texts = Vec::new();
    for directory in ["usr/lib/bootc/kargs.d", "usr/lib/reroot/kargs.d"] {
        let Some(directory) = files::follow(tree, directory) else { continue };
        for entry in
            tree.below(&directory.path).iter().filter(|e| e.path.parent().as_ref() == Some(&directory.path))
        {
            let path = format!("/{}", entry.path);
            let entry = files::follow(tree, &entry.path.to_string()).unwrap_or(entry);
            let Some(mut content) = files::open(repo, entry, LARGEST)? else { continue };
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(Error::io(format!("reading {path} of the image")))?;
            texts.push((path, bytes));
        }
    }
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let record = repo
        .image(image)?
        .ok_or_else(|| Error::not_found(format!("image {image}, which a deployment needs")))?;
    let architecture = pull::platform_of(&record)?.architecture;
    let files = texts.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    Ok(kargs_d::collect(files, &architecture)?.into_iter().map(|argument| argument.value).collect())
}

fn object_at(tree: &Tree, path: &ImagePath) -> Result<ObjectId> {
    match tree.get(path).map(|e| &e.node) {
        Some(Node::File { object, .. }) => Ok(*object),
        _ => Err(Error::incompatible(format!("/{path} is not a regular file"))),
    }
}
