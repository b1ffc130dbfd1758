//! Directories that a machine must find.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::names::ImagePath;
use crate::ops::Result;
use crate::repo::Node;

pub const API: Lint = Lint {
    id: "api-directories",
    level: Level::Error,
    needs: Needs::Root,
    about: "`/dev`, `/proc`, `/sys`, `/run`, `/tmp` and `/var` are directories",
    why: "Something is mounted on each of them early at boot. The root is read-only by then: nobody can make them any more.",
    fix: "mkdir the directory, in place of whatever is there",
    check: api,
};

fn api(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    wanted(subject, findings, &["dev", "proc", "sys", "run", "tmp", "var"]);
    Ok(())
}

pub const MOUNT_POINTS: Lint = Lint {
    id: "mount-points",
    level: Level::Error,
    needs: Needs::Root,
    about: "`/sysroot` and `/boot` are directories, and `/efi` where the image has systemd-boot",
    why: "The initramfs mounts the physical root on /sysroot and fails without it; boot entries are written to what is mounted \
          on /boot or /efi.",
    fix: "mkdir the directory, in place of whatever is there",
    check: mount_points,
};

fn mount_points(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    wanted(subject, findings, &["sysroot", "boot"]);
    if subject.root.follow("usr/lib/systemd/boot/efi").is_some() {
        wanted(subject, findings, &["efi"]);
    }
    Ok(())
}

fn wanted(subject: &Subject<'_>, findings: &mut Findings, directories: &[&str]) {
    for path in directories.iter().filter_map(|path| ImagePath::new(path.as_bytes()).ok()) {
        match subject.root.tree.get(&path).map(|entry| &entry.node) {
            Some(Node::Directory) => {}
            Some(_) => findings.at(&path, "it is not a directory"),
            None => findings.at(&path, "it is missing"),
        }
    }
}

pub const VAR_RUN: Lint = Lint {
    id: "var-run",
    level: Level::Error,
    needs: Needs::Root,
    about: "`/var/run` is a link to `/run`",
    why: "/var is kept over boots. What programs write to a /var/run of its own is still there after a reboot, and they take it \
          for that of something running.",
    fix: "ln -sfT ../run /var/run",
    check: var_run,
};

fn var_run(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    if let Some(entry) = subject.root.get("var/run")
        && !matches!(&entry.node, Node::Symlink { target } if [&b"/run"[..], b"../run"].contains(&&**target))
    {
        findings.at(&entry.path, "it is not a link to /run");
    }
    Ok(())
}

pub const WRITABLE: Lint = Lint {
    id: "writable-directories",
    level: Level::Warning,
    needs: Needs::Root,
    about: "`/home`, `/root`, `/srv` and `/mnt` are links into `/var`, when they are there",
    why: "The root of a deployment is read-only: nobody could log in, or install something there. What the image has there is \
          not kept over an upgrade as /var is.",
    fix: "Make it a link into /var (`ln -s var/home /home`), and the directory by tmpfiles.d; move what packages put there to \
          /usr/lib",
    check: writable,
};

fn writable(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for path in ["home", "root", "srv", "mnt"] {
        let Some(entry) = subject.root.get(path) else { continue };
        match &entry.node {
            Node::Symlink { target } if target.strip_prefix(b"/").unwrap_or(target).starts_with(b"var/") => {}
            Node::Symlink { .. } => findings.at(&entry.path, "it does not lead into /var"),
            _ => findings.at(&entry.path, "it is a part of the read-only root"),
        }
    }
    Ok(())
}
