//! Packages of two trees compared.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::read;
use crate::ops::files::View;
use crate::ops::{Result, ResultExt};
use crate::packages::{Manager, Package, compare_versions};

/// What differs between the packages of two trees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageDiff {
    pub added: Vec<PackageChange>,
    pub removed: Vec<PackageChange>,
    pub upgraded: Vec<PackageChange>,
    pub downgraded: Vec<PackageChange>,
    /// Databases that are there but were not read, each with why.
    pub not_read: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Absent for an added package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Absent for a removed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl PackageDiff {
    /// True when there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// Compares the package databases of two trees.
pub(in crate::ops) fn compare(from: View<'_>, to: View<'_>) -> Result<PackageDiff> {
    let mut not_read = Vec::new();
    let from = read(from, &mut not_read).context(|| "reading the packages of the first image")?;
    let to = read(to, &mut not_read).context(|| "reading the packages of the second image")?;
    not_read.sort();
    not_read.dedup();
    Ok(PackageDiff { not_read, ..compare_lists(from, to) })
}

/// What differs between two lists; pure. Of a name that is installed in several versions (kernels are packages
/// of their own, so that is rare) versions that both have cancel out.
fn compare_lists(from: Vec<Package>, to: Vec<Package>) -> PackageDiff {
    type Versions = (Vec<String>, Vec<String>);
    let mut by_name: BTreeMap<(String, Option<String>, Manager), Versions> = BTreeMap::new();
    let key = |package: &Package| (package.name.clone(), package.architecture.clone(), package.manager);
    for package in from {
        by_name.entry(key(&package)).or_default().0.push(package.version);
    }
    for package in to {
        by_name.entry(key(&package)).or_default().1.push(package.version);
    }
    let mut diff = PackageDiff::default();
    for ((name, architecture, manager), (mut from, mut to)) in by_name {
        from.retain(|version| match to.iter().position(|v| v == version) {
            Some(same) => {
                to.remove(same);
                false
            }
            None => true,
        });
        let (mut from, mut to) = (from.into_iter(), to.into_iter());
        loop {
            let (from, to) = (from.next(), to.next());
            let list = match (&from, &to) {
                (None, None) => break,
                (None, Some(_)) => &mut diff.added,
                (Some(_), None) => &mut diff.removed,
                (Some(a), Some(b)) if compare_versions(manager, a, b) == Ordering::Greater => {
                    &mut diff.downgraded
                }
                (Some(_), Some(_)) => &mut diff.upgraded,
            };
            list.push(PackageChange { name: name.clone(), architecture: architecture.clone(), from, to });
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str, manager: Manager) -> Vec<Package> {
        text.split_whitespace()
            .map(|p| {
                let (name, version) = p.split_once('=').unwrap();
                Package { name: name.into(), architecture: None, version: version.into(), manager }
            })
            .collect()
    }

    fn shown(changes: &[PackageChange]) -> Vec<String> {
        let text = |v: &Option<String>| v.clone().unwrap_or_default();
        changes.iter().map(|c| format!("{} {}>{}", c.name, text(&c.from), text(&c.to))).collect()
    }

    #[test]
    fn packages_are_added_removed_upgraded_and_downgraded() {
        let list = |text| list(text, Manager::Dpkg);
        let diff = compare_lists(list("a=1 b=1.9 c=2 d=1 k=1 k=2"), list("b=1.10 c=1~ d=1 e=5 k=2 k=3"));
        assert_eq!(shown(&diff.added), ["e >5"]);
        assert_eq!(shown(&diff.removed), ["a 1>"]);
        assert_eq!(shown(&diff.upgraded), ["b 1.9>1.10", "k 1>3"]);
        assert_eq!(shown(&diff.downgraded), ["c 2>1~"]);
        assert!(compare_lists(list("a=1"), list("a=1")).is_empty());
    }

    #[test]
    fn every_manager_has_its_own_rules_and_packages() {
        let (from, to) = ("a=1-1.fc42 b=1", "a=1-1.1.fc42 b=1");
        let diff = compare_lists(list(from, Manager::Rpm), list(to, Manager::Rpm));
        assert_eq!(shown(&diff.upgraded), ["a 1-1.fc42>1-1.1.fc42"]);
        let diff = compare_lists(list(from, Manager::Dpkg), list(to, Manager::Dpkg));
        assert_eq!(shown(&diff.downgraded), ["a 1-1.fc42>1-1.1.fc42"]);
        let diff = compare_lists(list("b=1", Manager::Dpkg), list("b=1", Manager::Rpm));
        assert_eq!((shown(&diff.removed), shown(&diff.added)), (vec!["b 1>".into()], vec!["b >1".into()]));
    }
}
