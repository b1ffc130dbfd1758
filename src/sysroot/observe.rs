//! Reading the whole state of a sysroot once.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::etc_merge::EtcStrategy;
use super::layout::{self, Name};
use super::record::parse_state;
use super::running::Running;
use super::{
    BootedRecord, Counters, Deployment, DeploymentId, DeploymentKey, DeploymentRecord, Error, Origin, Result,
    StagedRecord, Stateroot, Sysroot,
};
use crate::fsx::{self, Dir, FileType};
use crate::names::{StaterootName, printable};

/// Everything that decisions are made on. Plain data: tests make their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The complete deployments of all stateroots in boot order: what boots first is first, and those that are not
    /// finalized are where they would be.
    pub deployments: Vec<Deployment>,
    pub stateroots: Vec<StaterootName>,
    pub booted: Option<DeploymentKey>,
    /// Whether the booted system forgets its changes of `/etc`.
    pub transient_etc: bool,
    /// Waits for its finalization.
    pub staged: Option<DeploymentKey>,
    /// Whether it waits until it is unlocked as well.
    pub staged_is_locked: bool,
    /// How its `/etc` will be merged.
    pub etc_strategy: EtcStrategy,
    /// What a soft reboot would go over to.
    pub prepared: Option<DeploymentKey>,
    /// The next numbers; already beyond everything that was seen.
    pub counters: Counters,
    /// What a killed process left behind, or what a running one is working on.
    pub leftovers: Vec<Leftover>,
    pub problems: Vec<Problem>,
}

/// Something in a stateroot's `deploy` directory that belongs to no deployment and can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub stateroot: StaterootName,
    pub name: String,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub kind: ProblemKind,
    /// The file, from the physical root.
    pub path: String,
    pub message: String,
    /// The deployment that is hit.
    #[serde(flatten)]
    pub deployment: Option<DeploymentKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A record that does not read back: which image the deployment needs is not known.
    DamagedRecord,
    /// A record of a newer version of the program.
    NewerRecord,
    /// A record without its directory: not a deployment.
    MissingDirectory,
    /// An origin that is missing or has a mistake in it.
    BadOrigin,
    /// Something else of ours does not read back.
    DamagedState,
    /// `booted.json` or `staged.json` does not read back: which deployment is in use is not known.
    DamagedRunState,
    /// What the boot loader has on `$BOOT` cannot be looked at.
    UnreachableBoot,
    /// A name that is not one of ours.
    UnknownName,
    /// An unfinished operation; the next one cleans it up.
    Leftover,
}

impl Leftover {
    /// From the physical root, with a leading slash.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", layout::stateroot_path(&self.stateroot), layout::DEPLOY, self.name)
    }
}

impl Observed {
    pub fn deployment(&self, key: &DeploymentKey) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.is(key))
    }

    /// Those that the boot loader knows, or should, in boot order.
    pub fn finalized(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.iter().filter(|d| d.record.finalized)
    }

    /// The deployment whose `/etc` is the machine's, as far as a stateroot is concerned: the booted one when it is of this
    /// stateroot, else the first in boot order.
    pub fn machine(&self, stateroot: &StaterootName) -> Option<&Deployment> {
        let booted = self.booted.as_ref().filter(|key| key.stateroot == *stateroot);
        let first = || self.finalized().find(|d| d.record.stateroot == *stateroot);
        booted.and_then(|key| self.deployment(key)).or_else(first)
    }

    /// True for a deployment that was staged, and lost its chance to be finalized when the power went.
    pub fn is_abandoned(&self, deployment: &Deployment) -> bool {
        !deployment.record.finalized && !self.staged.as_ref().is_some_and(|key| deployment.is(key))
    }

    /// The deployments of one stateroot in boot order.
    pub fn of_stateroot<'a>(&'a self, name: &StaterootName) -> impl Iterator<Item = &'a Deployment> {
        self.deployments.iter().filter(move |d| d.record.stateroot == *name)
    }

    /// The stateroot that is meant when none is named: that of the booted deployment, else of the first in boot
    /// order, else the only one there is, else `default`.
    pub fn current_stateroot(&self) -> StaterootName {
        let deployed = self.deployments.first().map(|d| &d.record.stateroot);
        let only = match self.stateroots.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        self.booted.as_ref().map(|b| &b.stateroot).or(deployed).or(only).cloned().unwrap_or_default()
    }
}

pub(super) fn observe(sysroot: &Sysroot) -> Result<Observed> {
    let mut observed = Observed::default();
    read_counters(sysroot, &mut observed)?;
    let names = fsx::list_dir(sysroot.deploy()).map_err(Error::io("listing /reroot/deploy"))?;
    for fsx::Listed { name, kind, .. } in names {
        match str::from_utf8(&name).ok().and_then(|n| n.parse::<StaterootName>().ok()) {
            Some(name) if kind == FileType::Directory => observe_stateroot(sysroot, &name, &mut observed)?,
            _ => observed.problems.push(Problem {
                kind: ProblemKind::UnknownName,
                path: format!("/{}/{}/{}", layout::REROOT, layout::DEPLOY, printable(&name)),
                message: "not a stateroot".into(),
                deployment: None,
            }),
        }
    }
    // The highest order boots first. Equal orders do not happen; the newer number wins if they do.
    observed.deployments.sort_by_key(|d| std::cmp::Reverse((d.record.order, d.record.id)));
    let running = sysroot.run().map_or(Ok(Running::Booted), Running::look);
    let running = running.map_err(Error::io(format!("reading /{}/{}", layout::RUN, layout::NEXTROOT)))?;
    if let Some(booted) = read_run::<BootedRecord>(sysroot, running.record(), &mut observed)? {
        observed.booted = Some(booted.deployment);
        observed.transient_etc = booted.transient_etc;
    }
    if running == Running::Booted {
        let prepared = read_run::<BootedRecord>(sysroot, layout::NEXTROOT, &mut observed)?;
        observed.prepared = prepared.map(|prepared| prepared.deployment);
    }
    if let Some(staged) = read_run::<StagedRecord>(sysroot, layout::STAGED, &mut observed)? {
        let is_finalized = observed.deployment(&staged.deployment).is_some_and(|d| d.record.finalized);
        // Finalized, and stopped before the file was removed.
        if !is_finalized {
            observed.staged = Some(staged.deployment);
            observed.staged_is_locked = staged.locked;
            observed.etc_strategy = staged.etc_strategy;
        }
    }
    Ok(observed)
}

/// What is in the `deploy` directory about one number.
#[derive(Default)]
struct Found {
    directory: bool,
    record: bool,
    origin: bool,
}

fn observe_stateroot(sysroot: &Sysroot, name: &StaterootName, observed: &mut Observed) -> Result<()> {
    let Some(stateroot) = Stateroot::open(sysroot, name)? else {
        observed.problems.push(Problem {
            kind: ProblemKind::UnknownName,
            path: layout::stateroot_path(name),
            message: "it has no `deploy` directory".into(),
            deployment: None,
        });
        return Ok(());
    };
    observed.stateroots.push(name.clone());
    let path = format!("{}/{}", layout::stateroot_path(name), layout::DEPLOY);
    let mut found: BTreeMap<DeploymentId, Found> = BTreeMap::new();
    for fsx::Listed { name: file, kind, .. } in
        fsx::list_dir(&stateroot.deploy).map_err(Error::io(format!("listing {path}")))?
    {
        match (layout::classify(&file), kind) {
            (Name::Directory(id), FileType::Directory) => found.entry(id).or_default().directory = true,
            // Whatever it is: with something in its place, the directory is not a leftover.
            (Name::Record(id), _) => found.entry(id).or_default().record = true,
            (Name::Origin(id), _) => found.entry(id).or_default().origin = true,
            (Name::Scratch, _) => observed
                .leftovers
                .push(Leftover { stateroot: name.clone(), name: String::from_utf8_lossy(&file).into() }),
            _ => observed.problems.push(Problem {
                kind: ProblemKind::UnknownName,
                path: format!("{path}/{}", printable(&file)),
                message: "not a name that reroot makes".into(),
                deployment: None,
            }),
        }
    }
    for (id, found) in found {
        let key = DeploymentKey { stateroot: name.clone(), id };
        observe_deployment(&stateroot, &key, &found, observed)?;
    }
    Ok(())
}

fn observe_deployment(
    stateroot: &Stateroot,
    key: &DeploymentKey,
    found: &Found,
    observed: &mut Observed,
) -> Result<()> {
    if !found.record {
        // Without a record there is no deployment: it was never finished, or it is being removed.
        let mut leftover =
            |name| observed.leftovers.push(Leftover { stateroot: key.stateroot.clone(), name });
        if found.directory {
            leftover(layout::directory_name(key.id));
        }
        if found.origin {
            leftover(layout::origin_name(key.id));
        }
        return Ok(());
    }
    observed.counters.saw_id(key);
    let path = layout::deployment_path(key);
    let file = format!("{path}.json");
    let problem =
        |kind, path: String, message: String| Problem { kind, path, message, deployment: Some(key.clone()) };
    let bytes = read(&stateroot.deploy, &layout::record_name(key.id), &file);
    let parse = |bytes: Option<Vec<u8>>| bytes.map(|b| DeploymentRecord::parse(&b, key, &file)).transpose();
    let record = match bytes.and_then(parse) {
        Ok(Some(record)) => record,
        // Removed since the directory was listed.
        Ok(None) => return Ok(()),
        Err(error) => {
            let kind = match error {
                Error::Newer { .. } => ProblemKind::NewerRecord,
                _ => ProblemKind::DamagedRecord,
            };
            observed.problems.push(problem(kind, file, error.to_string()));
            return Ok(());
        }
    };
    observed.counters.saw_order(record.order);
    if !found.directory {
        let message = format!("{key} has a record but no directory; undeploy it");
        observed.problems.push(problem(ProblemKind::MissingDirectory, path, message));
        return Ok(());
    }
    let origin = match read_origin(&stateroot.deploy, key.id, &format!("{path}.origin")) {
        Ok(origin) => Some(origin),
        Err(error) => {
            let file = format!("{path}.origin");
            observed.problems.push(problem(ProblemKind::BadOrigin, file, error.to_string()));
            None
        }
    };
    observed.deployments.push(Deployment { record, origin });
    Ok(())
}

fn read_origin(deploy: &Dir, id: DeploymentId, file: &str) -> Result<Origin> {
    let bytes = read(deploy, &layout::origin_name(id), file)?
        .ok_or_else(|| Error::NotFound { object: file.into() })?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Invalid {
        file: file.into(),
        line: 1,
        reason: "not UTF-8".into(),
    })?;
    Origin::parse(&text, file)
}

fn read_counters(sysroot: &Sysroot, observed: &mut Observed) -> Result<()> {
    let path = format!("/{}/{}", layout::REROOT, layout::COUNTERS);
    let Some(bytes) = read(sysroot.reroot(), layout::COUNTERS, &path)? else { return Ok(()) };
    match parse_state(&bytes, &path) {
        Ok(counters) => observed.counters = counters,
        // Numbers of a newer version must not be guessed at.
        Err(error @ Error::Newer { .. }) => return Err(error),
        Err(error) => observed.problems.push(Problem {
            kind: ProblemKind::DamagedState,
            path,
            message: error.to_string(),
            deployment: None,
        }),
    }
    Ok(())
}

fn read_run<T: DeserializeOwned>(
    sysroot: &Sysroot,
    name: &str,
    observed: &mut Observed,
) -> Result<Option<T>> {
    let Some(run) = sysroot.run() else { return Ok(None) };
    let path = format!("/{}/{name}", layout::RUN);
    let Some(bytes) = read(run, name, &path)? else { return Ok(None) };
    match parse_state(&bytes, &path) {
        Ok(record) => Ok(Some(record)),
        Err(error @ Error::Newer { .. }) => Err(error),
        Err(error) => {
            let message = error.to_string();
            let problem = Problem { kind: ProblemKind::DamagedRunState, path, message, deployment: None };
            observed.problems.push(problem);
            Ok(None)
        }
    }
}

fn read(dir: &Dir, name: &str, path: &str) -> Result<Option<Vec<u8>>> {
    fsx::read_limited(dir, name, layout::STATE_LIMIT).map_err(Error::io(format!("reading {path}")))
}
