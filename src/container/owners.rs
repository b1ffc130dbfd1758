//! Which package a file belongs to, by the own lists of dpkg, apk and rpm. Their paths may go through links of the root, and
//! may have been removed since.

use std::collections::HashMap;

use super::Root;
use crate::names::ImagePath;
use crate::ops::{Result, packages};
use crate::packages::Package;

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
        let mut found = packages::read_with_files(root.view(), &mut owners.not_read)?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut places = Places { root, parents: HashMap::new() };
        for (package, files) in found {
            let index = owners.packages.len();
            let files = files.iter().filter_map(|file| places.find(file));
            owners.of.extend(files.map(|path| (path, index)));
            owners.packages.push(package);
        }
        Ok(owners)
    }

    /// The package that a path belongs to, as an index into [`Self::packages`].
    pub fn index_of(&self, path: &ImagePath) -> Option<usize> {
        self.of.get(path).copied()
    }
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
    use crate::packages::rpm_testing::{Rpm, ndb, sqlite};

    /// The package of a path: name, architecture, version.
    fn owner(owners: &Owners, path: &str) -> Option<String> {
        let package = &owners.packages[owners.index_of(&ImagePath::new(path.as_bytes()).unwrap())?];
        let architecture = package.architecture.as_deref().unwrap_or("-");
        Some(format!("{} {architecture} {}", package.name, package.version))
    }

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
        for (path, expected) in [
            ("usr/bin/sh", Some("dash - 1")),
            ("usr/lib/x86.so", Some("libc amd64 2")),
            ("usr/lib/i386.so", Some("libc i386 2")),
            ("usr/lib/musl.so", Some("musl - 1")),
            ("top", Some("musl - 1")),
            ("usr/bin/own", None),
            ("usr/share/doc", None),
        ] {
            assert_eq!(owner(&owners, path).as_deref(), expected, "{path}");
        }
    }

    /// What an rpm system has, and two kernels, which are two packages of one name.
    fn rpms() -> Vec<Vec<u8>> {
        vec![
            Rpm::new("bash", "5.2", "1").files(&["/bin/bash", "/usr/share/doc/bash"]).header(),
            Rpm::new("kernel", "6.1", "1").files(&["/usr/lib/modules/6.1/vmlinuz"]).header(),
            Rpm::new("kernel", "6.2", "1").epoch(2).files(&["/usr/lib/modules/6.2/vmlinuz"]).header(),
        ]
    }

    fn rpm_root() -> Files {
        Files::default()
            .link("bin", "usr/bin")
            .file("usr/bin/bash", "x")
            .dir("usr/share/doc/bash")
            .file("usr/lib/modules/6.1/vmlinuz", "x")
            .file("usr/lib/modules/6.2/vmlinuz", "x")
    }

    #[test]
    fn files_of_rpm_belong_to_packages_in_each_format() {
        let at = "usr/lib/sysimage/rpm";
        let links = rpm_root().link("var/lib/rpm", "../../usr/lib/sysimage/rpm");
        for root in [
            links.clone().file(format!("{at}/rpmdb.sqlite"), sqlite(&rpms(), 4096)),
            links.file(format!("{at}/Packages.db"), ndb(&rpms())),
        ] {
            let owners = Owners::read(&root.file(format!("{at}/rpmdb.sqlite-wal"), "").root()).unwrap();
            assert_eq!((owners.packages.len(), owners.not_read.len()), (3, 0));
            for (path, expected) in [
                ("usr/bin/bash", Some("bash x86_64 5.2-1")),
                ("usr/share/doc/bash", None),
                ("usr/lib/modules/6.1/vmlinuz", Some("kernel x86_64 6.1-1")),
                ("usr/lib/modules/6.2/vmlinuz", Some("kernel x86_64 2:6.2-1")),
            ] {
                assert_eq!(owner(&owners, path).as_deref(), expected, "{path}");
            }
        }
    }

    #[test]
    fn an_rpm_database_that_is_not_read_is_told() {
        let read = |root: &Files| Owners::read(&root.root());
        let old = read(&rpm_root().file("var/lib/rpm/Packages", "x")).unwrap();
        assert_eq!(
            old.not_read,
            ["the rpm database /var/lib/rpm/Packages is a Berkeley DB, which is not read"]
        );
        let database = rpm_root().file("usr/share/rpm/rpmdb.sqlite", sqlite(&rpms(), 512));
        let changing = read(&database.clone().file("usr/share/rpm/rpmdb.sqlite-journal", "x")).unwrap();
        assert_eq!(
            changing.not_read,
            ["the rpm database /usr/share/rpm/rpmdb.sqlite was left in the middle of a change \
              (rpmdb.sqlite-journal), and is not read"]
        );
        assert_eq!(changing.packages.len(), 0);
        for (name, content, reason) in [
            ("rpmdb.sqlite", &sqlite(&rpms(), 512)[..800], "the header: it is cut off"),
            ("rpmdb.sqlite", b"", "the header: not a SQLite database"),
            ("Packages.db", b"RpmP", "the header: a version that is not known"),
        ] {
            let error = read(&rpm_root().file(format!("var/lib/rpm/{name}"), content)).unwrap_err();
            assert_eq!(error.to_string(), format!("reading /var/lib/rpm/{name}: {reason}"));
        }
    }
}
