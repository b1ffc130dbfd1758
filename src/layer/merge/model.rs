//! Layers applied entry by entry, in archive order, to a flat list of paths, as a tool that unpacks would do it;
//! what merging must agree with, except where it refuses because the order decides.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::merge;
use crate::digest::ObjectId;
use crate::layer::builder::Builder;
use crate::names::ImagePath;
use crate::repo::{Change, LayerTree, Meta, Mtime, Node};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Directory,
    File(u8),
    Link(String),
}

#[derive(Debug, Clone)]
enum Step {
    Set(String, Thing),
    Hardlink(String, String),
    Whiteout(String),
    Opaque(String),
}

/// A step that has no place, and the steps of its layer after it.
#[derive(Debug)]
struct Failed<'s> {
    step: &'s Step,
    later: &'s [Step],
}

impl Failed<'_> {
    /// Whether a later entry takes the place of the failed one or gives it one: then the layer as a whole, which
    /// is what merging sees, makes sense.
    fn is_mended(&self) -> bool {
        let (Step::Set(failed, _)
        | Step::Hardlink(failed, _)
        | Step::Whiteout(failed)
        | Step::Opaque(failed)) = self.step;
        self.later.iter().any(|step| match step {
            Step::Set(_, Thing::Directory) => true,
            Step::Set(path, _) | Step::Hardlink(path, _) => prefixes(failed).contains(&path.as_str()),
            _ => false,
        })
    }
}

type Files = BTreeMap<String, Thing>;

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.into() } else { format!("{parent}/{name}") }
}

/// The path itself and all above it, topmost first, without the root.
fn prefixes(path: &str) -> Vec<&str> {
    let mut all: Vec<_> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
    all.extend(Some(path).filter(|p| !p.is_empty()));
    all
}

fn resolve(files: &Files, path: &str, links: u32) -> Option<String> {
    let mut here = String::new();
    let mut rest = path.split('/');
    while let Some(name) = rest.next() {
        match name {
            "" | "." => continue,
            ".." => {
                if here.is_empty() {
                    return None;
                }
                here = split(&here).0.into();
                continue;
            }
            _ => {}
        }
        let next = join(&here, name);
        if let Some(Thing::Link(target)) = files.get(&next) {
            let start = if target.starts_with('/') { String::new() } else { here };
            let rest: Vec<&str> = rest.collect();
            let whole = format!("{start}/{target}/{}", rest.join("/"));
            return if links == 40 { None } else { resolve(files, &whole, links + 1) };
        }
        here = next;
    }
    Some(here)
}

fn remove_below(files: &mut Files, path: &str) {
    files.retain(|p, _| !(path.is_empty() || p.starts_with(&format!("{path}/"))));
}

/// Whether the layer replaces a link of the layers below that is on this path.
fn replaces_link(lower: &Files, steps: &[Step], path: &str) -> bool {
    prefixes(path).iter().any(|prefix| {
        let (parent, name) = split(prefix);
        let place = resolve(lower, parent, 0).map(|parent| join(&parent, name));
        let own = steps.iter().any(|step| match step {
            Step::Set(p, _) | Step::Hardlink(p, _) | Step::Whiteout(p) => p == prefix,
            Step::Opaque(_) => false,
        });
        own && matches!(place.and_then(|p| lower.get(&p)), Some(Thing::Link(_)))
    })
}

/// Fails with the step that has no place.
fn apply<'s>(files: &mut Files, steps: &'s [Step]) -> Result<(), Failed<'s>> {
    let lower = files.clone();
    for (at, step) in steps.iter().enumerate() {
        let failed = || Failed { step, later: &steps[at + 1..] };
        match step {
            Step::Whiteout(path) => {
                let (parent, name) = split(path);
                if !replaces_link(&lower, steps, parent) {
                    let place = join(&resolve(&lower, parent, 0).ok_or_else(failed)?, name);
                    remove_below(files, &place);
                    files.remove(&place);
                }
            }
            Step::Opaque(path) => {
                if !replaces_link(&lower, steps, path) {
                    remove_below(files, &resolve(&lower, path, 0).ok_or_else(failed)?);
                }
            }
            Step::Set(..) | Step::Hardlink(..) => {}
        }
    }
    // What this layer brought, under the names it uses.
    let mut own: Files = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        let failed = || Failed { step, later: &steps[at + 1..] };
        let (path, thing) = match step {
            Step::Set(path, thing) => (path, thing.clone()),
            Step::Hardlink(path, target) => {
                let (parent, name) = split(target);
                let below = || lower.get(&join(&resolve(&lower, parent, 0)?, name)).cloned();
                let thing = own.get(target).cloned().or_else(below).ok_or_else(failed)?;
                if thing == Thing::Directory {
                    return Err(failed());
                }
                (path, thing)
            }
            _ => continue,
        };
        if thing != Thing::Directory {
            remove_below(&mut own, path);
        }
        own.insert(path.clone(), thing.clone());
        let (parent, name) = split(path);
        let parent = resolve(files, parent, 0).ok_or_else(failed)?;
        for prefix in prefixes(&parent) {
            if *files.entry(prefix.into()).or_insert(Thing::Directory) != Thing::Directory {
                return Err(failed());
            }
        }
        let place = join(&parent, name);
        if thing != Thing::Directory || files.get(&place).is_some_and(|old| *old != Thing::Directory) {
            remove_below(files, &place);
        }
        files.insert(place, thing);
    }
    Ok(())
}

fn build(steps: &[Step]) -> crate::layer::Result<LayerTree> {
    let path = |p: &str| ImagePath::new(p.as_bytes()).unwrap();
    let mut builder = Builder::default();
    for step in steps {
        match step {
            Step::Set(at, thing) => {
                let node = match thing {
                    Thing::Directory => Node::Directory,
                    Thing::File(id) => Node::File { object: ObjectId([*id; 32]), size: 1 },
                    Thing::Link(target) => Node::Symlink { target: target.as_bytes().into() },
                };
                let change = Change::Set { meta: Meta::default(), mtime: Mtime::default(), node };
                builder.set(path(at), change)?;
            }
            Step::Hardlink(at, target) => builder.hardlink(path(at), path(target))?,
            Step::Whiteout(at) => builder.whiteout(path(at))?,
            Step::Opaque(at) => builder.opaque(path(at))?,
        }
    }
    builder.finish()
}

fn merged(layers: &[Vec<Step>]) -> crate::layer::Result<Files> {
    let tree = merge(layers.iter().map(|steps| build(steps)))?;
    let thing = |node: &Node| match node {
        Node::Directory => Thing::Directory,
        Node::File { object, .. } => Thing::File(object.0[0]),
        Node::Symlink { target } => Thing::Link(String::from_utf8(target.to_vec()).unwrap()),
        other => panic!("{other:?} was never set"),
    };
    Ok(tree.entries()[1..].iter().map(|e| (e.path.to_string(), thing(&e.node))).collect())
}

fn path() -> impl Strategy<Value = String> {
    "[abc](/[abc]){0,2}"
}

fn step() -> impl Strategy<Value = Step> {
    let target =
        prop_oneof!["[abc]", "/[abc]", "\\.\\./[abc]", "[abc]/[abc]", Just("..".into()), Just("./a".into())];
    let thing = prop_oneof![
        4 => Just(Thing::Directory),
        4 => any::<u8>().prop_map(Thing::File),
        3 => target.prop_map(Thing::Link),
    ];
    prop_oneof![
        8 => (path(), thing).prop_map(|(path, thing)| Step::Set(path, thing)),
        1 => (path(), path()).prop_map(|(path, target)| Step::Hardlink(path, target)),
        1 => path().prop_map(Step::Whiteout),
        1 => path().prop_map(Step::Opaque),
    ]
}

/// A layer in which nothing comes after what is below it, nor a directory after something else of its name, as
/// every tool writes it. Otherwise something could go
/// through a link of a lower layer before the layer replaces that link, or what leads to it; merging takes a
/// layer as a whole, and there the link is gone from the start.
fn layer() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..7).prop_map(|steps| {
        let mut kept: Vec<Step> = Vec::new();
        for step in steps {
            let late = |path: &str, directory: bool| {
                kept.iter().any(|before| match before {
                    Step::Set(p, Thing::File(_) | Thing::Link(_)) | Step::Hardlink(p, _)
                        if directory && p == path =>
                    {
                        true
                    }
                    Step::Set(p, _) | Step::Hardlink(p, _) | Step::Whiteout(p) | Step::Opaque(p) => {
                        p.starts_with(&format!("{path}/"))
                    }
                })
            };
            let late = match &step {
                Step::Set(path, thing) => late(path, *thing == Thing::Directory),
                Step::Hardlink(path, _) => late(path, false),
                Step::Whiteout(_) | Step::Opaque(_) => false,
            };
            if !late {
                kept.push(step);
            }
        }
        kept
    })
}

/// Whether a refusal is of the kind that unpacking entry by entry does not know: the order would decide.
fn is_stricter(error: &crate::layer::Error, layers: &[Vec<Step>]) -> bool {
    let text = error.to_string();
    let because_of_order = ["of the same layer", "replaced by the same layer", "above it is not a directory"];
    // A link of the layer itself, or one that it removes, comes before or after what is not below it.
    let because_of_link = ["leads out of the image", "too many symbolic links"];
    let own_link = match error {
        crate::layer::Error::Conflict { layer, .. } => layers[layer - 1].iter().any(|step| {
            matches!(step, Step::Set(_, Thing::Link(_)) | Step::Hardlink(..) | Step::Whiteout(_))
        }),
        _ => false,
    };
    because_of_order.iter().any(|reason| text.contains(reason))
        || text.contains("marked opaque but is not a directory")
        || text.contains("below which the same layer has entries")
        || own_link && because_of_link.iter().any(|reason| text.contains(reason))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn merging_agrees_with_unpacking(
        layers in proptest::collection::vec(layer(), 1..4),
    ) {
        let mut unpacked = Files::new();
        let model = layers.iter().try_for_each(|steps| apply(&mut unpacked, steps));
        match (merged(&layers), model) {
            (Ok(tree), Ok(())) => prop_assert_eq!(tree, unpacked),
            (Ok(tree), Err(failed)) => {
                prop_assert!(failed.is_mended(), "merged to {:?}, but {:?}", tree, failed);
            }
            (Err(_), Err(_)) => {}
            (Err(error), Ok(())) => prop_assert!(is_stricter(&error, &layers), "{}", error),
        }
    }
}
