//! apk: one file has the packages and their paths.

use std::collections::HashMap;

use super::read::{parse, places};
use crate::ops::Result;
use crate::ops::files::View;
use crate::packages::{Files, Package, parse_apk, parse_apk_files};

const INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

pub(super) fn packages(view: View<'_>) -> Result<Vec<Package>> {
    let mut found = Vec::new();
    for entry in places(view.tree, &INSTALLED) {
        found.extend(parse(view, entry, |input| parse_apk(input))?);
    }
    Ok(found)
}

pub(super) fn packages_with_files(view: View<'_>) -> Result<Vec<(Package, Files)>> {
    let mut found = Vec::new();
    for entry in places(view.tree, &INSTALLED) {
        let files = parse(view, entry, |input| parse_apk_files(input))?;
        let mut by_name: HashMap<String, Files> = files.into_iter().collect();
        for package in parse(view, entry, |input| parse_apk(input))? {
            let files = by_name.remove(&package.name).unwrap_or_default();
            found.push((package, files));
        }
    }
    Ok(found)
}
