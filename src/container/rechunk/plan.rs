//! Which part comes into which layer. Pure.
//!
//! A part keeps its layer from version to version whatever becomes of the others: the largest have one of their own, all
//! others one that follows from their name. So two builds that know nothing of each other agree, and an update changes the
//! layers of the packages that it changes. What an image before said is kept.

use std::collections::BTreeMap;

use crate::digest::Sha256;

/// The name of a layer: `=PART`, or `#N` for those that follow from names.
pub(super) type Label = String;

/// The parts of each layer, by its label: that is their order in the image.
pub(super) type Plan = BTreeMap<Label, Vec<String>>;

/// One layer is for the directories.
pub(super) const FEWEST: usize = 3;

/// Gives each part a layer. `sizes` are bytes by the parts' names; `layers` counts all, that of the directories as well.
pub(super) fn plan(sizes: &BTreeMap<String, u64>, layers: usize, previous: Option<&Plan>) -> Plan {
    // One with more layers than there may be now is no help.
    let previous = previous.filter(|plan| plan.len() < layers);
    let before: BTreeMap<&str, &str> = previous
        .into_iter()
        .flatten()
        .flat_map(|(label, parts)| parts.iter().map(move |part| (part.as_str(), label.as_str())))
        .collect();
    let shared = shared_layers(layers, previous);
    let mut own = layers.saturating_sub(1 + shared);
    own = own.saturating_sub(
        before.iter().filter(|(part, label)| label.starts_with('=') && sizes.contains_key(**part)).count(),
    );
    let mut largest: Vec<_> = sizes.iter().filter(|(part, _)| !before.contains_key(part.as_str())).collect();
    largest.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    // A small part on its own saves nothing.
    let average = sizes.values().sum::<u64>() / layers as u64;
    let mut plan = Plan::new();
    for (index, (part, size)) in largest.into_iter().enumerate() {
        let label = match index < own && *size >= average / 2 {
            true => format!("={part}"),
            false => format!("#{:03}", number(part) % shared as u64),
        };
        plan.entry(label).or_default().push(part.clone());
    }
    for (part, label) in before.into_iter().filter(|(part, _)| sizes.contains_key(*part)) {
        plan.entry(label.to_owned()).or_default().push(part.to_owned());
    }
    plan.values_mut().for_each(|parts| parts.sort());
    plan
}

/// How many layers are shared: as many as before, or the half.
fn shared_layers(layers: usize, previous: Option<&Plan>) -> usize {
    let numbers =
        previous.into_iter().flat_map(|plan| plan.keys()).filter_map(|label| label.strip_prefix('#'));
    let before =
        numbers.filter_map(|number| number.parse::<usize>().ok()).max().map(|last| last.saturating_add(1));
    before.unwrap_or((layers - 1) / 2).clamp(1, layers - 2)
}

/// A number that follows from a name alone.
fn number(part: &str) -> u64 {
    let digest = Sha256::of(part.as_bytes()).0;
    u64::from_be_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(parts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        parts.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
    }

    /// Where a part is.
    fn label<'p>(plan: &'p Plan, part: &str) -> &'p str {
        plan.iter()
            .find(|(_, parts)| parts.iter().any(|p| p == part))
            .map(|(label, _)| label.as_str())
            .unwrap()
    }

    fn distribution(count: usize) -> BTreeMap<String, u64> {
        (0..count).map(|n| (format!("package-{n}"), 1000 + (n as u64 * 7919) % 100_000)).collect()
    }

    #[test]
    fn every_part_has_one_layer_and_there_are_not_too_many() {
        for (count, layers) in [(1, 3), (5, 3), (200, 10), (200, 64), (3000, 64), (3, 128)] {
            let sizes = distribution(count);
            let plan = plan(&sizes, layers, None);
            assert!(plan.len() < layers, "{count} in {layers}: {}", plan.len());
            let mut parts: Vec<_> = plan.values().flatten().cloned().collect();
            parts.sort();
            assert_eq!(parts, sizes.into_keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_largest_are_alone() {
        let plan = plan(&sizes(&[("kernel", 1000), ("libc", 500), ("a", 1), ("b", 1), ("c", 1)]), 6, None);
        assert_eq!((label(&plan, "kernel"), label(&plan, "libc")), ("=kernel", "=libc"));
        assert!(label(&plan, "a").starts_with('#'));
    }

    #[test]
    fn what_others_do_moves_nothing() {
        let before = distribution(300);
        let old = plan(&before, 40, None);
        let mut after = before.clone();
        after.remove("package-7");
        after.insert("new".into(), 5000);
        *after.get_mut("package-8").unwrap() += 10;
        let new = plan(&after, 40, None);
        let moved =
            before.keys().filter(|part| after.contains_key(*part) && label(&old, part) != label(&new, part));
        assert!(moved.count() <= 2);
        // With the plan of before nothing moves at all, however large something became.
        *after.get_mut("package-9").unwrap() += 10_000_000;
        let new = plan(&after, 40, Some(&old));
        assert!(
            before
                .keys()
                .filter(|part| after.contains_key(*part))
                .all(|part| label(&old, part) == label(&new, part))
        );
        assert!(new.len() < 40);
        // Unless there are fewer layers than it needs.
        assert!(plan(&after, 10, Some(&old)).len() < 10);
    }
}
