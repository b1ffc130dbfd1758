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
        let boot = place.open(sysroot, &loader)?;
        let found =
            plan::Observed { spared: super::unreadable(observed, &[]), ..plan::Observed::read(&boot)? };
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
    // Not always the first: whatever was decided after it was staged is before it.
    let place = future.deployments.partition_point(|d| d.record.order > new.record.order);
    future.deployments.insert(place, new.clone());
    if !future.stateroots.contains(&new.record.stateroot) {
        future.stateroots.push(new.record.stateroot.clone());
    }
    future
}

/// The menu of `observed`, which is what is there (`now`) or will be.
fn candidates(observed: &Observed, now: &Observed, kernels: &mut Kernels<'_>) -> Result<Vec<Candidate>> {
    let slots = Slots::of(observed);
    let boots_now = now.finalized().next();
    let several = observed.stateroots.len() > 1;
    observed
        .finalized()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::file_name::BootOrder;
    use crate::boot::kernel::Pair;
    use crate::sysroot::DeploymentId;

    const KERNEL: u64 = 10 << 20;

    /// `id:kernel`, the first boots; a lower-case kernel may leave, another is needed.
    fn menu(text: &str) -> Vec<Candidate> {
        let candidate = |word: &str| {
            let (id, kernel) = word.split_once(':').unwrap();
            let id: u64 = id.parse().unwrap();
            Candidate {
                key: DeploymentKey {
                    stateroot: "default".parse().unwrap(),
                    id: DeploymentId::new(id).unwrap(),
                },
                wanted: Wanted {
                    order: BootOrder::new(id).unwrap(),
                    title: "Test".into(),
                    options: format!("reroot=/d/{id}"),
                    pair: pair(kernel),
                    machine_id: None,
                    tries: None,
                    extra: Vec::new(),
                },
                needed_as: if kernel.to_lowercase() == kernel { vec![] } else { vec!["pinned".into()] },
            }
        };
        text.split_whitespace().map(candidate).collect()
    }

    fn pair(kernel: &str) -> Pair {
        let digest = hex::encode(kernel.to_lowercase()).repeat(16).parse().unwrap();
        Pair { digest, vmlinuz_bytes: KERNEL, initrd_bytes: 1 }
    }

    /// `$BOOT` as it is when the menu is right, with `spare` bytes, and kernels that nobody names.
    fn found(now: &[Candidate], spare: u64, unnamed: &[&str]) -> plan::Observed {
        let empty = plan::Observed { available_bytes: 1 << 30, ..plan::Observed::default() };
        let mut found = match now {
            [] => empty,
            now => {
                let wanted: Vec<_> = now.iter().map(|c| c.wanted.clone()).collect();
                plan(&wanted, &Menu::Entries, &empty).unwrap().after(&empty)
            }
        };
        found.pairs.extend(unnamed.iter().map(|kernel| pair(kernel)));
        found.available_bytes = spare;
        found
    }

    #[track_caller]
    fn assert_leaving(now: &str, then: &str, spare: u64, unnamed: &[&str], expected: Result<&str, &str>) {
        let now = menu(now);
        match (decide(&now, &menu(then), &Menu::Entries, &found(&now, spare, unnamed)), expected) {
            (Ok(room), Ok(expected)) => {
                let leaving: Vec<_> = room.leaving.iter().map(|key| key.id.to_string()).collect();
                assert_eq!(leaving.join(" "), expected);
                assert_eq!(room.tidy, !expected.is_empty() || !unnamed.is_empty());
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn nobody_leaves_who_need_not() {
        // Less than a kernel, and enough for what FAT rounds up.
        let (much, little) = (2 * KERNEL, 256 << 10);
        assert_leaving("", "1:A", much, &[], Ok(""));
        assert_leaving("2:B 1:a", "3:C 2:B 1:a", much, &[], Ok(""));
        assert_leaving("2:B 1:a", "3:C 2:B 1:a", little, &[], Ok("1"));
        // Who shares a kernel with one that stays frees nothing by leaving.
        assert_leaving("4:B 3:b 2:a 1:b", "5:C 4:B 3:b 2:a 1:b", little, &[], Ok("2"));
        // Together they free something.
        assert_leaving("3:B 2:a 1:a", "4:C 3:B 2:a 1:a", little, &[], Ok("1 2"));
        // What a killed command left goes first.
        assert_leaving("2:B 1:a", "3:C 2:B 1:a", little, &["x"], Ok(""));
        // The kernel is there, only an entry is new.
        assert_leaving("2:B 1:a", "3:B 2:B 1:a", 64 << 10, &[], Ok(""));
    }

    #[test]
    fn too_little_is_refused_with_figures_and_with_what_stays() {
        let expected = "10682368 bytes are needed, 5 are available; what stays: deployment 2 (pinned), deployment 1 (pinned)";
        assert_leaving("2:B 1:A", "3:C 2:B 1:A", 5, &[], Err(expected));
        let expected = "5 are available, and 10682363 would still be missing without deployment 1; what stays: deployment 2";
        assert_leaving("2:B 1:b", "3:C 2:B 1:b", 5, &[], Err(expected));
        assert_leaving(
            "",
            "1:A",
            5,
            &[],
            Err("5 are available; or remove files of others from $BOOT; nothing"),
        );
    }
}
