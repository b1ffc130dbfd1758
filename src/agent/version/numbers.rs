//! Versions by the calendar, or any others that are numbers.

use std::cmp::Ordering;

/// Numbers with `.`, `-` or `_` between them, and perhaps a word that makes it a pre-release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    numbers: Vec<u64>,
    /// Of a pre-release; empty for a release.
    tail: Vec<Part>,
}

/// A run of digits or of letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Word(String),
    Number(u64),
}

impl Numbers {
    /// `None` when it does not begin with a number, something between two parts is missing, or a number is larger than any date.
    pub fn parse(text: &str) -> Option<Self> {
        let mut version = Self { numbers: Vec::new(), tail: Vec::new() };
        for piece in text.split(['.', '-', '_']) {
            let parts = parts(piece)?;
            match &parts[..] {
                [Part::Number(number)] if version.tail.is_empty() => version.numbers.push(*number),
                // `3rc1`: the number is the last one of the release.
                [Part::Number(number), word @ ..] if version.tail.is_empty() => {
                    version.numbers.push(*number);
                    version.tail.extend_from_slice(word);
                }
                parts => version.tail.extend_from_slice(parts),
            }
        }
        (!version.numbers.is_empty()).then_some(version)
    }

    pub fn is_pre_release(&self) -> bool {
        !self.tail.is_empty()
    }
}

/// The runs of digits and letters in a piece; `None` when it is empty.
fn parts(piece: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = piece;
    while let Some(first) = rest.bytes().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.bytes().position(|b| b.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        parts.push(if is_digit { Part::Number(run.parse().ok()?) } else { Part::Word(run.into()) });
        rest = after;
    }
    (!parts.is_empty()).then_some(parts)
}

impl Ord for Numbers {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_numbers = self.numbers.cmp(&other.numbers);
        by_numbers.then_with(|| match (self.is_pre_release(), other.is_pre_release()) {
            (true, true) => self.tail.cmp(&other.tail),
            (one, another) => another.cmp(&one),
        })
    }
}

impl PartialOrd for Numbers {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_one_by_one() {
        let ascending = [
            "9.1",
            "41.20260930.4",
            "41.20261103-alpha",
            "41.20261103-rc9",
            "41.20261103-rc10",
            "41.20261103-rc10.1",
            "41.20261103",
            "41.20261103.0",
            "41.20261103.1rc1",
            "41.20261103.1",
            "2026.9.30",
            "2026.11.3",
            "2026-11-20",
            "20261103",
        ];
        for pair in ascending.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|text| Numbers::parse(text).unwrap());
            assert!(low < high, "{pair:?}");
            assert_ne!(low, high);
        }
        assert_eq!(Numbers::parse("2026.09.01"), Numbers::parse("2026-9-1"));
    }

    #[test]
    fn what_has_no_number_first_or_a_hole_is_no_version() {
        for text in ["", "x", "x.1", ".1", "1.", "1..2", "-1", "1.-", "99999999999999999999"] {
            assert_eq!(Numbers::parse(text), None, "{text}");
        }
        for (text, is_pre_release) in [("1", false), ("1a", true), ("1.2.dev3", true), ("1_2", false)] {
            assert_eq!(Numbers::parse(text).unwrap().is_pre_release(), is_pre_release, "{text}");
        }
    }
}
