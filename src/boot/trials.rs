//! What the loader has counted of trials.
//!
//! systemd-boot renames the entry before it boots it, GRUB writes its environment block then: while the last attempt
//! runs, none is left already. So [`Tries::is_exhausted`] says that an attempt has failed only when another deployment is
//! booted.

use std::collections::BTreeMap;

use super::Result;
use super::entries;
use super::file_name::{BootOrder, EntryName, Tries};
use super::grub::env::{self, ENTRY, Environment, LEFT, TRIES};
use super::plan::Menu;
use crate::fsx::Dir;

/// The counters of each order that has some. With [`Menu::Entries`] these are the entries that are counted; with
/// [`Menu::Grub`] the one that it tried last, if any, and one that was never tried is not there.
pub fn read(boot: &Dir, menu: &Menu) -> Result<BTreeMap<BootOrder, Tries>> {
    Ok(match menu {
        Menu::Entries => of_names(entries::read_entries(boot)?.ours().map(|(name, _)| *name)),
        Menu::Grub(_) => env::read(boot)?.as_ref().and_then(of_environment).into_iter().collect(),
    })
}

/// A name without counters is a system that has booted well. Of two that are left by a power cut the lower counter is true.
fn of_names(names: impl Iterator<Item = EntryName>) -> BTreeMap<BootOrder, Tries> {
    let left = |tries: Option<Tries>| tries.map(|tries| tries.left);
    let mut lowest = BTreeMap::<BootOrder, Option<Tries>>::new();
    for EntryName { order, tries } in names {
        let lower = |old: Option<Tries>| if left(tries) < left(old) { tries } else { old };
        lowest.entry(order).and_modify(|old| *old = lower(*old)).or_insert(tries);
    }
    lowest.into_iter().filter_map(|(order, tries)| Some((order, tries?))).collect()
}

fn of_environment(environment: &Environment) -> Option<(BootOrder, Tries)> {
    let name: EntryName = format!("{}.conf", environment.get(ENTRY)?).parse().ok()?;
    let number = |variable| environment.get(variable)?.parse::<u32>().ok();
    let left = number(LEFT)?;
    Some((name.order, Tries { left, done: number(TRIES)?.saturating_sub(left) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> String {
        let counted =
            of_names(list.split(' ').map(|name| format!("reroot-000000000{name}.conf").parse().unwrap()));
        let shown = counted.iter().map(|(order, tries)| format!("{order}:{}-{}", tries.left, tries.done));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn counters_are_in_names() {
        assert_eq!(names("9+3 8+2-1 7+0-3 6"), "7:0-3 8:2-1 9:3-0");
        // A power cut on FAT, or before the counted one of two went.
        assert_eq!(names("9+2-1 9+3 8+1-2 8"), "9:2-1");
        assert_eq!(names("9+3 9+2-1"), "9:2-1");
    }

    #[test]
    fn counters_are_in_the_environment_of_grub() {
        let counted = |variables: &[(&str, &str)]| {
            let mut environment = Environment::default();
            variables.iter().for_each(|(name, value)| environment.set(name, value));
            of_environment(&environment).map(|(order, tries)| (order.get(), tries.left, tries.done))
        };
        let entry = (ENTRY, "reroot-0000000012");
        assert_eq!(counted(&[entry, (TRIES, "3"), (LEFT, "2")]), Some((12, 2, 1)));
        assert_eq!(counted(&[entry, (TRIES, "3"), (LEFT, "0")]), Some((12, 0, 3)));
        for other in [
            &[][..],
            &[entry],
            &[entry, (LEFT, "0")],
            &[entry, (TRIES, "3"), (LEFT, "x")],
            &[(ENTRY, "debian"), (TRIES, "3"), (LEFT, "2")],
            &[(ENTRY, ""), (TRIES, "3"), (LEFT, "2")],
        ] {
            assert_eq!(counted(other), None);
        }
    }
}
