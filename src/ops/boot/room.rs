//! Room on `$BOOT` for one more kernel, found before anything is written.
//!
//! When the new deployment's kernel does not fit beside the others, the oldest deployment that nobody needs leaves the
//! menu first, and is removed: one that is neither booted nor staged nor pinned, does not boot next now, and would not
//! be what a rollback goes to. When that is not enough, nothing is done at all.

use super::Place;
use super::record::BootRecord;
use super::wanted::Kernels;
use crate::boot::plan::{self, Menu, Wanted, plan};
use crate::ops::{Error, ErrorKind, Result};
use crate::progress::{Event, Reporter};
use crate::sysroot::{Deployment, DeploymentKey, LockedSysroot, Observed, Slots, Sysroot};

/// What has to be done on `$BOOT` before a deployment may be published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// The last in boot order first.
    leaving: Vec<DeploymentKey>,
    /// Whether something on `$BOOT` must go first, were it only what an interrupted command left.
    tidy: bool,
}

/// A deployment as the menu would have it.
#[derive(Debug, Clone)]
struct Candidate {
    key: DeploymentKey,
    wanted: Wanted,
    /// Why it stays, in words; empty when it may leave.
    needed_as: Vec<String>,
}

impl Room {
    /// Decides what has to leave for `new`, which is not observed yet or has another boot order there. Changes nothing.
    /// Everything that the boot loader cannot be told is an error here, before anything is written.
    pub fn find(sysroot: &Sysroot, place: Place<'_>, observed: &Observed, new: &Deployment) -> Result<Self> {
        let Some(BootRecord { loader, .. }) = BootRecord::read(sysroot)? else { return Ok(Self::default()) };
        let mut kernels = Kernels::new(sysroot);
        let future = with(observed, new);
        let now = candidates(observed, observed, &mut kernels)?;
        let then = candidates(&future, observed, &mut kernels)?;
        let found = plan::Observed::read(&place.open(sysroot, &loader)?)?;
        decide(&now, &then, &loader.menu(), &found)
    }

    /// What leaves the menu, and goes.
    pub fn leaving(&self) -> &[DeploymentKey] {
        &self.leaving
    }

    /// Makes the room. Durable when it returns; the menu boots what it booted before at every moment.
    pub fn make(
        &self,
        locked: &LockedSysroot<'_>,
        place: Place<'_>,
        observed: &Observed,
        new: &Deployment,
        reporter: &dyn Reporter,
    ) -> Result<()> {
        if !self.tidy {
            return Ok(());
        }
        for key in &self.leaving {
            reporter.report(Event::Warning(&format!(
                "{key} leaves the boot menu and is removed: $BOOT has no room for one more kernel beside its own"
            )));
        }
        super::update(locked, &place, &self.leaving, reporter)?;
        for key in &self.leaving {
            locked.remove_deployment(key, observed)?;
        }
        // What was counted is now seen.
        let left = Self::find(locked.sysroot(), place, &locked.observe()?, new)?;
        match left.leaving.is_empty() {
            true => Ok(()),
            false => Err(no_space("still too little after making room".into())),
        }
    }
}

/// What will be observed when `new` is published.
fn with(observed: &Observed, new: &Deployment) -> Observed {
    let mut future = observed.clone();
    future.deployments.retain(|d| !d.is(&new.key()));
    future.deployments.insert(0, new.clone());
    if !future.stateroots.contains(&new.record.stateroot) {
        future.stateroots.push(new.record.stateroot.clone());
    }
    future
}

/// The menu of `observed`, which is what is there (`now`) or will be.
fn candidates(observed: &Observed, now: &Observed, kernels: &mut Kernels<'_>) -> Result<Vec<Candidate>> {
    let slots = Slots::of(observed);
    let boots_now = now.deployments.iter().find(|d| now.staged.as_ref() != Some(&d.key()));
    let several = observed.stateroots.len() > 1;
    let in_menu = observed.deployments.iter().filter(|d| observed.staged.as_ref() != Some(&d.key()));
    in_menu
        .map(|deployment| {
            let mut needed_as: Vec<String> =
                slots.of_deployment(deployment).iter().map(ToString::to_string).collect();
            if needed_as.is_empty() && boots_now.is_some_and(|d| d.is(&deployment.key())) {
                needed_as.push("default".into());
            }
            Ok(Candidate { key: deployment.key(), wanted: kernels.wanted(deployment, several)?, needed_as })
        })
        .collect()
}

/// Which deployments leave so that the menu can go from `now` to `then`; pure.
fn decide(now: &[Candidate], then: &[Candidate], menu: &Menu, found: &plan::Observed) -> Result<Room> {
    let shortage = |leaving: &[DeploymentKey]| -> Result<u64> {
        let stay = |list: &[Candidate]| -> Vec<Wanted> {
            list.iter().filter(|c| !leaving.contains(&c.key)).map(|c| c.wanted.clone()).collect()
        };
        let first = stay(now);
        let mut after = found.clone();
        if !first.is_empty() {
            let first = plan(&first, menu, found)?;
            if first.shortage_bytes() > 0 {
                return Ok(first.shortage_bytes());
            }
            after = first.after(found);
        }
        Ok(plan(&stay(then), menu, &after)?.shortage_bytes())
    };
    let wanted: Vec<Wanted> = then.iter().map(|c| c.wanted.clone()).collect();
    let at_once = plan(&wanted, menu, found)?;
    if at_once.shortage_bytes() == 0 {
        return Ok(Room::default());
    }
    let mut leaving = Vec::new();
    let mut oldest = then.iter().rev().filter(|c| c.needed_as.is_empty());
    while shortage(&leaving)? > 0 {
        match oldest.next() {
            Some(candidate) => leaving.push(candidate.key.clone()),
            None => return Err(refusal(then, &at_once, shortage(&leaving)?)),
        }
    }
    // One that shares its kernel with another that stays has freed nothing.
    let mut index = 0;
    while index < leaving.len() {
        let mut fewer = leaving.clone();
        fewer.remove(index);
        match shortage(&fewer)? {
            0 => leaving = fewer,
            _ => index += 1,
        }
    }
    Ok(Room { leaving, tidy: true })
}

fn refusal(then: &[Candidate], plan: &plan::Plan, missing: u64) -> Error {
    let in_use = then.iter().skip(1).filter(|c| !c.needed_as.is_empty());
    let mut text = format!("{} bytes are needed, {} are available", plan.needed_bytes, plan.available_bytes);
    let may_go: Vec<_> = then.iter().filter(|c| c.needed_as.is_empty()).map(|c| c.key.to_string()).collect();
    if !may_go.is_empty() {
        text += &format!(", and {missing} would still be missing without {}", may_go.join(", "));
    }
    let stay: Vec<_> = in_use.map(|c| format!("{} ({})", c.key, c.needed_as.join(", "))).collect();
    if !stay.is_empty() {
        text += &format!("; what stays: {}; undeploy or unpin one of these", stay.join(", "));
    }
    no_space(text + "; or remove files of others from $BOOT; nothing was changed")
}

fn no_space(reason: String) -> Error {
    let message = format!("$BOOT has no room for one more kernel: {reason}");
    Error::Other { kind: ErrorKind::NoSpace, message }
}
