//! `reroot container lint`: what unit tests of the lints do not see.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::builder::Builder;
use crate::support::image::{Image, Layer, Layout, bootable_layer};
use crate::support::reroot::Ran;
use crate::support::skip::skip;
use crate::support::tools::{command, run};

impl Builder {
    /// An unpacked root with a link and a log in it, and little else.
    fn root(&self) -> PathBuf {
        let root = self.path().join("root");
        for directory in
            ["dev", "proc", "sys", "run", "tmp", "sysroot", "boot", "etc", "var/log", "usr/lib/tmpfiles.d"]
        {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("var/log/dpkg.log"), "text").unwrap();
        fs::write(root.join("usr/lib/tmpfiles.d/var.conf"), "d /var/log\n").unwrap();
        fs::create_dir_all(root.join("usr/lib/sysimage/dpkg")).unwrap();
        fs::write(root.join("usr/lib/sysimage/dpkg/status"), "Package: dash\nVersion: 1\n").unwrap();
        symlink("var/home", root.join("home")).unwrap();
        root
    }

    /// No sysroot is needed.
    fn lint(&self, arguments: &[&str]) -> Ran {
        let mut command = self.reroot.command(["container", "lint"]);
        command.args(arguments).current_dir(self.path()).env_remove("SOURCE_DATE_EPOCH");
        command.env("XDG_CACHE_HOME", self.path().join("cache"));
        Ran::of(&command.output().unwrap())
    }
}

#[test]
fn a_directory_needs_a_dot_and_a_slash() {
    let builder = Builder::new();
    std::fs::create_dir(builder.path().join("root")).unwrap();
    let ran = builder.run(&["lint", "root"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("the directory is `./root`"), "{ran:?}");
}

#[test]
fn a_directory_is_looked_at_without_a_store() {
    let builder = Builder::new();
    builder.root();
    let ran = builder.lint(&["--rootfs", "root"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    assert!(ran.stdout.starts_with(
        "error kernel: there is no directory /usr/lib/modules; install a kernel in the image\n"
    ));
    assert!(
        ran.stdout.contains("\nwarning var-log: /var/log/dpkg.log: it has 4 bytes\n  fix: rm -rf /var/log/*"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("\nroot: 24 passed, 3 skipped, 2 errors, 1 warning\n"), "{}", ran.stdout);
    assert!(!builder.path().join("cache").exists());
    assert_eq!(builder.lint(&["./root"]).stdout.replace("./root", "root"), ran.stdout);

    let ran = builder.lint(&["--rootfs", "root", "--skip", "kernel", "--skip", "units"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let ran = builder.lint(&["--rootfs", "root", "--skip", "kernel", "--skip", "units", "--fatal-warnings"]);
    assert_eq!(ran.code, Some(1));
}

#[test]
fn the_image_says_what_it_is_allowed_and_a_file_goes_before_it() {
    let builder = Builder::new();
    let root = builder.root();
    fs::create_dir_all(root.join("usr/lib/reroot")).unwrap();
    let settings = "skip = [\"kernel\", \"units\"]\nfatal-warnings = true\n[[allow]]\nlint = \"var-log\"\npath = \"/var/log/dpkg.log\"\nreason = \"small\"\n";
    fs::write(root.join("usr/lib/reroot/lint.toml"), settings).unwrap();
    let ran = builder.lint(&["--rootfs", "root"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "root: 25 passed, 5 skipped, 0 errors, 0 warnings (1 allowed)\n")
    );

    fs::write(builder.path().join("mine.toml"), "skip = [\"kernel\"]\n").unwrap();
    let ran = builder.lint(&["--rootfs", "root", "--config", "mine.toml"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.ends_with("1 error, 1 warning\n"), "{}", ran.stdout);

    fs::write(builder.path().join("mine.toml"), "\nskpi = [\"kernel\"]\n").unwrap();
    let ran = builder.lint(&["--rootfs", "root", "--config", "mine.toml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("mine.toml:2: unknown field `skpi`"), "{}", ran.stderr);
    let ran = builder.lint(&["--rootfs", "root", "--skip", "knerel"]);
    assert!(ran.stderr.contains("there is no lint `knerel`"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(2));
}

#[test]
fn every_format_has_the_same_findings() {
    let builder = Builder::new();
    let root = builder.root();
    fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let json = builder.lint(&["--rootfs", "root", "--format", "json"]).json();
    let counted = |of: &str| {
        let lints = json["lints"].as_array().unwrap();
        lints
            .iter()
            .filter(|lint| lint["level"] == of)
            .filter_map(|lint| lint["findings"].as_array())
            .map(Vec::len)
            .sum::<usize>()
    };
    assert_eq!(
        (json["errors"].as_u64(), json["warnings"].as_u64()),
        (Some(counted("error") as u64), Some(counted("warning") as u64))
    );
    assert_eq!((counted("error"), counted("warning")), (3, 1));

    let github = builder.lint(&["--rootfs", "root", "--format", "github"]).stdout;
    assert_eq!(github.lines().filter(|line| line.starts_with("::error title=reroot lint ")).count(), 3);
    assert_eq!(github.lines().count(), 4);

    let sarif = builder.lint(&["--rootfs", "root", "--format", "sarif"]);
    assert_eq!(sarif.code, Some(1));
    assert_eq!(sarif.json()["runs"][0]["results"].as_array().unwrap().len(), 4);
    if !command("/usr/bin/python3")
        .args(["-c", "import jsonschema"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        return skip(
            "container::lint::every_format_has_the_same_findings (the SARIF schema)",
            "not installed: python3-jsonschema",
        );
    }
    // As OASIS publishes it (sarif-spec, sarif-2.1/schema), without its descriptions.
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/container/sarif-2.1.0.schema.json");
    let report = builder.path().join("report.sarif");
    fs::write(&report, &sarif.stdout).unwrap();
    let validate = "import json, jsonschema, sys\n\
         schema, report = [json.load(open(path)) for path in sys.argv[1:]]\n\
         jsonschema.Draft7Validator.check_schema(schema)\n\
         jsonschema.Draft7Validator(schema).validate(report)\n\
         report['runs'][0]['results'][0]['level'] = 'fatal'\n\
         assert not jsonschema.Draft7Validator(schema).is_valid(report)";
    run(command("/usr/bin/python3").args(["-c", validate]).arg(schema).arg(&report));
}

#[test]
fn images_and_deployments_are_looked_at_with_their_layers() {
    let builder = Builder::new();
    let noise = vec![7u8; 3 << 20];
    let image = Image::new()
        .layer(bootable_layer().file("opt/large", noise))
        .layer(Layer::new().whiteout("opt/large"));
    Layout::new(builder.path().join("image")).tag("os", &image);
    let ran = builder.lint(&["oci:image:os", "--quiet"]);
    assert!(
        ran.stdout.contains("warning layers: /opt/large: 3145728 bytes of layer 1 are deleted or replaced"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("oci:image:os: "), "{ran:?}");
    assert!(builder.path().join("cache/reroot/store/reroot/repo").is_dir());
    // What it is built on is already in the store.
    let ran = builder.lint(&["oci:image:os", "--base", "oci:image:os"]);
    assert!(ran.stderr.contains("resolving") && !ran.stderr.contains("fetching"), "{ran:?}");

    let ran = builder.lint(&["1"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("sysroot"), "{ran:?}");
    fs::create_dir_all(&builder.reroot.sysroot).unwrap();
    builder.reroot.run(["init"]).ok();
    builder.reroot.run(["deploy", "--quiet", &format!("oci:{}/image:os", builder.path().display())]).ok();
    let ran = builder.lint(&["1", "--format", "json"]);
    assert_eq!(ran.json()["name"], "deployment 1", "{ran:?}");
}

#[test]
fn what_a_pull_refuses_is_refused_in_the_same_words() {
    let builder = Builder::new();
    fs::create_dir_all(&builder.reroot.sysroot).unwrap();
    builder.reroot.run(["init"]).ok();
    Layout::new(builder.path().join("image"))
        .tag("os", &Image::new().layer(Layer::new().file("../outside", "x")));
    let name = format!("oci:{}/image:os", builder.path().display());
    let pulled = builder.reroot.run(["image", "pull", "--quiet", &name]);
    let linted = builder.lint(&[&name, "--quiet"]);
    assert_eq!((linted.code, linted.stderr), (pulled.code, pulled.stderr));
    assert_ne!(linted.code, Some(0));
}

#[test]
fn the_list_is_for_people_and_programs() {
    let builder = Builder::new();
    let listed = builder.lint(&["--list"]).ok().stdout;
    let json: Value = builder.lint(&["--list", "--format", "json"]).ok().json();
    assert_eq!(listed.lines().count(), json.as_array().unwrap().len() + 1);
    assert!(listed.lines().nth(2).unwrap().starts_with("kernel "), "{listed}");
}
