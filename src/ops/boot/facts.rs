//! What the boot loader is told of a deployment, read from its tree and from the machine's `/etc` when it is made.
//! Nothing is opened by a path of the image.

use std::fs::File;
use std::io::Read;

use crate::boot::kargs_d;
use crate::boot::kernel::PairSource;
use crate::digest::ObjectId;
use crate::fsx::{self, Dir};
use crate::layer;
use crate::names::{ImagePath, StaterootName, printable};
use crate::ops::{Error, Result, ResultExt, files, pull};
use crate::repo::{ImageRecord, Node, Repo, Tree};
use crate::sysroot::{BootFacts, BroughtArgument, Deployment, Observed, Stateroot, Sysroot};

/// No `kargs.d` file may be larger.
const LARGEST: u64 = 64 << 10;
/// bootc's directory before ours.
const OF_IMAGE: [&str; 2] = ["usr/lib/bootc/kargs.d", "usr/lib/reroot/kargs.d"];
const OF_MACHINE: &str = "etc/reroot/kargs.d";
/// Where an image may have the machine's files.
const DEFAULTS: [&str; 2] = ["usr/etc/reroot/kargs.d", OF_MACHINE];

/// Where the machine's files are read.
#[derive(Debug, Clone, Copy)]
pub enum Machine<'a> {
    /// In the `/etc` of this deployment.
    Deployment(&'a Deployment),
    /// There is no deployment yet: in the `/etc` that the image brings.
    Image,
}

impl<'a> Machine<'a> {
    /// The booted deployment when it is of this stateroot, else the first in boot order.
    pub fn of(observed: &'a Observed, stateroot: &StaterootName) -> Self {
        observed.machine(stateroot).map_or(Self::Image, Self::Deployment)
    }
}

/// Everything about one image on this machine. Reads the kernel and the initramfs once.
pub fn facts(sysroot: &Sysroot, tree: &Tree, image: &ImageRecord, machine: Machine<'_>) -> Result<BootFacts> {
    let repo = sysroot.repo();
    let (vmlinuz, initrd) = kernel_objects(tree)?;
    let open = |object| -> Result<File> { Ok(repo.open_object(object)?) };
    let source = PairSource { vmlinuz: open(&vmlinuz)?, initrd: open(&initrd)? };
    let pair = source.identify().map_err(Error::io("reading kernel and initramfs of the image"))?;
    let release = files::os_release(repo, tree)?;
    Ok(BootFacts {
        digest: pair.digest.to_string(),
        vmlinuz_bytes: pair.vmlinuz_bytes,
        initrd_bytes: pair.initrd_bytes,
        pretty_name: release.get("PRETTY_NAME").or(release.get("ID")).cloned().unwrap_or_default(),
        image_arguments: of_tree(repo, tree, &OF_IMAGE, &architecture(image)?)?,
        machine_arguments: match machine {
            Machine::Deployment(deployment) => of_machine(sysroot, deployment, &architecture(image)?)?,
            Machine::Image => of_tree(repo, tree, &DEFAULTS, &architecture(image)?)?,
        },
    })
}

/// The objects of kernel and initramfs.
pub fn kernel_objects(tree: &Tree) -> Result<(ObjectId, ObjectId)> {
    let bootable = layer::check_bootable(tree)?;
    let object = |path: &ImagePath| match tree.get(path).map(|e| &e.node) {
        Some(Node::File { object, .. }) => Ok(*object),
        _ => Err(Error::incompatible(format!("/{path} is not a regular file"))),
    };
    Ok((object(&bootable.vmlinuz)?, object(&bootable.initramfs)?))
}

/// As images name it.
pub fn architecture(image: &ImageRecord) -> Result<String> {
    Ok(pull::platform_of(image)?.architecture)
}

fn of_tree(
    repo: &Repo,
    tree: &Tree,
    directories: &[&str],
    architecture: &str,
) -> Result<Vec<BroughtArgument>> {
    let mut texts = Vec::new();
    for directory in directories {
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
    collect(&texts, architecture).context(|| "reading the kernel arguments of the image")
}

/// The machine's own arguments for an architecture, as a deployment's `/etc` has them now.
pub fn of_machine(
    sysroot: &Sysroot,
    deployment: &Deployment,
    architecture: &str,
) -> Result<Vec<BroughtArgument>> {
    let context = || format!("reading /{OF_MACHINE} of {}", deployment.key());
    let Some(stateroot) = Stateroot::open(sysroot, &deployment.record.stateroot)? else {
        return Ok(Vec::new());
    };
    let read = || {
        let root = fsx::open_subdir(&stateroot.deploy, &deployment.record.id.to_string())?;
        read_directory(&root)
    };
    let texts = read().map_err(Error::io(context()))?;
    collect(&texts, architecture).context(context)
}

/// The files below `root`, by their path from it, links resolved inside it.
fn read_directory(root: &Dir) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let Some(directory) = fsx::open_in_root(root, OF_MACHINE.as_bytes())? else { return Ok(Vec::new()) };
    let mut texts = Vec::new();
    for fsx::Listed { name, .. } in fsx::list_dir(&Dir::from_std_file(directory))? {
        if !name.ends_with(b".toml") {
            continue;
        }
        let path = [OF_MACHINE.as_bytes(), b"/", &name].concat();
        let shown = format!("/{}", printable(&path));
        let bytes = fsx::read_in_root(root, &path, LARGEST)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{shown}: {error}")))?;
        texts.extend(bytes.map(|bytes| (shown, bytes)));
    }
    Ok(texts)
}

fn collect(texts: &[(String, Vec<u8>)], architecture: &str) -> Result<Vec<BroughtArgument>> {
    let files = texts.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    let found = kargs_d::collect(files, architecture)?;
    Ok(found.into_iter().map(|a| BroughtArgument { argument: a.value, file: a.file }).collect())
}
