//! A writable `/usr` until the next boot: an overlay on that of the running system.
//!
//! What is written is below `/var/tmp`, on disk and not in RAM, and removed at the next boot by systemd-tmpfiles
//! (`tmpfiles.d/reroot-usr-overlay.conf`). Until then a file of the same name in `/run/tmpfiles.d` keeps it: a soft reboot
//! without another root runs systemd-tmpfiles as well, and `/usr` stays mounted.
//! The deployment itself is not touched. `/run/reroot/usr-overlay.json` says that it is there:
//!
//! ```json
//! {"version": 1, "time": 1767322800, "directory": "/var/tmp/reroot-usr-overlay-…", "device": 57}
//! ```

use std::io;

use rustix::fs::{AtFlags, Mode, StatVfsMountFlags};
use serde::{Deserialize, Serialize};

use super::history::note;
use super::{Context, Error, Result};
use crate::fsx::{self, Dir, OverlayPaths};
use crate::sysroot::{EventKind, HistoryEvent, Sysroot, layout, parse_state, print_state};

const RECORD: &str = "usr-overlay.json";
/// The beginning of the names in `/var/tmp`; tmpfiles.d/reroot-usr-overlay.conf has it too.
const PREFIX: &str = "reroot-usr-overlay-";
/// Counts in place of the one in `/usr/lib/tmpfiles.d`.
const TMPFILES: &str = "reroot-usr-overlay.conf";
/// SELinux decides by the upper directory's label.
const LABEL: &str = "security.selinux";

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    time: u64,
    directory: String,
    /// `st_dev` of the overlay, by which it is known: it does not outlast a soft reboot, and `/run` does.
    device: u64,
}

/// The overlay that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsrOverlay {
    /// Where what is written is kept until the next boot.
    pub directory: String,
}

/// Whether `/usr` of the running system is such an overlay. False for another sysroot.
pub fn is_active(sysroot: &Sysroot) -> Result<bool> {
    let Some(run) = sysroot.run() else { return Ok(false) };
    let file = format!("/{}/{RECORD}", layout::RUN);
    let bytes =
        fsx::read_limited(run, RECORD, layout::STATE_LIMIT).map_err(Error::io(format!("reading {file}")))?;
    let Some(bytes) = bytes else { return Ok(false) };
    let record: Record = parse_state(&bytes, &file)?;
    // From /run/reroot, so that it is the /usr of the same system.
    let usr = rustix::fs::statat(run, "../../usr", AtFlags::empty());
    let usr = usr.map_err(io::Error::from).map_err(Error::io("looking at /usr"))?;
    Ok(usr.st_dev == record.device)
}

/// Makes `/usr` of the running system writable.
pub fn usr_overlay(sysroot: &Sysroot, context: &Context<'_>) -> Result<UsrOverlay> {
    let env = context.env;
    let (Some(run), Some(booted)) = (sysroot.run(), sysroot.observe()?.booted) else {
        return Err(Error::incompatible(
            "the running system was not booted from a deployment of this sysroot",
        ));
    };
    if !env.privileged {
        return Err(Error::incompatible("mounting needs root"));
    }
    if is_active(sysroot)? {
        return Err(Error::invalid("/usr can be written already, until the next boot"));
    }
    super::check_own_mounts()?;
    let locked = sysroot.lock(context.wait)?;
    let usr_path = env.config_root.join("usr");
    let usr = fsx::open_dir(&usr_path).map_err(Error::io("opening /usr"))?;
    let flags = rustix::fs::fstatvfs(&usr).map_err(io::Error::from).map_err(Error::io("looking at /usr"))?;
    if !flags.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::invalid("/usr can be written already: this system does not keep it read-only"));
    }

    // A second one in the same boot, after the first was unmounted or left behind by a soft reboot, has another name.
    let name = format!("{PREFIX}{}-{}", env.unix_time(), rustix::process::getpid().as_raw_nonzero());
    let path = env.config_root.join("var/tmp");
    let directory = format!("/var/tmp/{name}");
    let mount = || -> io::Result<Dir> {
        let place = make_place(&fsx::open_dir(&path)?, &name, &usr)?;
        let inside = path.join(&name);
        let paths =
            OverlayPaths { lower: &usr_path, upper: &inside.join("upper"), work: &inside.join("work") };
        let overlay = fsx::overlay_detached(paths)?;
        drop(place);
        Ok(overlay)
    };
    let keep = || -> io::Result<()> {
        let tmpfiles = fsx::ensure_dir(&fsx::open_dir(&env.config_root.join("run"))?, "tmpfiles.d", 0o755)?;
        // Nor does age make anything go.
        let text = format!("# Made by reroot usr-overlay.\nx /var/tmp/{PREFIX}*\n");
        fsx::write_atomic(&tmpfiles, TMPFILES, text.as_bytes(), 0o644)
    };
    keep().map_err(Error::io(format!("writing /run/tmpfiles.d/{TMPFILES}")))?;
    let overlay = mount().map_err(Error::io(format!("making an overlay in {directory}")))?;
    let attach = || -> io::Result<()> {
        let record = Record {
            version: 1,
            time: env.unix_time(),
            directory: directory.clone(),
            device: rustix::fs::fstat(&overlay)?.st_dev,
        };
        fsx::write_atomic(run, RECORD, &print_state(&record), 0o644)?;
        fsx::attach(&overlay, &usr)
    };
    attach().map_err(Error::io("mounting an overlay on /usr"))?;
    let event = HistoryEvent::new(env, EventKind::UsrOverlay, &booted);
    note(&locked, &event, context.reporter);
    Ok(UsrOverlay { directory })
}

/// The upper and the work directory, in a place that nobody else may enter. The upper one is as `usr` is.
fn make_place(parent: &Dir, name: &str, usr: &Dir) -> io::Result<Dir> {
    // Not one that somebody else has made: everybody may write to /var/tmp.
    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    let place = fsx::open_subdir(parent, name)?;
    let upper = fsx::ensure_dir(&place, "upper", 0o755)?;
    let stat = rustix::fs::fstat(usr)?;
    fsx::set_owner_and_mode(fsx::reopen(&upper)?, stat.st_uid, stat.st_gid, (stat.st_mode & 0o7777) as u16)?;
    if let Some(label) = fsx::xattr::read(fsx::reopen(usr)?, LABEL)? {
        fsx::xattr::set(fsx::reopen(&upper)?, LABEL.as_bytes(), &label)?;
    }
    fsx::ensure_dir(&place, "work", 0o700)?;
    Ok(place)
}
