//! dpkg: `status` has the packages, `info/NAME.list` or `info/NAME:ARCHITECTURE.list` the paths of one.

use std::collections::HashMap;

use super::read::{child, parse, places};
use crate::ops::Result;
use crate::ops::files::View;
use crate::packages::{Files, Package, parse_dpkg, parse_dpkg_list};

const DIRECTORIES: [&str; 2] = ["var/lib/dpkg", "usr/lib/sysimage/dpkg"];
/// Of distroless images: one file for each package.
const STATUS_DIRECTORIES: [&str; 1] = ["var/lib/dpkg/status.d"];

pub(super) fn packages(view: View<'_>) -> Result<Vec<Package>> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for directory in places(view.tree, &DIRECTORIES) {
        let Some(status) = child(view.tree, &directory.path, "status") else { continue };
        if !seen.contains(&&status.path) {
            seen.push(&status.path);
            found.extend(parse(view, status, |input| parse_dpkg(input))?);
        }
    }
    for directory in places(view.tree, &STATUS_DIRECTORIES) {
        for entry in view.tree.below(&directory.path) {
            if !entry.path.file_name().ends_with(b".md5sums") {
                found.extend(parse(view, entry, |input| parse_dpkg(input))?);
            }
        }
    }
    Ok(found)
}

pub(super) fn packages_with_files(view: View<'_>) -> Result<Vec<(Package, Files)>> {
    let mut found: Vec<_> = packages(view)?.into_iter().map(|package| (package, Files::new())).collect();
    let mut by_name = HashMap::new();
    for (index, (package, _)) in found.iter().enumerate() {
        by_name.insert((package.name.clone(), package.architecture.clone()), index);
        by_name.entry((package.name.clone(), None)).or_insert(index);
    }
    let info = DIRECTORIES.map(|directory| format!("{directory}/info"));
    for info in places(view.tree, &info.each_ref().map(String::as_str)) {
        for entry in view.tree.below(&info.path) {
            let Some(name) = entry.path.file_name().strip_suffix(b".list") else { continue };
            let name = String::from_utf8_lossy(name).into_owned();
            let key = match name.split_once(':') {
                Some((name, architecture)) => (name.to_owned(), Some(architecture.to_owned())),
                None => (name, None),
            };
            if let Some(index) = by_name.get(&key) {
                found[*index].1.extend(parse(view, entry, |input| parse_dpkg_list(input))?);
            }
        }
    }
    Ok(found)
}
