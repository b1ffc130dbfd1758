//! The order of rpm's versions (rpm-version(7), `rpmio/rpmvercmp.c`): `[epoch:]version[-release]`.

use std::cmp::Ordering;

use super::{take, take_numbers};

/// Runs of digits and runs of letters take turns as they come; what separates them is not looked at, but for `~`,
/// which is before the end, and `^`, which is after the end and before everything else.
pub(super) fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        skip_separators(&mut a);
        skip_separators(&mut b);
        let order = match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (Some(b'~'), _) => Ordering::Less,
            (_, Some(b'~')) => Ordering::Greater,
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(b'^'), Some(_)) => Ordering::Less,
            (Some(_), Some(b'^')) => Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() != y.is_ascii_digit() => {
                x.is_ascii_digit().cmp(&y.is_ascii_digit())
            }
            (Some(x), Some(_)) if x.is_ascii_digit() => take_numbers(&mut a, &mut b),
            (Some(_), Some(_)) => {
                take(&mut a, u8::is_ascii_alphabetic).cmp(take(&mut b, u8::is_ascii_alphabetic))
            }
        };
        if order.is_ne() || a.is_empty() && b.is_empty() {
            return order;
        }
    }
}

fn skip_separators(rest: &mut &[u8]) {
    take(rest, |c| !c.is_ascii_alphanumeric() && !matches!(c, b'~' | b'^'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Manager;

    fn compare(a: &str, b: &str) -> Ordering {
        super::super::compare(Manager::Rpm, a, b)
    }

    #[test]
    fn versions_are_ordered_as_rpm_orders_them() {
        for (smaller, larger) in [
            ("1.0", "2.0"),
            ("2.0", "2.0.1"),
            ("2.0.1", "2.0.1a"),
            ("5.5p1", "5.5p10"),
            ("10xyz", "10.1xyz"),
            ("xyz.4", "8"),
            ("6.0", "6.0.rc1"),
            ("10a2", "10b2"),
            ("1.0a", "1.0aa"),
            ("10.1", "10.39"),
            ("4.999.9", "5.0"),
            ("1.0~rc1", "1.0"),
            ("1.0~rc1~git123", "1.0~rc1"),
            ("1.0", "1.0^"),
            ("1.0^git1", "1.0^git2"),
            ("1.0^git1", "1.01"),
            ("1.0^20160101", "1.0.1"),
            ("1.0^20160101^git1", "1.0^20160102"),
            ("1.0~rc1", "1.0~rc1^git1"),
            ("1.0^git1~pre", "1.0^git1"),
            ("99999999999999999998", "99999999999999999999"),
            ("9-1", "1:1-1"),
            ("1-1.fc40", "1-2.fc40"),
            ("1-1.fc40", "1-1.1.fc40"),
            ("1-1.el9", "1-1.el9_2"),
        ] {
            assert_eq!(compare(smaller, larger), Ordering::Less, "{smaller} {larger}");
            assert_eq!(compare(larger, smaller), Ordering::Greater, "{larger} {smaller}");
        }
        for (a, b) in
            [("2.0", "2_0"), ("10.0001", "10.1"), ("a+", "a_"), ("+", "_"), ("0:1-1", "1-1"), ("", "")]
        {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
