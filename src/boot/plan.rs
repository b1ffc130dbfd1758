//! What has to be done to `$BOOT` so that it boots the wanted deployments, decided without touching it.
//!
//! The order of the steps keeps invariant I: at every instant the first entry of the menu is one whose kernel is
//! there. Kernels come before entries. Of the entries the first of the menu is written first, so that one step alone
//! changes what boots: before it the old default boots, after it the new one. What is not wanted any more goes last,
//! from the end of the menu to its start, and kernels go after the entries that name them.
//!
//! An entry is never rewritten. Its order number is given out once, and what it says is settled by the deployment's
//! record; so an entry that is there is taken as it is, counters included. What people changed in it stays and is
//! reported. Only one that no loader can boot is removed and written again.
//!
//! A deployment on trial has counters in its entry's name, and arguments that restart the machine ([`super::trial`]).
//! When the trial is over the entry is written once more, without both and with what people changed, and the counted one
//! goes after it. GRUB's trials are in its menu alone, where both come and go without a new entry.

mod after;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::bls::{BlsEntry, Fields, SORT_KEY};
use super::entries::{self, Entries, Entry};
use super::file_name::{BootOrder, EntryName, Tries};
use super::grub::{self, GrubRoot};
use super::kernel::{self, BootDigest, Pair};
use super::{Error, Result, order, trial};
use crate::fsx::{self, Dir};

/// What an entry and the menu take at most: a cluster of FAT each.
const FILE_BYTES: u64 = 64 << 10;

/// One deployment that is to be in the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The highest boots. Also the entry's `version`.
    pub order: BootOrder,
    /// See [`super::bls::title`].
    pub title: String,
    /// The kernel's command line with the `reroot=` argument that names the deployment.
    /// Without what a trial adds.
    pub options: String,
    pub pair: Pair,
    pub machine_id: Option<String>,
    /// On trial: how often the loader may try it before it falls back. `None` when it is good, or not counted.
    pub tries: Option<NonZeroU32>,
    /// Keys that are not known here, to be taken over from an older entry ([`BlsEntry::extra`]).
    pub extra: Vec<(String, String)>,
}

/// How the loader finds its menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Menu {
    /// It reads the entries (systemd-boot, GRUB with `blscfg`): an entry's name is the commit.
    Entries,
    /// It reads one generated file (GRUB): the renaming of that file is the commit.
    Grub(GrubRoot),
}

/// Everything on `$BOOT` that the decision needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    pub entries: Entries,
    pub pairs: Vec<Pair>,
    pub available_bytes: u64,
    /// The generated menu of GRUB.
    pub grub_menu: Option<Vec<u8>>,
    /// What `reroot=` says of deployments that are there and cannot be read now: nobody knows what their entries should say,
    /// so those that they have stay.
    pub spared: BTreeSet<String>,
}

impl Observed {
    /// Reads `$BOOT`.
    pub fn read(boot: &Dir) -> Result<Self> {
        let free = fsx::free_space(boot).map_err(Error::io("asking for free space on $BOOT"))?;
        Ok(Self {
            entries: entries::read_entries(boot)?,
            pairs: kernel::pairs(boot)?,
            available_bytes: free.available_bytes,
            grub_menu: grub::read_menu(boot)?,
            spared: BTreeSet::new(),
        })
    }
}

/// An entry that is there and does not say what was expected: somebody changed it, and it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub file_name: String,
    pub keys: Vec<&'static str>,
}

/// The steps in their order. [`super::execute::execute`] has nothing left to decide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub pairs_to_write: Vec<Pair>,
    /// Entries of wanted deployments that no loader can boot; they make room for those that are written.
    pub useless_entries: Vec<String>,
    /// In the order of the menu.
    pub entries_to_write: Vec<(EntryName, BlsEntry)>,
    /// The new menu for GRUB, when it changes.
    pub grub_menu: Option<String>,
    /// From the end of the menu to its start.
    pub entries_to_remove: Vec<String>,
    pub pairs_to_keep: BTreeSet<BootDigest>,
    pub pairs_to_sweep: Vec<Pair>,
    /// For a warning.
    pub differences: Vec<Difference>,
    /// What the new files take, with what FAT rounds up.
    pub needed_bytes: u64,
    pub available_bytes: u64,
}

impl Plan {
    /// True when `$BOOT` is as it should be.
    pub fn is_empty(&self) -> bool {
        self.pairs_to_write.is_empty()
            && self.useless_entries.is_empty()
            && self.entries_to_write.is_empty()
            && self.grub_menu.is_none()
            && self.entries_to_remove.is_empty()
            && self.pairs_to_sweep.is_empty()
    }

    /// How much is missing on `$BOOT`; 0 when the plan can be carried out.
    pub fn shortage_bytes(&self) -> u64 {
        self.needed_bytes.saturating_sub(self.available_bytes)
    }

    /// What the sweep frees at the end, without what FAT rounds up.
    pub fn freed_bytes(&self) -> u64 {
        self.pairs_to_sweep.iter().map(|pair| pair.vmlinuz_bytes + pair.initrd_bytes).sum()
    }
}

/// Decides how `$BOOT` comes to boot the wanted deployments, which are given in boot order: those of all stateroots,
/// for entries of ours that are not wanted go, and the kernels that nothing names with them.
///
/// An order that boots another deployment is [`Error::OrderTaken`]: counters were lost, and the next number must be
/// above [`Entries::highest_order`]. Values that no entry can have, or that GRUB cannot pass on, are errors as well.
/// Space is counted, not checked: the caller may want fewer deployments then ([`Plan::shortage_bytes`]).
pub fn plan(wanted: &[Wanted], menu: &Menu, observed: &Observed) -> Result<Plan> {
    check(wanted)?;
    let mut plan = Plan { available_bytes: observed.available_bytes, ..Plan::default() };
    let decisions = decide_entries(wanted, observed)?;
    let machine_id = common_machine_id(wanted, &decisions, observed);
    let mut kept: BTreeSet<&str> = spared(observed).collect();
    for (wanted, decision) in wanted.iter().zip(&decisions) {
        let entry_is_there = match decision {
            Decision::Keep(entry) => {
                kept.insert(&entry.file_name);
                Some(entry)
            }
            Decision::Bless { counted, useless } => {
                let name = EntryName { order: wanted.order, tries: None };
                plan.useless_entries.extend(useless.iter().map(|name| name.to_string()));
                plan.entries_to_write.push((name, blessed(wanted, counted)?));
                Some(counted)
            }
            Decision::Write { useless } => {
                plan.useless_entries.extend(useless.iter().map(|name| name.to_string()));
                plan.entries_to_write.push(new_entry(wanted, menu, machine_id)?);
                None
            }
        };
        if let Some(entry) = entry_is_there {
            let keys = differing_keys(wanted, &entry.bls);
            if !keys.is_empty() {
                plan.differences.push(Difference { file_name: entry.file_name.clone(), keys });
            }
        }
    }
    plan.entries_to_remove = entries_to_remove(observed, &kept, &plan.useless_entries);
    plan.pairs_to_write = pairs_to_write(wanted, observed);
    plan.pairs_to_keep = pairs_to_keep(wanted, observed, &kept, &plan.entries_to_write);
    let superfluous = |pair: &&Pair| !plan.pairs_to_keep.contains(&pair.digest);
    plan.pairs_to_sweep = observed.pairs.iter().filter(superfluous).copied().collect();
    if let Menu::Grub(root) = menu {
        let trials: grub::Trials =
            wanted.iter().filter_map(|wanted| Some((wanted.order, wanted.tries?))).collect();
        let text = grub::menu(&final_menu(&plan, observed, &kept), &trials, root)?;
        plan.grub_menu = Some(text).filter(|text| observed.grub_menu.as_deref() != Some(text.as_bytes()));
    }
    plan.needed_bytes = needed_bytes(&plan);
    Ok(plan)
}

fn check(wanted: &[Wanted]) -> Result<()> {
    if wanted.is_empty() {
        return Err(Error::refused("no deployment would be left to boot"));
    }
    if wanted.windows(2).any(|two| two[0].order <= two[1].order) {
        return Err(Error::refused("the wanted deployments are not in boot order, or two have the same"));
    }
    let mut sizes = BTreeMap::new();
    for Wanted { order, options, pair, .. } in wanted {
        if systems_of(options).count() != 1 {
            return Err(Error::refused(format!("the entry with order {order} needs one argument `reroot=`")));
        }
        if *sizes.entry(pair.digest).or_insert(pair) != pair {
            return Err(Error::refused(format!("the kernel {} has two sizes", pair.digest)));
        }
    }
    Ok(())
}

/// What becomes of a wanted deployment's entry. Useless are entries in whose place it is written.
/// The entries of deployments that cannot be read now.
fn spared(observed: &Observed) -> impl Iterator<Item = &str> {
    let is_spared =
        |entry: &&Entry| systems_of(&entry.bls.options()).any(|path| observed.spared.contains(path));
    observed.entries.ours().map(|(_, entry)| entry).filter(is_spared).map(|entry| &*entry.file_name)
}

enum Decision<'a> {
    Keep(&'a Entry),
    /// The trial is over.
    Bless {
        counted: &'a Entry,
        useless: Vec<&'a str>,
    },
    Write {
        useless: Vec<&'a str>,
    },
}

fn decide_entries<'a>(wanted: &[Wanted], observed: &'a Observed) -> Result<Vec<Decision<'a>>> {
    wanted
        .iter()
        .map(|wanted| {
            let with_order = |name: &EntryName| name.order == wanted.order;
            let same: Vec<_> = observed.entries.ours().filter(|(name, _)| with_order(name)).collect();
            let (usable, useless): (Vec<_>, Vec<_>) =
                same.into_iter().partition(|(_, entry)| is_bootable(&entry.bls, wanted, observed));
            if let Some((_, entry)) = usable.iter().find(|(_, entry)| names_other_system(&entry.bls, wanted))
            {
                let found = systems_of(&entry.bls.options()).next().unwrap_or("no deployment").to_string();
                return Err(Error::OrderTaken { file: entries::shown(&entry.file_name), found });
            }
            // A name without counters is a system that has booted well.
            let good = usable.iter().find(|(name, _)| name.tries.is_none());
            let unreadable = &observed.entries.unreadable;
            let unreadable = unreadable.iter().filter(|file| file.name.as_ref().is_some_and(with_order));
            let useless = useless.into_iter().map(|(_, entry)| &*entry.file_name);
            let useless = useless.chain(unreadable.map(|file| &*file.file_name));
            Ok(match (good, usable.first()) {
                (Some((_, good)), _) => Decision::Keep(good),
                (None, Some((_, counted))) if wanted.tries.is_some() => Decision::Keep(counted),
                (None, Some((_, counted))) => {
                    let name = EntryName { order: wanted.order, tries: None }.to_string();
                    Decision::Bless { counted, useless: useless.filter(|other| *other == name).collect() }
                }
                (None, None) => Decision::Write { useless: useless.collect() },
            })
        })
        .collect()
}

/// Whether a loader can start what the entry names, once the wanted kernels are there. Kernels that are not ours
/// are taken to be there.
fn is_bootable(entry: &BlsEntry, wanted: &Wanted, observed: &Observed) -> bool {
    let is_there = |path: &str| match BootDigest::of_path(path) {
        Some(digest) => {
            digest == wanted.pair.digest || observed.pairs.iter().any(|pair| pair.digest == digest)
        }
        None => !path.trim_start_matches('/').starts_with("reroot/"),
    };
    entry.linux().is_some_and(is_there) && entry.initrds().all(is_there)
}

/// The values of the argument that names the deployment.
fn systems_of(options: &str) -> impl Iterator<Item = &str> {
    options.split(' ').filter_map(|word| word.strip_prefix("reroot="))
}

fn names_other_system(entry: &BlsEntry, wanted: &Wanted) -> bool {
    !systems_of(&entry.options()).eq(systems_of(&wanted.options))
}

/// The machine id that new entries get: none, unless every entry of ours has it. See [`order`] for why.
fn common_machine_id<'a>(
    wanted: &'a [Wanted],
    decisions: &[Decision<'_>],
    observed: &Observed,
) -> Option<&'a str> {
    let id = wanted.first()?.machine_id.as_deref()?;
    let new = wanted.iter().zip(decisions).filter(|(_, decision)| matches!(decision, Decision::Write { .. }));
    let same_in_new = new.map(|(wanted, _)| wanted.machine_id.as_deref()).all(|other| other == Some(id));
    let same_in_old = observed.entries.ours().all(|(_, entry)| entry.bls.machine_id() == Some(id));
    (same_in_new && same_in_old).then_some(id)
}

/// The first entry of a deployment. GRUB counts in its menu, so its entries are as if they were good.
fn new_entry(wanted: &Wanted, menu: &Menu, machine_id: Option<&str>) -> Result<(EntryName, BlsEntry)> {
    let tries = match menu {
        Menu::Entries => wanted.tries.map(|left| Tries { left: left.get(), done: 0 }),
        Menu::Grub(_) => None,
    };
    let options = match tries {
        Some(_) => &trial::with_arguments(&wanted.options),
        None => &wanted.options,
    };
    Ok((EntryName { order: wanted.order, tries }, entry(wanted, options, machine_id)?))
}

/// The entry when its trial is over: what people changed in it stays.
fn blessed(wanted: &Wanted, counted: &Entry) -> Result<BlsEntry> {
    let written = counted.bls.options();
    let settled = trial::without_arguments(&written, &wanted.options);
    Ok(if settled == written { counted.bls.clone() } else { counted.bls.with_options(&settled)? })
}

fn entry(wanted: &Wanted, options: &str, machine_id: Option<&str>) -> Result<BlsEntry> {
    Ok(BlsEntry::new(&Fields {
        title: &wanted.title,
        version: &wanted.order.to_string(),
        machine_id,
        sort_key: SORT_KEY,
        options,
        linux: &wanted.pair.digest.linux_path(),
        initrds: &[&wanted.pair.digest.initrd_path()],
        extra: &wanted.extra,
        ..Fields::default()
    })?)
}

/// What decides what boots, and when. The title is for people to change, and later versions may write another.
fn differing_keys(wanted: &Wanted, entry: &BlsEntry) -> Vec<&'static str> {
    let digest = wanted.pair.digest;
    let mut keys = Vec::new();
    let mut compare = |key, same: bool| {
        if !same {
            keys.push(key)
        }
    };
    compare("version", entry.version() == Some(&wanted.order.to_string()));
    compare("sort-key", entry.sort_key() == Some(SORT_KEY));
    // A trial is no change of people's, and neither is one that systemd-bless-boot(8) has ended.
    let options = trial::without_arguments(&entry.options(), &wanted.options);
    compare("options", options == wanted.options);
    compare("linux", entry.linux() == Some(&digest.linux_path()));
    compare("initrd", entry.initrds().eq([digest.initrd_path()]));
    keys
}

/// Unreadable ones first: nothing boots them. Then the menu from its end.
fn entries_to_remove(observed: &Observed, kept: &BTreeSet<&str>, useless: &[String]) -> Vec<String> {
    let unreadable =
        observed.entries.unreadable.iter().filter(|file| file.name.is_some()).map(|file| &file.file_name);
    let menu: Vec<_> = observed.entries.ours().map(|(_, entry)| &entry.file_name).collect();
    unreadable
        .chain(menu.into_iter().rev())
        .filter(|name| !kept.contains(&***name) && !useless.contains(name))
        .cloned()
        .collect()
}

fn pairs_to_write(wanted: &[Wanted], observed: &Observed) -> Vec<Pair> {
    let mut missing: Vec<Pair> = Vec::new();
    for Wanted { pair, .. } in wanted {
        if !observed.pairs.contains(pair) && !missing.contains(pair) {
            missing.push(*pair);
        }
    }
    missing
}

/// Wanted ones, and whatever an entry names that stays: entries of others and entries that people changed.
fn pairs_to_keep(
    wanted: &[Wanted],
    observed: &Observed,
    kept: &BTreeSet<&str>,
    new: &[(EntryName, BlsEntry)],
) -> BTreeSet<BootDigest> {
    let stays = |entry: &&Entry| entry.name.is_none() || kept.contains(&*entry.file_name);
    let old = observed.entries.entries.iter().filter(stays).map(|entry| &entry.bls);
    let named = old.chain(new.iter().map(|(_, entry)| entry)).flat_map(|entry| {
        let paths = entry.linux().into_iter().chain(entry.initrds());
        paths.filter_map(BootDigest::of_path).collect::<Vec<_>>()
    });
    wanted.iter().map(|wanted| wanted.pair.digest).chain(named).collect()
}

/// The entries as they are when the plan is done, in the order of the menu.
fn final_menu(plan: &Plan, observed: &Observed, kept: &BTreeSet<&str>) -> Vec<Entry> {
    let stays = |entry: &&Entry| entry.name.is_none() || kept.contains(&*entry.file_name);
    let new = plan.entries_to_write.iter().map(|(name, bls)| Entry {
        file_name: name.to_string(),
        name: Some(*name),
        bls: bls.clone(),
    });
    let mut menu: Vec<_> = observed.entries.entries.iter().filter(stays).cloned().chain(new).collect();
    menu.sort_by(|a, b| order::compare((&a.file_name, &a.bls), (&b.file_name, &b.bls)));
    menu
}

fn needed_bytes(plan: &Plan) -> u64 {
    let pairs = plan.pairs_to_write.iter().map(Pair::needed_bytes);
    let files = plan.entries_to_write.len() + usize::from(plan.grub_menu.is_some());
    pairs.fold(FILE_BYTES.saturating_mul(files as u64), u64::saturating_add)
}

#[cfg(test)]
mod tests;
