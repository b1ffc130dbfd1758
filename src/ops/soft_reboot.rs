//! Going over to another deployment without a new kernel: `systemctl soft-reboot` restarts all of userspace in the root
//! that is mounted at `/run/nextroot` (systemd-soft-reboot.service(8), systemd 254).
//!
//! ```text
//! capability()   may this deployment be gone over to: the same kernel, initramfs and kernel arguments
//! prepare()      mounts it at /run/nextroot as the initramfs would, and leaves /run/reroot/nextroot.json
//! run()          systemctl soft-reboot
//! settle()       afterwards: nextroot.json becomes booted.json
//! cancel()       takes prepare() back
//! ```
//!
//! From the moment on that `/` is the new root, `nextroot.json` says what is booted, whether it is settled or not
//! ([`crate::sysroot::running`]).

use std::path::Path;
use std::process::{Command, Stdio};

use super::boot::Kernels;
use super::history::note;
use super::{Context, Error, Result, ResultExt, program};
use crate::boot::cmdline::{KernelArg, KernelArgs};
use crate::env::Env;
use crate::fsx::{self, Dir};
use crate::initramfs::choose::Target;
use crate::initramfs::nextroot::{self, Next};
use crate::initramfs::{BOOTED, Booted};
use crate::sysroot::{
    BootedRecord, Deployment, DeploymentKey, EventKind, HistoryEvent, LockedSysroot, Observed, Sysroot,
    layout, parse_state, running,
};

const NEXTROOT: &str = "run/nextroot";
/// Any systemd that can do it has it.
const UNITS: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];
const UNIT: &str = "systemd-soft-reboot.service";
const SELINUX: &str = "sys/fs/selinux/enforce";
/// No kernel takes a longer command line.
const CMDLINE_LIMIT: u64 = 64 << 10;
/// Names the deployment. What an entry on trial says about failures is no part of what is compared.
const DEPLOYMENT: &str = "reroot";

/// Whether a deployment can be gone over to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoftReboot {
    Capable,
    /// In words: `it has another kernel`.
    NotCapable(String),
}

/// Says whether a soft reboot from what is booted to `target` gives the same as booting it.
pub fn capability(sysroot: &Sysroot, target: &Deployment, env: &Env) -> Result<SoftReboot> {
    let not = |reason: &str| Ok(SoftReboot::NotCapable(reason.into()));
    let observed = sysroot.observe()?;
    let Some(booted) = booted(&observed) else {
        return not("the running system was not booted from a deployment of this sysroot");
    };
    if target.is(&booted.key()) {
        return not("it is running already");
    }
    if !target.record.finalized {
        return not("it is not finalized");
    }
    if !UNITS.iter().any(|directory| exists(env, &format!("{directory}/{UNIT}"))) {
        return not("the running systemd knows no soft reboot (254 is the first that does)");
    }
    // It is loaded once, by a process 1 that is there to stay.
    if exists(env, SELINUX) {
        return not("SELinux is active, and its policy may be another one");
    }
    let mut kernels = Kernels::new(sysroot);
    if kernels.facts(booted)?.digest != kernels.facts(target)?.digest {
        return not("it has another kernel or initramfs");
    }
    let mut arguments = |deployment| -> Result<KernelArgs> {
        let line = kernels.wanted(deployment, false)?.options;
        Ok(compared(
            line.parse()
                .map_err(|error: crate::boot::cmdline::ParseError| Error::invalid(error.to_string()))?,
        ))
    };
    let (old, new) = (arguments(booted)?, arguments(target)?);
    Ok(match differ(&old, &new, &running_arguments(env)?) {
        None => SoftReboot::Capable,
        Some(reason) => SoftReboot::NotCapable(reason),
    })
}

/// Mounts a deployment for the next soft reboot, in place of one that was prepared before. Nothing may be staged: a soft
/// reboot finalizes nothing.
pub fn prepare(locked: &LockedSysroot<'_>, key: &DeploymentKey, context: &Context<'_>) -> Result<()> {
    let sysroot = locked.sysroot();
    let (env, run) = (context.env, run(sysroot)?);
    super::check_own_mounts()?;
    // The one before may not be settled: its record must not be overwritten.
    settle(locked, context)?;
    cancel(sysroot, context)?;
    let place = env.config_root.join(NEXTROOT);
    let failed = |error: crate::initramfs::Error| {
        Error::incompatible(format!("mounting {key} for a soft reboot: {error}"))
    };
    if nextroot::is_mounted(&place).map_err(failed)? {
        return Err(Error::incompatible(format!(
            "something that is not reroot's is mounted at /{NEXTROOT}; unmount it first"
        )));
    }
    let target: Target =
        layout::deployment_path(key).parse().map_err(|problem| Error::bug(format!("{key} {problem}")))?;
    let booted = booted_record(run)?;
    let next = Next {
        target: &target,
        settings: booted.settings(),
        arguments: &running_arguments(env)?,
        sysroot: &env.config_root.join(layout::BOOTED_SYSROOT),
        run,
        run_path: &env.config_root.join(layout::RUN),
        place: &place,
    };
    next.prepare(|record| record.write(run, layout::NEXTROOT)).map_err(failed)
}

/// Takes back what [`prepare`] did; true when there was anything. Whoever makes something else the next to boot does this
/// first: `systemctl reboot` becomes a soft reboot while something is mounted at `/run/nextroot` (systemd 256).
pub fn cancel(sysroot: &Sysroot, context: &Context<'_>) -> Result<bool> {
    let Ok(run) = run(sysroot) else { return Ok(false) };
    let running = running::Running::look(run).map_err(Error::io("looking at what is booted"))?;
    if running != running::Running::Booted || !exists_in(run, layout::NEXTROOT)? {
        return Ok(false);
    }
    let place = context.env.config_root.join(NEXTROOT);
    let context = || format!("taking back what was prepared at /{NEXTROOT}");
    let failed = |error: crate::initramfs::Error| Error::incompatible(format!("{}: {error}", context()));
    while nextroot::is_mounted(&place).map_err(failed)? {
        super::check_own_mounts()?;
        nextroot::unmount(&place).map_err(failed)?;
    }
    fsx::remove_file(run, layout::NEXTROOT).map_err(Error::io(context()))
}

/// After a soft reboot, makes the record of what runs the one that everybody knows; true when there was one. Nothing of
/// reroot needs it, but others read `booted.json`, and the history tells of it.
pub fn settle(locked: &LockedSysroot<'_>, context: &Context<'_>) -> Result<bool> {
    let Ok(run) = run(locked.sysroot()) else { return Ok(false) };
    let settled =
        running::settle(run).map_err(Error::io(format!("renaming /{}/{}", layout::RUN, layout::NEXTROOT)))?;
    if settled && let Some(booted) = booted(&locked.observe()?) {
        let event = HistoryEvent::new(context.env, EventKind::SoftRebooted, &booted.key());
        note(locked, &event.with_image(&booted.record.image), context.reporter);
    }
    Ok(settled)
}

/// Starts it; systemd stops everything from here on.
pub fn run_soft_reboot() -> Result<()> {
    let mut command = Command::new("systemctl");
    command.arg("soft-reboot").stdin(Stdio::null());
    program::run(command).context(|| "going over by a soft reboot")
}

/// `/run/reroot` of the running system.
fn run(sysroot: &Sysroot) -> Result<&Dir> {
    sysroot.run().ok_or_else(|| {
        Error::incompatible("the running system was not booted from a deployment of this sysroot")
    })
}

fn booted(observed: &Observed) -> Option<&Deployment> {
    observed.deployment(observed.booted.as_ref()?)
}

/// All that the initramfs, or a soft reboot before, has left.
fn booted_record(run: &Dir) -> Result<Booted> {
    let file = format!("/{}/{BOOTED}", layout::RUN);
    let bytes =
        fsx::read_limited(run, BOOTED, layout::STATE_LIMIT).map_err(Error::io(format!("reading {file}")))?;
    let bytes = bytes.ok_or_else(|| Error::not_found(format!("{file} does not exist")))?;
    // The version first.
    parse_state::<BootedRecord>(&bytes, &file)?;
    Ok(parse_state(&bytes, &file)?)
}

/// The kernel's command line.
fn running_arguments(env: &Env) -> Result<KernelArgs> {
    let read = || fsx::read_limited(&fsx::open_dir(&env.config_root.join("proc"))?, "cmdline", CMDLINE_LIMIT);
    let bytes = read().map_err(Error::io("reading /proc/cmdline"))?;
    Ok(KernelArgs::of_running_kernel(&bytes.unwrap_or_default()))
}

/// Without what may differ.
fn compared(mut arguments: KernelArgs) -> KernelArgs {
    arguments.delete_key(DEPLOYMENT);
    arguments
}

/// What keeps a kernel that was booted with `old` from being one that was booted with `new`; `running` is what it was
/// really given: a person may have changed that in the menu.
fn differ(old: &KernelArgs, new: &KernelArgs, running: &KernelArgs) -> Option<String> {
    let lacks =
        |of: &KernelArgs, in_: &KernelArgs| of.iter().find(|a| !in_.contains(a)).map(KernelArg::to_string);
    if let Some(argument) = lacks(new, old) {
        return Some(format!("it has the kernel argument `{argument}`, and what is booted has not"));
    }
    if let Some(argument) = lacks(old, new) {
        return Some(format!("it lacks the kernel argument `{argument}` of what is booted"));
    }
    if old != new {
        return Some("it has the kernel arguments of what is booted in another order".into());
    }
    let argument = lacks(new, running)?;
    Some(format!("the running kernel was not given the argument `{argument}`"))
}

fn exists(env: &Env, path: &str) -> bool {
    let path: &Path = path.as_ref();
    rustix::fs::access(env.config_root.join(path), rustix::fs::Access::EXISTS).is_ok()
}

fn exists_in(dir: &Dir, name: &str) -> Result<bool> {
    let read = fsx::read_limited(dir, name, layout::STATE_LIMIT);
    Ok(read.map_err(Error::io(format!("reading /{}/{name}", layout::RUN)))?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_kernel_arguments_do() {
        let differ = |old: &str, new: &str, running: &str| {
            let parse = |text: &str| compared(text.parse().unwrap());
            differ(&parse(old), &parse(new), &KernelArgs::of_running_kernel(running.as_bytes()))
        };
        let running =
            "BOOT_IMAGE=/vmlinuz root=UUID=1 quiet panic=10 rd.shell=0 reroot=/reroot/deploy/os/deploy/1\n";
        let old = "root=UUID=1 quiet reroot=/reroot/deploy/os/deploy/1";
        for (new, reason) in [
            ("root=UUID=1 quiet reroot=/reroot/deploy/os/deploy/2", None),
            (
                "root=UUID=1 quiet panic=5",
                Some("it has the kernel argument `panic=5`, and what is booted has not"),
            ),
            ("root=UUID=1", Some("it lacks the kernel argument `quiet` of what is booted")),
            ("quiet root=UUID=1", Some("it has the kernel arguments of what is booted in another order")),
        ] {
            assert_eq!(differ(old, new, running).as_deref(), reason, "{new}");
        }
        let edited = "root=UUID=1 single reroot=/reroot/deploy/os/deploy/1";
        let reason = "the running kernel was not given the argument `quiet`";
        assert_eq!(differ(old, old, edited).as_deref(), Some(reason));
    }
}
