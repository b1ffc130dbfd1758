//! Layers that undo each other.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::names::ImagePath;
use crate::ops::Result;
use crate::repo::{Change, LayerTree, Node};

pub const LAYERS: Lint = Lint {
    id: "layers",
    level: Level::Warning,
    needs: Needs::Image,
    about: "layers do not delete or replace much of one another",
    why: "What a layer brought is fetched by every machine, also when a later one has removed it or brings it again. Told \
          from a 32nd part of the image on, from 1 to 16 MiB.",
    fix: "Delete in the RUN that makes, and change modes in the COPY (`--chmod`)",
    check: layers,
};

/// Less than the first is not worth a word; more than the last is, in any image; between them it is a part of the image: what
/// is built on a base always replaces its package database.
const LEAST: u64 = 1 << 20;
const MOST: u64 = 16 << 20;
const PART: u64 = 32;

fn layers(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let Some(image) = subject.image else { return Ok(()) };
    let layers = image.layers()?;
    let all = layers.iter().flat_map(|layer| &layer.changes).map(|(_, change)| match change {
        Change::Set { node: Node::File { size, .. }, .. } => *size,
        _ => 0,
    });
    let much = (all.sum::<u64>() / PART).clamp(LEAST, MOST);
    for (layer, (bytes, largest)) in undone(&layers) {
        if bytes >= much {
            findings.at(
                &largest,
                format!(
                    "{bytes} bytes of layer {} are deleted or replaced by later ones, most of them here",
                    layer + 1
                ),
            );
        }
    }
    Ok(())
}

/// For each layer that brought something in vain: how many bytes, and the largest file among them.
pub(in crate::container::lint) fn undone(layers: &[LayerTree]) -> BTreeMap<usize, (u64, ImagePath)> {
    let mut here: BTreeMap<&ImagePath, (usize, u64)> = BTreeMap::new();
    let mut undone: BTreeMap<usize, (u64, u64, ImagePath)> = BTreeMap::new();
    let mut undo = |path: &ImagePath, (layer, size): (usize, u64)| {
        let (bytes, largest, at) = undone.entry(layer).or_default();
        *bytes += size;
        if size > *largest {
            (*largest, *at) = (size, path.clone());
        }
    };
    for (index, layer) in layers.iter().enumerate() {
        let gone = layer.opaque.iter().map(|path| (path, true));
        let replaced = layer.changes.iter().filter_map(|(path, change)| match change {
            Change::Set { node: Node::Directory, .. } => None,
            Change::Set { .. } | Change::Hardlink { .. } | Change::Whiteout => Some((path, false)),
        });
        for (path, below_only) in gone.chain(replaced) {
            if !below_only && let Some(old) = here.remove(path) {
                undo(path, old);
            }
            let after = (Bound::Excluded(path), Bound::Unbounded);
            while let Some(below) =
                here.range::<ImagePath, _>(after).next().map(|(below, _)| *below).filter(|b| b.is_below(path))
            {
                if let Some(old) = here.remove(below) {
                    undo(below, old);
                }
            }
        }
        for (path, change) in &layer.changes {
            if let Change::Set { node: Node::File { size, .. }, .. } = change {
                here.insert(path, (index, *size));
            }
        }
    }
    undone.into_iter().map(|(layer, (bytes, _, path))| (layer, (bytes, path))).collect()
}
