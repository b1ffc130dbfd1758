//! A bundle of the OCI runtime specification (runtime-spec 1.0, bundle.md and config.md): `crun run --bundle DIR NAME`.
//!
//! The root is read-only as on a machine, and what a machine mounts in memory is so here: `/run`, `/tmp` and `/var/tmp`. Root makes a
//! container with the rights that podman gives one; for everybody else it has a user namespace with this user as its root.

use std::path::Path;

use serde_json::{Value, json};

use super::ExportOptions;
use crate::container::Opened;
use crate::fsx;
use crate::ops::image::{CheckoutOptions, checkout};
use crate::ops::{Context, Error, Result};
use crate::repo::Files;

const VERSION: &str = "1.0.2";
const ROOT: &str = "rootfs";
/// What podman gives a container (its containers.conf(5), `default_capabilities`).
const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Makes it. The files of an image are copied from the store; a directory stays where it is.
pub(super) fn write(
    opened: &Opened<'_>,
    path: &Path,
    options: &ExportOptions,
    context: &Context<'_>,
) -> Result<()> {
    let shown = path.display();
    let failed = || Error::io(format!("making the bundle {shown}"));
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::invalid(format!("{shown} is no name of a directory")))?;
    let parent = fsx::open_dir(parent).map_err(failed())?;
    let bundle = fsx::ensure_dir(&parent, name, 0o755).map_err(failed())?;
    if !fsx::list_dir(&bundle).map_err(failed())?.is_empty() {
        return Err(Error::invalid(format!("{shown} is not empty")));
    }
    let root = match &opened.image {
        Some(image) => {
            let copies = CheckoutOptions { files: Files::Copy, ..CheckoutOptions::default() };
            let digest = image.record.manifest_digest.to_string();
            checkout(image.store, &digest, &path.join(ROOT), &copies, context)?;
            ROOT.to_owned()
        }
        None => std::path::absolute(&opened.name).map_err(failed())?.display().to_string(),
    };
    let config = config(opened, &root, &options.command, context.env.privileged)?;
    let text = serde_json::to_string_pretty(&config).map_err(|e| Error::bug(e.to_string()))?;
    fsx::write_atomic(&bundle, "config.json", text.as_bytes(), 0o644).map_err(failed())
}

fn config(opened: &Opened<'_>, root: &str, command: &[String], privileged: bool) -> Result<Value> {
    let of_image = opened.image.as_ref().map(|image| image.raw_config()).transpose()?.unwrap_or_default();
    let strings = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(String::from)).collect()
    };
    let of_image = &of_image["config"];
    let mut arguments = command.to_vec();
    if arguments.is_empty() {
        arguments = [strings(&of_image["Entrypoint"]), strings(&of_image["Cmd"])].concat();
    }
    if arguments.is_empty() {
        arguments = vec!["/bin/sh".into()];
    }
    let mut environment = strings(&of_image["Env"]);
    if !environment.iter().any(|variable| variable.starts_with("PATH=")) {
        environment.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    }
    let directory =
        of_image["WorkingDir"].as_str().filter(|directory| directory.starts_with('/')).unwrap_or("/");
    let mut namespaces: Vec<_> =
        ["pid", "ipc", "uts", "mount", "network", "cgroup"].map(|kind| json!({"type": kind})).into();
    let mut linux = json!({
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if privileged {
        linux["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    } else {
        namespaces.push(json!({"type": "user"}));
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        linux["uidMappings"] = map(rustix::process::getuid().as_raw());
        linux["gidMappings"] = map(rustix::process::getgid().as_raw());
    }
    linux["namespaces"] = json!(namespaces);
    let capabilities = json!(CAPABILITIES);
    Ok(json!({
        "ociVersion": VERSION,
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": environment,
            "cwd": directory,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true,
        },
        "root": {"path": root, "readonly": true},
        "hostname": "reroot",
        "mounts": mounts(opened, privileged),
        "linux": linux,
    }))
}

fn mounts(opened: &Opened<'_>, privileged: bool) -> Vec<Value> {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    // A group that a user namespace with one user in it does not have.
    let pts: &[&str] = if privileged {
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    } else {
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    };
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", pts),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    mounts.push(match privileged {
        true => mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        // Only who owns the network may mount one of its own.
        false => json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]}),
    });
    for path in ["run", "tmp", "var/tmp"] {
        if opened.root.get(path).is_some_and(|entry| entry.node.is_directory()) {
            mounts.push(mount(&format!("/{path}"), "tmpfs", &["nosuid", "nodev", "mode=1777"]));
        }
    }
    mounts
}
