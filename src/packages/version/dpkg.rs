//! The order of Debian versions (deb-version(7)): `[epoch:]upstream[-revision]`. apk's is close to it.

use std::cmp::Ordering;

use super::{take, take_numbers};

/// Takes turns: a run of non-digits by [`weight`], a run of digits by value.
pub(super) fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take(&mut a, |c| !c.is_ascii_digit()), take(&mut b, |c| !c.is_ascii_digit()));
        for i in 0..text_a.len().max(text_b.len()) {
            let order = weight(text_a.get(i)).cmp(&weight(text_b.get(i)));
            if order.is_ne() {
                return order;
            }
        }
        let order = take_numbers(&mut a, &mut b);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// `~` before the end, the end before letters, letters before everything else.
fn weight(c: Option<&u8>) -> i32 {
    match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Manager;

    fn compare(a: &str, b: &str) -> Ordering {
        super::super::compare(Manager::Dpkg, a, b)
    }

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        for (smaller, larger) in [
            ("1.0", "1.1"),
            ("1.9", "1.10"),
            ("9", "1:1"),
            ("1.0~rc1", "1.0"),
            ("1.0~~", "1.0~"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b"),
            ("1.0-1", "1.0-2"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1+deb13u1"),
            ("6.12.48+deb13", "6.12.57+deb13"),
            ("99999999999999999998", "99999999999999999999"),
        ] {
            assert_eq!(compare(smaller, larger), Ordering::Less, "{smaller} {larger}");
            assert_eq!(compare(larger, smaller), Ordering::Greater, "{larger} {smaller}");
        }
        for (a, b) in [("1.0", "0:1.0"), ("1.0", "1.00"), ("1.0-0", "1.0"), ("", "")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
