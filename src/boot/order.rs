//! The order of a menu: which entry a loader shows, and boots, first.
//!
//! The rules are those of UAPI.1, "Sorting", as systemd-boot carries them out (`boot_entry_compare`): entries without
//! tries left come last; then sort key, machine id and version; then the file name. Versions are compared by UAPI.10.
//!
//! One rule has a trap: the machine id is compared before the version, and an entry without one comes first. Were a
//! machine's first entry written before its id was known, it would stay first for ever. [`super::plan`] sees to it
//! that all entries of ours have the same, or none has one.

use std::cmp::Ordering;

use super::bls::BlsEntry;
use super::file_name::tries_of;

/// Compares two entries by file name and content; the lesser is shown first.
pub fn compare(a: (&str, &BlsEntry), b: (&str, &BlsEntry)) -> Ordering {
    let is_bad = |file_name: &str| tries_of(file_name).is_some_and(|tries| tries.left == 0);
    is_bad(a.0)
        .cmp(&is_bad(b.0))
        .then_with(|| a.1.sort_key().is_none().cmp(&b.1.sort_key().is_none()))
        .then_with(|| by_sort_key(a.1, b.1))
        // With the counters, as systemd-boot compares them.
        .then_with(|| compare_versions(&b.0.to_lowercase(), &a.0.to_lowercase()))
        // Loaders leave it at that. The same directory gives the same list here.
        .then_with(|| b.0.cmp(a.0))
}

/// Only when both have a sort key.
fn by_sort_key(a: &BlsEntry, b: &BlsEntry) -> Ordering {
    if a.sort_key().is_none() || b.sort_key().is_none() {
        return Ordering::Equal;
    }
    let version = |entry: &BlsEntry| entry.version().unwrap_or_default().to_string();
    // `None` is less than any text (UAPI.1, "Alphanumerical Order").
    (a.sort_key().cmp(&b.sort_key()))
        .then_with(|| a.machine_id().cmp(&b.machine_id()))
        .then_with(|| compare_versions(&version(b), &version(a)))
}

/// Compares two versions (UAPI.10, "Version Comparison").
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        take(&mut a, |c| !is_version_char(c));
        take(&mut b, |c| !is_version_char(c));
        // `~` comes before the end of a version, everything else after it.
        match prefix_order(b'~', &mut a, &mut b) {
            Ordering::Equal => {}
            order => return order,
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        for mark in [b'-', b'^', b'.'] {
            match prefix_order(mark, &mut a, &mut b) {
                Ordering::Equal => {}
                order => return order,
            }
        }
        let order = if starts_with_digit(a) || starts_with_digit(b) {
            compare_numbers(take(&mut a, |c| c.is_ascii_digit()), take(&mut b, |c| c.is_ascii_digit()))
        } else {
            take(&mut a, |c| c.is_ascii_alphabetic()).cmp(take(&mut b, |c| c.is_ascii_alphabetic()))
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// When one of two texts begins with `mark`, it is the lesser; when both do, the mark is taken off.
fn prefix_order(mark: u8, a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    match (a.split_first(), b.split_first()) {
        (Some((x, rest_a)), Some((y, rest_b))) if *x == mark && *y == mark => {
            (*a, *b) = (rest_a, rest_b);
            Ordering::Equal
        }
        (x, y) => {
            let marked = |first: Option<(&u8, &[u8])>| first.is_some_and(|(c, _)| *c == mark);
            marked(y).cmp(&marked(x))
        }
    }
}

/// No digits are less than `0`; leading zeros do not count.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let value = |digits: &[u8]| digits.iter().position(|d| *d != b'0').map_or(digits.len(), |i| i);
    let (value_a, value_b) = (&a[value(a)..], &b[value(b)..]);
    (a.is_empty().cmp(&b.is_empty()).reverse())
        .then(value_a.len().cmp(&value_b.len()))
        .then_with(|| value_a.cmp(value_b))
}

fn is_version_char(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"~-^.".contains(&c)
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn take<'a>(rest: &mut &'a [u8], wanted: impl Fn(u8) -> bool) -> &'a [u8] {
    let length = rest.iter().take_while(|c| wanted(**c)).count();
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From UAPI.10, "Examples", and from what systemd-analyze says where the examples and the rules differ.
    #[test]
    fn versions_are_ordered_as_the_specification_orders_them() {
        for (greater, lesser) in [
            ("foo-123", "bar-123"),
            ("123a", "123"),
            ("123.a", "123"),
            ("123.b", "123.a"),
            ("123a", "123.a"),
            ("a", "A"),
            ("0", ""),
            ("0.", "0"),
            ("0.0", "0"),
            ("0", "~"),
            ("", "~"),
            ("1.2", "1_"),
            ("1_2_3", "1.3.3"),
            ("1.2", "1+"),
            ("123", "123~rc1"),
            ("123~rc2", "123~rc1"),
            ("123^post1", "123"),
            ("123.1", "123^post1"),
            ("10", "9"),
            ("123.1-1", "123-9"),
            ("99999999999999999999999", "99999999999999999999998"),
        ] {
            assert_eq!(compare_versions(greater, lesser), Ordering::Greater, "{greater} {lesser}");
            assert_eq!(compare_versions(lesser, greater), Ordering::Less, "{lesser} {greater}");
        }
        for (a, b) in
            [("11", "11"), ("11α", "11β"), ("1_", "1"), ("_1", "1"), ("1+", "1"), ("004", "04"), ("0", "00")]
        {
            assert_eq!(compare_versions(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    /// Each line is a file name and the content; the menu is what is left of them.
    #[track_caller]
    fn assert_menu(expected: &[(&str, &str)]) {
        let entry = |text: &str| BlsEntry::parse(text.replace(", ", "\n").as_bytes(), "f").unwrap();
        let entries: Vec<_> = expected.iter().map(|(name, text)| (*name, entry(text))).collect();
        for rotated in 0..entries.len() {
            let mut menu: Vec<_> = entries.iter().map(|(name, entry)| (*name, entry)).collect();
            menu.rotate_left(rotated);
            menu.sort_by(|a, b| compare(*a, *b));
            let names: Vec<_> = menu.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_highest_version_is_first_and_bad_ones_are_last() {
        assert_menu(&[
            ("reroot-0000000010+2-1.conf", "sort-key reroot, version 10"),
            ("reroot-0000000009.conf", "sort-key reroot, version 9"),
            ("reroot-0000000008.conf", "sort-key reroot, version 8"),
            ("zz.conf", "title no sort key"),
            ("aa.conf", "title no sort key"),
            ("reroot-0000000011+0-3.conf", "sort-key reroot, version 11"),
        ]);
    }

    #[test]
    fn the_machine_id_is_compared_before_the_version() {
        assert_menu(&[
            ("a-1.conf", "sort-key a, version 1"),
            ("a-3.conf", "sort-key a, machine-id 0a, version 3"),
            ("a-2.conf", "sort-key a, machine-id 0a, version 2"),
            ("a-9.conf", "sort-key a, machine-id 0b, version 9"),
            ("b-9.conf", "sort-key b, version 9"),
        ]);
    }

    #[test]
    fn of_equal_entries_the_file_name_decides() {
        assert_menu(&[
            ("a-10.conf", "sort-key a, version 1"),
            ("a-9+3.conf", "sort-key a, version 1"),
            ("a-9+2-4.conf", "sort-key a, version 1"),
            ("a-9+2-1.conf", "sort-key a, version 1"),
        ]);
    }
}
