//! What builds leave behind.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::{Node, TreeEntry};

pub const BOOT: Lint = Lint {
    id: "boot",
    level: Level::Warning,
    needs: Needs::Root,
    about: "`/boot` is empty",
    why: "reroot fills /boot on the machine, from /usr/lib/modules. What the image has there is hidden by what is mounted, and \
          is fetched all the same.",
    fix: "Move kernels to `/usr/lib/modules/<version>`, and `rm -rf /boot/*` in the same RUN",
    check: boot,
};

fn boot(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in subject.root.children("boot") {
        // Unified kernel images (UAPI.5): their kernel is no other than that of the image.
        let is_unified = |entry: &TreeEntry| {
            entry.node.is_directory()
                || entry.path.as_bytes().starts_with(b"boot/EFI/Linux/")
                    && entry.path.file_name().ends_with(b".efi")
        };
        if !subject.root.tree.below(&entry.path).iter().chain([entry]).all(is_unified) {
            findings.at(&entry.path, "nobody will see it");
        }
    }
    Ok(())
}

pub const RUN_TMP: Lint = Lint {
    id: "run-tmp",
    level: Level::Warning,
    needs: Needs::Root,
    about: "there are no files in `/run`, `/tmp` and `/var/tmp`",
    why: "/run and /tmp are in memory on a machine: what the image has there is hidden, and fetched all the same.",
    fix: "rm -rf /run/* /tmp/* /var/tmp/* in the RUN that made it, or mount it (`--mount=type=tmpfs`)",
    check: run_tmp,
};

fn run_tmp(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for directory in ["run", "tmp", "var/tmp"] {
        for entry in subject.root.children(directory) {
            // Builders make directories for what they mount there, and take them away afterwards.
            let below = subject.root.tree.below(&entry.path).iter();
            if below.chain([entry]).any(|entry| !entry.node.is_directory()) {
                findings.at(&entry.path, "nobody will see it");
            }
        }
    }
    Ok(())
}

pub const BUILDER: Lint = Lint {
    id: "builder-files",
    level: Level::Warning,
    needs: Needs::Root,
    about: "files that a builder mounts for the time of a build are not left empty",
    why: "buildah and docker mount /etc/hostname, /etc/hosts and /etc/resolv.conf. What they leave in the image is an empty file: \
          a machine would have no names, and no name.",
    fix: "COPY the file from another stage: it cannot be written in a RUN, where it is a mount",
    check: builder,
};

fn builder(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for path in ["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab"] {
        if let Some(entry) = subject.root.get(path)
            && entry.node == Node::Empty
        {
            findings.at(&entry.path, "it is empty");
        }
    }
    if let Some(entry) = subject.root.get(".dockerenv") {
        findings.at(&entry.path, "programs would take the machine for a container");
    }
    Ok(())
}

pub const CACHES: Lint = Lint {
    id: "caches",
    level: Level::Warning,
    needs: Needs::Root,
    about: "caches of package managers are empty",
    why: "Nobody installs packages on the machine. They make the image larger, and change with every build.",
    fix: "Empty it in the RUN that fills it, or mount it (`--mount=type=cache`)",
    check: caches,
};

/// Directories whose files are fetched or made again whenever somebody needs them.
const CACHES_OF: [&str; 8] = [
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/dnf",
    "var/cache/libdnf5",
    "var/cache/yum",
    "var/cache/zypp",
    "var/cache/apk",
    "var/cache/pacman",
];

fn caches(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for directory in CACHES_OF {
        let sizes = subject.root.below(directory).iter().filter_map(|entry| match entry.node {
            Node::File { size, .. } => Some(size),
            _ => None,
        });
        let bytes = sizes.fold(0, u64::saturating_add);
        if bytes > 0
            && let Some(entry) = subject.root.follow(directory)
        {
            findings.at(&entry.path, format!("it has {bytes} bytes"));
        }
    }
    Ok(())
}
