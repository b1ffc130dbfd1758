//! Fsck: everything in the store and every deployment, and what can be done about damage.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::select::open_deployment;
use super::{Context, DeploymentTree, Result, ResultExt};
use crate::digest::{ObjectId, Sha256};
use crate::layer;
use crate::names::ImagePath;
use crate::oci::ImageReference;
use crate::ops::pull::{self, Reader};
use crate::progress::Event;
use crate::repo::{FsckReport, Problem, Repo, Reread};
use crate::sysroot::{Deployment, LockedSysroot, Observed, Sysroot};

/// Paths of a damaged deployment that are listed; more says nothing more.
const MOST_PATHS: usize = 100;

#[derive(Debug, Clone, Copy, Default)]
pub struct FsckOptions {
    /// Fetch what is damaged again and put it in its place.
    pub repair: bool,
}

/// What a check saw and did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    pub version: u32,
    /// True when nothing is damaged, or nothing is any more.
    pub sound: bool,
    pub store: FsckReport,
    /// Deployments compared with their trees.
    pub deployments: u64,
    /// Everything that was found, in words.
    pub problems: Vec<String>,
    /// What was repaired, in words.
    pub repaired: Vec<String>,
}

/// Checks a sysroot, and repairs it when asked to. Damage is data in the report; an error means that the check
/// or the repair could not go on.
pub fn fsck(sysroot: &Sysroot, options: &FsckOptions, context: &Context<'_>) -> Result<Checked> {
    if !options.repair {
        // Nothing may be collected under the check; nothing is changed by it.
        let _guard = sysroot.shared(context.wait)?;
        return check(sysroot, context);
    }
    let locked = sysroot.lock(context.wait)?;
    let before = check(sysroot, context)?;
    if before.sound {
        return Ok(before);
    }
    let repaired = repair(&locked, &before, context)?;
    let after = check(sysroot, context)?;
    Ok(Checked { problems: before.problems, repaired, ..after })
}

fn check(sysroot: &Sysroot, context: &Context<'_>) -> Result<Checked> {
    context.reporter.report(Event::Phase("checking the store"));
    let repo = sysroot.repo();
    let mut store = repo.fsck()?;
    let observed = sysroot.observe()?;
    for problem in &observed.problems {
        let (path, reason) = (problem.path.clone(), problem.message.clone());
        store.problems.push(Problem::DamagedRecord { path, reason });
    }
    for deployment in &observed.deployments {
        context.reporter.report(Event::Phase(&format!("checking {}", deployment.path())));
        let digest = deployment.record.image.digest;
        if !matches!(repo.image(&digest), Ok(Some(_))) {
            store.problems.push(Problem::MissingImage { image: digest, named_by: deployment.path() });
        }
        check_deployment(sysroot, deployment, &mut store)?;
    }
    store.problems.sort();
    store.problems.dedup();
    let problems: Vec<String> = store.problems.iter().map(|p| describe(p, &store, &observed)).collect();
    Ok(Checked {
        version: 1,
        sound: problems.is_empty(),
        deployments: observed.deployments.len() as u64,
        store,
        problems,
        repaired: Vec::new(),
    })
}

fn check_deployment(sysroot: &Sysroot, deployment: &Deployment, store: &mut FsckReport) -> Result<()> {
    let path = deployment.path();
    let damaged = |place: String, reason: String| Problem::DamagedDeployment {
        deployment: path.clone(),
        path: place,
        reason,
    };
    let dir = match open_deployment(sysroot, deployment) {
        Ok(dir) => dir,
        Err(error) => {
            store.problems.push(damaged("/".into(), error.to_string()));
            return Ok(());
        }
    };
    let tree = match sysroot.repo().read_tree(&deployment.record.tree) {
        Ok(tree) => DeploymentTree::new(&tree)?,
        Err(error) => {
            store.problems.push(damaged("/".into(), error.to_string()));
            return Ok(());
        }
    };
    let options = DeploymentTree::verified_options();
    let mismatches = sysroot.repo().verify_checkout(tree.entries(), &ImagePath::root(), &dir, &options);
    store
        .problems
        .extend(mismatches.into_iter().take(MOST_PATHS).map(|m| damaged(format!("/{}", m.path), m.reason)));
    Ok(())
}

/// A problem in words: the object, what is wrong, and whom it hits.
fn describe(problem: &Problem, store: &FsckReport, observed: &Observed) -> String {
    let hits = |object: &ObjectId| {
        let images = store.affected.get(object);
        let named: Vec<String> = observed
            .deployments
            .iter()
            .filter(|d| images.is_some_and(|i| i.contains(&d.record.image.digest)))
            .map(|d| d.record.id.to_string())
            .collect();
        if named.is_empty() { String::new() } else { format!(" (in deployment {})", named.join(", ")) }
    };
    match problem {
        Problem::MissingObject { object } => format!("object {object} is missing{}", hits(object)),
        Problem::DamagedObject { object, reason } | Problem::WrongMetadata { object, reason } => {
            format!("object {object}: {reason}{}", hits(object))
        }
        Problem::DamagedTree { tree, reason } => format!("tree {tree}: {reason}"),
        Problem::DamagedLayer { layer, reason } => format!("layer {layer}: {reason}"),
        Problem::DamagedImage { image, reason } => format!("image {image}: {reason}"),
        Problem::MissingImage { image, named_by } => {
            format!("image {image}, which {named_by} needs, is missing")
        }
        Problem::DamagedDeployment { deployment, path, reason } => format!("{deployment}: {path}: {reason}"),
        Problem::DamagedRecord { path, reason } => format!("{path}: {reason}"),
    }
}

/// What has to be brought back.
#[derive(Default)]
struct Damage {
    objects: HashSet<ObjectId>,
    metadata: Vec<ObjectId>,
    layers: BTreeSet<Sha256>,
    images: BTreeSet<Sha256>,
    /// Deployments with paths that are not what they should be.
    deployments: bool,
}

impl Damage {
    fn of(store: &FsckReport, repo: &Repo) -> Result<Self> {
        let mut damage = Self::default();
        for problem in &store.problems {
            match problem {
                Problem::MissingObject { object } | Problem::DamagedObject { object, .. } => {
                    damage.objects.insert(*object);
                }
                Problem::WrongMetadata { object, .. } => damage.metadata.push(*object),
                Problem::DamagedLayer { layer, .. } => drop(damage.layers.insert(*layer)),
                Problem::DamagedImage { image, .. } | Problem::MissingImage { image, .. } => {
                    damage.images.insert(*image);
                }
                Problem::DamagedTree { tree, .. } => {
                    let of_tree = repo
                        .image_ids()?
                        .into_iter()
                        .filter(|id| matches!(repo.image(id), Ok(Some(image)) if image.tree == *tree));
                    damage.images.extend(of_tree);
                }
                Problem::DamagedDeployment { .. } => damage.deployments = true,
                Problem::DamagedRecord { .. } => {}
            }
        }
        Ok(damage)
    }
}

fn repair(locked: &LockedSysroot<'_>, found: &Checked, context: &Context<'_>) -> Result<Vec<String>> {
    let repo = locked.sysroot().repo();
    let mut damage = Damage::of(&found.store, repo)?;
    let mut done = Vec::new();
    let mut fresh: HashSet<ObjectId> = damage.objects.clone();
    for object in &damage.metadata {
        if repo.repair_metadata(locked.guard(), object)? {
            done.push(format!("metadata of object {object}"));
            fresh.insert(*object);
        } else {
            damage.objects.insert(*object);
        }
    }
    refetch_layers(locked, &damage, context, &mut done)?;
    remake_images(locked, &damage, context, &mut done)?;
    if damage.deployments || !fresh.is_empty() {
        relink(locked, &fresh, &mut done)?;
    }
    Ok(done)
}

/// Where an image can be fetched from again: what its refs and the deployments made of it say.
fn references(locked: &LockedSysroot<'_>) -> Result<BTreeMap<Sha256, ImageReference>> {
    let mut references = BTreeMap::new();
    for (name, digest) in locked.sysroot().repo().each_ref()? {
        // What a damaged ref named is not known; it was reported.
        if let (Ok(digest), Ok(reference)) = (digest, name.parse::<ImageReference>()) {
            references.insert(digest, reference.with_digest(digest));
        }
    }
    for deployment in locked.observe()?.deployments {
        let image = &deployment.record.image;
        if let Ok(reference) = image.reference.parse::<ImageReference>() {
            references.entry(image.digest).or_insert_with(|| reference.with_digest(image.digest));
        }
    }
    Ok(references)
}

/// Reads the layers again that hold damaged objects or are damaged themselves, until everything is back.
fn refetch_layers(
    locked: &LockedSysroot<'_>,
    damage: &Damage,
    context: &Context<'_>,
    done: &mut Vec<String>,
) -> Result<()> {
    if damage.objects.is_empty() && damage.layers.is_empty() {
        return Ok(());
    }
    let repo = locked.sysroot().repo();
    let sizes: HashMap<ObjectId, u64> = repo.object_sizes(&damage.objects);
    let mut repair = repo.repair(locked.guard(), sizes)?;
    let mut layers_left = damage.layers.clone();
    for (digest, reference) in references(locked)? {
        let Ok(Some(record)) = repo.image(&digest) else { continue };
        let wanted: HashSet<ObjectId> = repair.wanted().copied().collect();
        let useful: Vec<usize> = (0..record.layers.len())
            .filter(|i| {
                layers_left.contains(&record.layers[*i]) || repo.layer_has_any(&record.layers[*i], &wanted)
            })
            .collect();
        if useful.is_empty() {
            continue;
        }
        context.reporter.report(Event::Phase(&format!("fetching from {reference}")));
        let what = || format!("repairing from {reference}");
        let source = context.open(&reference).context(what)?;
        let resolved = source.resolve(&pull::platform_of(&record)?).context(what)?;
        for index in useful {
            let Some(layer) = resolved.layers.get(index) else { continue };
            let lost = layers_left.contains(&layer.diff_id);
            repair.reread(if lost { Reread::Layer } else { Reread::Objects });
            let reader = Reader { source: &*source, layer, index, reporter: context.reporter };
            let (tree, _) = reader.read(&mut repair, u64::MAX).context(what)?;
            if lost {
                repo.restore_layer(locked.guard(), &layer.diff_id, &tree)?;
                layers_left.remove(&layer.diff_id);
                done.push(format!("layer {}", layer.diff_id));
            }
        }
    }
    done.extend(repair.repaired().iter().map(|object| format!("object {object}")));
    Ok(())
}

/// Merges the trees of damaged images again; their layers are whole by now.
fn remake_images(
    locked: &LockedSysroot<'_>,
    damage: &Damage,
    context: &Context<'_>,
    done: &mut Vec<String>,
) -> Result<()> {
    let repo = locked.sysroot().repo();
    let references = if damage.images.is_empty() { BTreeMap::new() } else { references(locked)? };
    for digest in &damage.images {
        if let Ok(Some(record)) = repo.image(digest) {
            let layers = record.layers.iter().map(|id| repo.read_layer(id).map_err(layer::Error::from));
            repo.restore_tree(locked.guard(), &record.tree, &layer::merge(layers)?)?;
            done.push(format!("tree {}", record.tree));
        } else if let Some(reference) = references.get(digest) {
            let what = || format!("repairing from {reference}");
            let source = context.open(reference).context(what)?;
            repo.forget_damaged_image(locked.guard(), digest)?;
            pull::pull_again(repo, locked.guard(), &*source, context).context(what)?;
            done.push(format!("image {digest}"));
        }
    }
    Ok(())
}

/// Puts fresh inodes in the place of damaged ones in every deployment.
fn relink(locked: &LockedSysroot<'_>, fresh: &HashSet<ObjectId>, done: &mut Vec<String>) -> Result<()> {
    let sysroot = locked.sysroot();
    for deployment in locked.observe()?.deployments {
        let Ok(tree) = sysroot.repo().read_tree(&deployment.record.tree) else { continue };
        let tree = DeploymentTree::new(&tree)?;
        let Ok(dir) = open_deployment(sysroot, &deployment) else { continue };
        let options = DeploymentTree::verified_options();
        let root = ImagePath::root();
        let mut wanted = fresh.clone();
        for mismatch in sysroot.repo().verify_checkout(tree.entries(), &root, &dir, &options) {
            wanted.extend(tree.object_at(&mismatch.path));
        }
        let paths =
            sysroot.repo().relink_checkout(locked.guard(), tree.entries(), &root, &dir, &options, &wanted)?;
        if paths > 0 {
            let files = if paths == 1 { "1 file".into() } else { format!("{paths} files") };
            done.push(format!("{files} of {}", deployment.path()));
        }
    }
    Ok(())
}
