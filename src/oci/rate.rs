//! How fast bytes may be fetched, as people write it: `500K`, `2M`, `1.5G`.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::names::printable;

/// Bytes in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

/// Slower than this and a server's limits for slow readers come first.
const SLOWEST: u64 = 1 << 10;
/// K, M, G are powers of 1024, as for curl and wget.
const UNITS: [(char, u64); 3] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];

impl Rate {
    pub fn bytes_per_second(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{}` is no rate; it is bytes per second, at least 1K: 500K, 2M, 1.5G",
                printable(text.as_bytes())
            )
        };
        let text = text.trim();
        let upper = text.chars().last().map(|c| c.to_ascii_uppercase());
        let unit = UNITS.iter().find(|(letter, _)| Some(*letter) == upper);
        let number = if unit.is_some() { &text[..text.len() - 1] } else { text };
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number: f64 = plain.then(|| number.parse().ok()).flatten().ok_or_else(bad)?;
        // Beyond 2^64 it is 2^64: faster than any line in either case.
        let bytes = (number * unit.map_or(1, |(_, factor)| *factor) as f64) as u64;
        NonZeroU64::new(bytes).filter(|bytes| bytes.get() >= SLOWEST).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes_per_second();
        match UNITS.iter().rev().find(|(_, factor)| bytes.is_multiple_of(*factor)) {
            Some((letter, factor)) => write!(f, "{}{letter}", bytes / factor),
            None => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_with_a_unit() {
        for (text, expected) in [
            ("2M", Ok(("2M", 2 << 20))),
            ("1.5g", Ok(("1536M", 3 << 29))),
            ("500k", Ok(("500K", 500 << 10))),
            ("1024", Ok(("1K", 1024))),
            ("2000", Ok(("2000", 2000))),
            ("999999999999999G", Ok(("18446744073709551615", u64::MAX))),
        ] {
            let found = text.parse::<Rate>().map(|rate| (rate.to_string(), rate.bytes_per_second()));
            assert_eq!(
                found,
                expected.map(|(shown, bytes): (&str, u64)| (shown.to_owned(), bytes)),
                "{text}"
            );
        }
        for text in ["", "0", "M", "-1M", "1e3", "1T", "1 M", "1.1.1M", "100", "inf", "NaN", "1MB"] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains("is no rate; it is bytes per second"), "{text}: {error}");
        }
    }
}
