//! Which part comes into which layer. Pure.
//!
//! A part keeps its layer from version to version whatever becomes of the others: the largest and newest have one of their own, all
//! other packages one that follows from their name. So two builds that know nothing of each other agree, and an update changes the
//! layers of the packages that it changes. What an image before said is kept.
//!
//! How often something changes is seen in two ways. What belongs to no package is made by the build and changes with nearly every
//! one, so it shares no layer with packages. And a package that was built lately will be built again soonest.

use std::collections::BTreeMap;

use crate::digest::Sha256;

/// The name of a layer: `=PART`, `#N` for those that follow from names, or [`LOCAL`].
pub(super) type Label = String;

/// The parts of each layer, by its label: that is their order in the image.
pub(super) type Plan = BTreeMap<Label, Vec<String>>;

/// What the build has made, short of what is large.
const LOCAL: &str = "#local";
/// One for packages, one for what is in none, and one for the directories.
pub(super) const FEWEST: usize = 3;
const YEAR: i64 = 365 * 24 * 3600;

/// What is known of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub bytes: u64,
    /// Seconds since the epoch.
    pub newest: i64,
}

/// Gives each part a layer. `sizes` are by the parts' names; `layers` counts all, that of the directories as well.
pub(super) fn plan(sizes: &BTreeMap<String, Size>, layers: usize, previous: Option<&Plan>) -> Plan {
    // One with more layers than there may be now is no help.
    let previous = previous.filter(|plan| plan.len() < layers);
    let before: BTreeMap<&str, &str> = previous
        .into_iter()
        .flatten()
        .flat_map(|(label, parts)| parts.iter().map(move |part| (part.as_str(), label.as_str())))
        .collect();
    let shared = shared_layers(layers, previous);
    let mut own = layers.saturating_sub(2 + shared);
    own = own.saturating_sub(
        before.iter().filter(|(part, label)| label.starts_with('=') && sizes.contains_key(**part)).count(),
    );
    // What will be fetched of it, as far as one can know: half as much if it has been left alone for a year.
    let newest = sizes.values().map(|size| size.newest).max().unwrap_or_default();
    let weight = |size: &Size| size.bytes >> (newest.saturating_sub(size.newest) / YEAR).clamp(0, 8);
    let mut heaviest: Vec<_> = sizes.iter().filter(|(part, _)| !before.contains_key(part.as_str())).collect();
    heaviest.sort_by(|a, b| weight(b.1).cmp(&weight(a.1)).then_with(|| a.0.cmp(b.0)));
    // A small part on its own saves nothing.
    let average = sizes.values().map(|size| size.bytes).fold(0, u64::saturating_add) / layers as u64;
    let mut plan = Plan::new();
    for (index, (part, size)) in heaviest.into_iter().enumerate() {
        let label = match part.starts_with('/') {
            _ if index < own && size.bytes >= average / 2 => format!("={part}"),
            true => LOCAL.into(),
            false => format!("#{:03}", number(part) % shared as u64),
        };
        plan.entry(label).or_default().push(part.clone());
    }
    for (part, label) in before.into_iter().filter(|(part, _)| sizes.contains_key(*part)) {
        plan.entry(label.to_owned()).or_default().push(part.to_owned());
    }
    if plan.len() >= layers && previous.is_some() {
        // Half empty layers of before leave too few for what is new.
        return self::plan(sizes, layers, None);
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

    fn sizes(parts: &[(&str, u64)]) -> BTreeMap<String, Size> {
        parts.iter().map(|(name, bytes)| ((*name).to_owned(), Size { bytes: *bytes, newest: 0 })).collect()
    }

    /// Where a part is.
    fn label<'p>(plan: &'p Plan, part: &str) -> &'p str {
        plan.iter()
            .find(|(_, parts)| parts.iter().any(|p| p == part))
            .map(|(label, _)| label.as_str())
            .unwrap()
    }

    fn distribution(count: usize) -> BTreeMap<String, Size> {
        let part = |n: usize| match n % 10 {
            0 => format!("/etc/{n}"),
            _ => format!("package-{n}"),
        };
        let bytes = |n| 1000 + (n as u64 * 7919) % 100_000;
        (0..count).map(|n| (part(n), Size { bytes: bytes(n), newest: (n as i64 % 7) * YEAR })).collect()
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
    fn what_changes_often_is_apart() {
        // What the build makes shares nothing with packages, and of two packages of one size the newer one is alone.
        let mut sizes =
            sizes(&[("old", 500), ("new", 500), ("a", 1), ("b", 1), ("/etc", 1), ("/var/lib", 1)]);
        sizes.get_mut("new").unwrap().newest = 3 * YEAR;
        let plan = plan(&sizes, 4, None);
        assert_eq!((label(&plan, "new"), label(&plan, "/etc")), ("=new", LOCAL));
        assert_eq!(plan[LOCAL], ["/etc", "/var/lib"]);
        assert_eq!(label(&plan, "old"), "#000");
    }

    #[test]
    fn what_others_do_moves_nothing() {
        let before = distribution(300);
        let old = plan(&before, 40, None);
        let mut after = before.clone();
        after.remove("package-7");
        after.insert("new".into(), Size { bytes: 5000, newest: 0 });
        after.get_mut("package-8").unwrap().bytes += 10;
        let new = plan(&after, 40, None);
        let moved =
            before.keys().filter(|part| after.contains_key(*part) && label(&old, part) != label(&new, part));
        assert!(moved.count() <= 2);
        // With the plan of before nothing moves at all, however large something became.
        after.get_mut("package-9").unwrap().bytes += 10_000_000;
        let new = plan(&after, 40, Some(&old));
        assert!(
            before
                .keys()
                .filter(|part| after.contains_key(*part))
                .all(|part| label(&old, part) == label(&new, part))
        );
        assert!(new.len() < 40);
        // However many layers before had, few of which anything is in now.
        let sparse: Plan = [("#048".to_owned(), vec!["package-1".to_owned()])]
            .into_iter()
            .chain((0..30).map(|n| (format!("=package-{}", n + 20), vec![format!("package-{}", n + 20)])))
            .collect();
        assert!(super::plan(&distribution(300), 50, Some(&sparse)).len() < 50);
        // Unless there are fewer layers than it needs.
        assert!(plan(&after, 10, Some(&old)).len() < 10);
    }
}
