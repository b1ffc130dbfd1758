//! The file name of an entry of ours: `reroot-<order>[+<left>[-<done>]].conf` (UAPI.1, "Boot counting").
//!
//! The order has ten digits, so that loaders which sort by file name (GRUB's `blscfg`) find the same first entry as
//! those that sort by `version`. The loader counts by renaming the file; a name without counters is a system that
//! has booted well, or one that is not counted.

use std::fmt;
use std::str::FromStr;

use crate::names::{NameError, printable};

const PREFIX: &str = "reroot-";
const SUFFIX: &str = ".conf";
const DIGITS: usize = 10;
/// systemd-boot takes a larger counter for no counter (`INT_MAX`).
const MOST_TRIES: u32 = i32::MAX as u32;

/// A boot order as it fits into a file name: the highest boots first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootOrder(u64);

impl BootOrder {
    /// `None` for 0 and for numbers of more than ten digits.
    pub fn new(number: u64) -> Option<Self> {
        (1..10_u64.pow(DIGITS as u32)).contains(&number).then_some(Self(number))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for BootOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often an entry was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tries {
    /// Attempts that the loader will still make; at 0 the entry is bad and sorts last.
    pub left: u32,
    /// Attempts that failed.
    pub done: u32,
}

impl Tries {
    /// The loader makes no more attempts. The last one may be running: it has failed when another deployment is booted.
    pub fn is_exhausted(self) -> bool {
        self.left == 0
    }
}

/// The name of an entry of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryName {
    pub order: BootOrder,
    /// `None` when attempts are not counted, or not any more.
    pub tries: Option<Tries>,
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:010}", self.order.0)?;
        match self.tries {
            None => {}
            Some(Tries { left, done: 0 }) => write!(f, "+{left}")?,
            Some(Tries { left, done }) => write!(f, "+{left}-{done}")?,
        }
        f.write_str(SUFFIX)
    }
}

impl FromStr for EntryName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        let error = |reason| NameError {
            kind: "name of a boot entry of reroot",
            name: printable(name.as_bytes()),
            reason,
        };
        let stem = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix(SUFFIX))
            .ok_or_else(|| error("it does not have the form reroot-….conf"))?;
        let (order, tries) = match stem.split_once('+') {
            Some((order, tries)) => (order, Some(tries)),
            None => (stem, None),
        };
        if order.len() != DIGITS {
            return Err(error("the order does not have ten digits"));
        }
        let order = number(order)
            .and_then(BootOrder::new)
            .ok_or_else(|| error("the order is not a number above 0"))?;
        let tries = tries
            .map(|text| parse_tries(text).ok_or_else(|| error("the counters are not +LEFT or +LEFT-DONE")));
        Ok(Self { order, tries: tries.transpose()? })
    }
}

fn parse_tries(text: &str) -> Option<Tries> {
    let counter = |text: &str| number(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= MOST_TRIES);
    match text.split_once('-') {
        Some((left, done)) => Some(Tries { left: counter(left)?, done: counter(done)? }),
        None => Some(Tries { left: counter(text)?, done: 0 }),
    }
}

/// Digits only: no sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The counters in the name of an entry of anybody, as systemd-boot finds them: after the last `+`, up to `.conf`.
pub(super) fn tries_of(name: &str) -> Option<Tries> {
    let stem = name.get(..name.len().checked_sub(SUFFIX.len())?)?;
    parse_tries(stem.rsplit_once('+')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (name, order, tries) in [
            ("reroot-0000000012.conf", 12, None),
            ("reroot-9999999999.conf", 9_999_999_999, None),
            ("reroot-0000000012+3.conf", 12, Some((3, 0))),
            ("reroot-0000000012+2-1.conf", 12, Some((2, 1))),
            ("reroot-0000000012+0-3.conf", 12, Some((0, 3))),
        ] {
            let parsed: EntryName = name.parse().unwrap();
            assert_eq!(parsed.order.get(), order);
            assert_eq!(parsed.tries.map(|t| (t.left, t.done)), tries);
            assert_eq!(parsed.to_string(), name);
        }
        // A loader may write the second counter although it is 0.
        let zero: EntryName = "reroot-0000000012+3-0.conf".parse().unwrap();
        assert_eq!(zero.to_string(), "reroot-0000000012+3.conf");
    }

    #[test]
    fn what_others_made_is_not_ours() {
        for name in [
            "",
            "reroot-12.conf",
            "reroot-0000000000.conf",
            "reroot-00000000012.conf",
            "reroot-0000000012.conf.bak",
            "reroot-0000000012-debug.conf",
            "reroot-0000000012+.conf",
            "reroot-0000000012+3-.conf",
            "reroot-0000000012+-3.conf",
            "reroot-0000000012+3-1-1.conf",
            "reroot-0000000012+3+2.conf",
            "reroot-0000000012++3.conf",
            "reroot-0000000012+2147483648.conf",
            "reroot-+000000012.conf",
            "reroot-000000001x.conf",
            "Reroot-0000000012.conf",
            ".tmp-reroot-0000000012.conf",
            "debian.conf",
        ] {
            assert!(name.parse::<EntryName>().is_err(), "{name}");
        }
    }

    #[test]
    fn counters_of_any_name_are_found_as_the_loader_finds_them() {
        for (name, expected) in [
            ("a.conf", None),
            ("a+3.conf", Some((3, 0))),
            ("a+1+2-3.conf", Some((2, 3))),
            ("a+b.conf", None),
            ("a+3-x.conf", None),
            ("+0.conf", Some((0, 0))),
        ] {
            assert_eq!(tries_of(name).map(|t| (t.left, t.done)), expected, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn names_round_trip(order in 1..9_999_999_999_u64, left in 0..MOST_TRIES, done in 0..MOST_TRIES, counted: bool) {
            let tries = counted.then_some(Tries { left, done });
            let name = EntryName { order: BootOrder::new(order).unwrap(), tries };
            proptest::prop_assert_eq!(name.to_string().parse::<EntryName>().unwrap(), name);
        }

        #[test]
        fn names_sort_as_their_orders(a in 1..9_999_999_999_u64, b in 1..9_999_999_999_u64) {
            let name = |n| EntryName { order: BootOrder::new(n).unwrap(), tries: None }.to_string();
            proptest::prop_assert_eq!(name(a).cmp(&name(b)), a.cmp(&b));
        }
    }
}
