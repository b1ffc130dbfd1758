//! Which package a file belongs to, by the package managers' own lists.

use std::collections::HashMap;
use std::io::BufReader;

use super::Root;
use crate::names::ImagePath;
use crate::ops::{Error, Result, packages};
use crate::packages::{Files, Package, parse_apk_files, parse_dpkg_list};
use crate::repo::TreeEntry;

/// dpkg's directories with a list for each package, `NAME.list` or `NAME:ARCHITECTURE.list`.
const DPKG: [&str; 2] = ["var/lib/dpkg/info", "usr/lib/sysimage/dpkg/info"];
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// Packages, and what belongs to which.
#[derive(Debug, Default)]
pub struct Owners {
    /// Sorted by name.
    pub packages: Vec<Package>,
    /// Databases that are there and were not read, each with why.
    pub not_read: Vec<String>,
    /// An index into `packages` for each path that is no directory.
    of: HashMap<ImagePath, usize>,
}

impl Owners {
    /// Reads what the root says about its packages; nothing where it has none.
    pub fn read(root: &Root<'_>) -> Result<Self> {
        let mut owners = Self::default();
        owners.packages = packages::read(root.view(), &mut owners.not_read)?;
        let mut by_name = HashMap::new();
        for (index, package) in owners.packages.iter().enumerate() {
            by_name.insert((package.name.clone(), package.architecture.clone()), index);
            by_name.entry((package.name.clone(), None)).or_insert(index);
        }
        let mut places = Places { root, parents: HashMap::new() };
        let mut seen = Vec::new();
        for directory in DPKG {
            let Some(found) = root.follow(directory) else { continue };
            if seen.contains(&found.path) {
                continue;
            }
            seen.push(found.path.clone());
            for entry in root.tree.below(&found.path) {
                let Some(name) = entry.path.file_name().strip_suffix(b".list") else { continue };
                let name = String::from_utf8_lossy(name).into_owned();
                let key = match name.split_once(':') {
                    Some((name, architecture)) => (name.to_owned(), Some(architecture.to_owned())),
                    None => (name, None),
                };
                let Some(index) = by_name.get(&key) else { continue };
                let files = read(root, entry, parse_dpkg_list)?;
                owners.own(*index, &files, &mut places);
            }
        }
        for path in APK {
            let Some(entry) = root.follow(path) else { continue };
            if seen.contains(&entry.path) {
                continue;
            }
            seen.push(entry.path.clone());
            for (name, files) in read(root, entry, parse_apk_files)? {
                if let Some(index) = by_name.get(&(name, None)) {
                    owners.own(*index, &files, &mut places);
                }
            }
        }
        Ok(owners)
    }

    fn own(&mut self, index: usize, files: &Files, places: &mut Places<'_>) {
        for file in files {
            if let Some(path) = places.find(file) {
                self.of.insert(path, index);
            }
        }
    }

    /// The package that a path belongs to, as an index into [`Self::packages`].
    pub fn index_of(&self, path: &ImagePath) -> Option<usize> {
        self.of.get(path).copied()
    }
}

fn read<T>(
    root: &Root<'_>,
    entry: &TreeEntry,
    parse: impl Fn(BufReader<Box<dyn std::io::Read>>) -> Result<T, crate::packages::Error>,
) -> Result<T>
where
    T: Default,
{
    let Some(content) = root.open(entry)? else { return Ok(T::default()) };
    parse(BufReader::new(content))
        .map_err(|error| Error::incompatible(format!("reading /{}: {error}", entry.path)))
}

/// Paths as packages have them, which may go through links (`/bin/sh`).
struct Places<'r> {
    root: &'r Root<'r>,
    parents: HashMap<Vec<u8>, Option<ImagePath>>,
}

impl Places<'_> {
    /// Where something is that is no directory.
    fn find(&mut self, path: &[u8]) -> Option<ImagePath> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        if !self.parents.contains_key(parent) {
            let found = ImagePath::new(parent).ok();
            let found = found.and_then(|parent| crate::layer::resolve(&self.root.tree, &parent));
            self.parents.insert(parent.to_vec(), found.map(|entry| entry.path.clone()));
        }
        let place = self.parents.get(parent)?.as_ref()?.join(name).ok()?;
        let entry = self.root.tree.get(&place)?;
        (!entry.node.is_directory()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::Files;

    #[test]
    fn files_belong_to_packages_wherever_links_lead() {
        let root = Files::default()
            .link("bin", "usr/bin")
            .file("usr/bin/sh", "x")
            .file("usr/bin/own", "x")
            .dir("usr/share/doc")
            .file("var/lib/dpkg/status", "Package: dash\nVersion: 1\nStatus: install ok installed\n\nPackage: libc\nVersion: 2\nArchitecture: amd64\n\nPackage: libc\nVersion: 2\nArchitecture: i386\n")
            .file("var/lib/dpkg/info/dash.list", "/.\n/bin\n/bin/sh\n/usr\n/usr/share/doc\n/gone\n")
            .file("usr/lib/x86.so", "x")
            .file("usr/lib/i386.so", "x")
            .file("var/lib/dpkg/info/libc:amd64.list", "/usr/lib/x86.so\n")
            .file("var/lib/dpkg/info/libc:i386.list", "/usr/lib/i386.so\n")
            .file("var/lib/dpkg/info/purged.list", "/usr/bin/own\n")
            .file("lib/apk/db/installed", "P:musl\nV:1\nF:usr/lib\nR:musl.so\nF:\nR:top\n\n")
            .file("usr/lib/musl.so", "x")
            .file("top", "x")
            .root();
        let owners = Owners::read(&root).unwrap();
        let owner = |path: &str| {
            let index = owners.index_of(&ImagePath::new(path.as_bytes()).unwrap())?;
            let package = &owners.packages[index];
            Some(format!("{} {}", package.name, package.architecture.as_deref().unwrap_or("-")))
        };
        for (path, expected) in [
            ("usr/bin/sh", Some("dash -")),
            ("usr/lib/x86.so", Some("libc amd64")),
            ("usr/lib/i386.so", Some("libc i386")),
            ("usr/lib/musl.so", Some("musl -")),
            ("top", Some("musl -")),
            ("usr/bin/own", None),
            ("usr/share/doc", None),
        ] {
            assert_eq!(owner(path).as_deref(), expected, "{path}");
        }
    }
}
