//! Systems of rpm: databases that rpm wrote are read as rpm reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::builder::Builder;
use crate::support::skip::skip;
use crate::support::tools::{command, missing_for_root, run};

const DATABASE: &str = "/usr/lib/sysimage/rpm";
const PACKAGES: usize = 400;

/// A root of many packages with all that rpm can say of their names, versions and files.
fn spec() -> String {
    let mut spec = String::from(
        "Name: base\nVersion: 1.0~rc1\nRelease: 1%{?dist}\nSummary: s\nLicense: MIT\nAutoReqProv: no\n\
         %global debug_package %{nil}\n%global __os_install_post %{nil}\n%global _build_id_links none\n\
         %description\nd\n%files\n/usr\n%ghost /etc/ghost\n%exclude /usr/share/p*\n%exclude /usr/lib/large\n",
    );
    let mut install =
        String::from("%install\nmkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/usr/lib/large\n");
    install += "echo base > %{buildroot}/usr/bin/base\nln %{buildroot}/usr/bin/base %{buildroot}/usr/bin/twin\n\
                ln -s base %{buildroot}/usr/bin/link\necho x > '%{buildroot}/usr/bin/with space'\n\
                echo x > %{buildroot}/usr/bin/größe\ntouch %{buildroot}/etc/ghost\n\
                for n in $(seq 3000); do echo $n > %{buildroot}/usr/lib/large/file-with-a-long-name-$n; done\n";
    for n in 0..PACKAGES {
        let epoch = if n % 7 == 0 { format!("Epoch: {n}\n") } else { String::new() };
        let architecture = if n % 3 == 0 { "BuildArch: noarch\n" } else { "" };
        let _ = write!(
            spec,
            "%package -n p{n}\nVersion: {n}^git\nRelease: 2\n{epoch}{architecture}Summary: s\n%description -n p{n}\n{}\n\
             %files -n p{n}\n/usr/share/p{n}/a\n%doc /usr/share/p{n}/doc\n",
            "long ".repeat(n * 3)
        );
        let _ = write!(
            install,
            "mkdir -p %{{buildroot}}/usr/share/p{n}/a/b\necho {n} > %{{buildroot}}/usr/share/p{n}/a/b/file\n\
             echo {n} > %{{buildroot}}/usr/share/p{n}/doc\n"
        );
    }
    spec += "%package -n large\nVersion: 1\nSummary: s\n%description -n large\nd\n%files -n large\n/usr/lib/large\n";
    spec + &install
}

/// Builds the packages and tells where they are.
fn build(at: &Path) -> Vec<PathBuf> {
    fs::create_dir(at).unwrap();
    fs::write(at.join("all.spec"), spec()).unwrap();
    run(command("rpmbuild").args(["-bb", "--quiet", "--define", "_binary_payload w0.ufdio"]).args([
        "--define",
        &format!("_topdir {}", at.display()),
        &at.join("all.spec").display().to_string(),
    ]));
    let directories = fs::read_dir(at.join("RPMS")).unwrap();
    let files = directories.flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

/// An rpm with one kind of database, and a root.
struct Rpm {
    root: PathBuf,
    backend: &'static str,
}

impl Rpm {
    fn command(&self) -> Command {
        let mut command = command("rpm");
        command.args(["--dbpath", DATABASE, "--root"]).arg(&self.root);
        command.args(["--define", &format!("_db_backend {}", self.backend)]);
        command
    }

    /// Whether this rpm was built with that kind.
    fn has_backend(&self) -> bool {
        fs::create_dir_all(&self.root).unwrap();
        let said = self.command().arg("--initdb").output().unwrap().stderr;
        !String::from_utf8_lossy(&said).contains("dummy database")
    }

    fn database(&self) -> PathBuf {
        self.root.join(DATABASE.trim_start_matches('/'))
    }

    /// With holes, where packages were before they were removed.
    fn install(&self, packages: &[PathBuf]) {
        run(self.command().args(["-i", "--nodeps", "--noscripts", "--excludedocs"]).args(packages));
        run(self.command().args(["-e", "--nodeps", "p3", "p77", "p78", "p79", "p200", "p399"]));
    }

    /// Name, architecture and version of each package, by rpm itself.
    fn packages(&self) -> Vec<String> {
        let format = "%{NAME} %{ARCH} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n";
        let mut lines: Vec<_> =
            run(self.command().args(["-qa", "--qf", format])).lines().map(String::from).collect();
        lines.sort();
        lines
    }

    /// Each path that is on the disk and no directory, and its package.
    fn files(&self) -> BTreeMap<String, String> {
        let listed = run(self.command().args(["-qa", "--qf", "[%{=NAME} %{INSTFILENAMES}\n]"]));
        let pairs = listed.lines().map(|line| line.split_once(' ').unwrap());
        let here = |path: &str| {
            let metadata = self.root.join(path.trim_start_matches('/')).symlink_metadata();
            metadata.is_ok_and(|metadata| !metadata.is_dir())
        };
        pairs.filter(|(_, path)| here(path)).map(|(name, path)| (path.into(), name.into())).collect()
    }
}

/// The packages that reroot sees in the root, as [`Rpm::packages`] has them.
fn read(inspected: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = inspected["packages"].as_array().unwrap().iter();
    let mut lines: Vec<_> = packages
        .map(|p| format!("{} {} {}", text(&p["name"]), text(&p["architecture"]), text(&p["version"])))
        .collect();
    lines.sort();
    lines
}

/// Installs packages and compares what is read of them with what rpm says. `None` where it cannot be.
fn compare(test: &str, backend: &'static str, file: &str) -> Option<(Builder, Rpm)> {
    let skipped = |reason: String| {
        skip(&format!("container::rpm::{test}"), reason);
        None
    };
    if let Some(reason) = missing_for_root(&["rpm", "rpmbuild", "python3"]) {
        return skipped(reason);
    }
    let builder = Builder::new();
    let rpm = Rpm { root: builder.path().join("root"), backend };
    if !rpm.has_backend() {
        return skipped(format!("this rpm has no databases of the kind {backend}"));
    }
    let packages = build(&builder.path().join("build"));
    assert_eq!(packages.len(), PACKAGES + 2);
    rpm.install(&packages);
    assert!(rpm.database().join(file).exists());

    let inspected = builder.json(&["inspect", "./root"]);
    assert_eq!(inspected["notRead"], Value::Array(vec![]));
    assert_eq!(read(&inspected), rpm.packages());
    let files = rpm.files();
    assert_eq!(files.len(), 5 + 3000 + PACKAGES - 6);
    for package in inspected["packages"].as_array().unwrap() {
        let own = files.values().filter(|name| package["name"] == **name).count();
        assert_eq!(package["files"].as_u64(), Some(own as u64), "{package}");
    }
    // The database itself, and nothing else.
    let database = fs::read_dir(rpm.database()).unwrap();
    let unowned: u64 = database.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(inspected["unownedBytes"].as_u64(), Some(unowned));

    let report =
        builder.run(&["rechunk", "./root", "-o", "oci:out:os", "--max-layers", "50", "--json"]).ok().json();
    let layers =
        report["layers"].as_array().unwrap().iter().flat_map(|layer| layer["parts"].as_array().unwrap());
    let parts: BTreeSet<_> = layers.map(|part| part.as_str().unwrap()).collect();
    assert!(parts.contains("p0"), "no architecture");
    let of_this_machine = |name: &str| format!("{name}:{}", std::env::consts::ARCH);
    assert!(["p1", "large", "base"].map(of_this_machine).iter().all(|part| parts.contains(part.as_str())));

    // The same packages without those that go now.
    run(command("cp").arg("-a").args([&rpm.root, &builder.path().join("older")]));
    run(rpm.command().args(["-e", "--nodeps", "large", "p10"]));
    let diff = builder.json(&["diff", "./older", "./root"]);
    let removed = diff["packages"]["removed"].as_array().unwrap().iter();
    assert_eq!(
        removed.map(|package| package["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["large", "p10"]
    );
    assert_eq!(diff["packages"]["added"], Value::Array(vec![]));
    Some((builder, rpm))
}

#[test]
fn what_rpm_wrote_is_read_as_rpm_reads_it() {
    let test = "what_rpm_wrote_is_read_as_rpm_reads_it";
    let Some((builder, rpm)) = compare(test, "sqlite", "rpmdb.sqlite") else { return };
    // Whoever is killed leaves what was committed in the log.
    let killed = "import os, sqlite3, sys\n\
                  database = sqlite3.connect(sys.argv[1])\n\
                  database.execute('pragma wal_autocheckpoint = 0')\n\
                  database.execute('delete from Packages where hnum % 2')\n\
                  database.commit()\n\
                  database.execute('delete from Packages')\n\
                  os._exit(0)\n";
    run(command("python3").args(["-c", killed]).arg(rpm.database().join("rpmdb.sqlite")));
    assert!(rpm.database().join("rpmdb.sqlite-wal").metadata().unwrap().len() > 0);
    let inspected = builder.json(&["inspect", "./root"]);
    assert!(read(&inspected).len() < PACKAGES * 2 / 3);
    // rpm puts it into the database, so it comes last.
    assert_eq!(read(&inspected), rpm.packages());
}

#[test]
fn so_is_what_rpm_of_suse_wrote() {
    compare("so_is_what_rpm_of_suse_wrote", "ndb", "Packages.db");
}
