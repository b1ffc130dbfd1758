//! Windows as they are written: days of the week, a time of the day, a length.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::civil::{Time, Weekday};

/// Shorter ones would be missed between two looks at the clock.
const SHORTEST: Duration = Duration::from_secs(60);
/// A week: with every day that is always.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A window that opens on some days of every week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    days: Vec<Weekday>,
    start: Time,
    length: Duration,
}

/// What is wrong with a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("`{0}` is not a day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun, or several as Mon..Fri")]
    Day(String),
    #[error("no day is given; leave `days` out for every day")]
    NoDays,
    #[error("`{0}` is not a time of the day; write 00:00 to 23:59")]
    Start(String),
    #[error("a window must be open for 1m to 7d")]
    Length,
    #[error("there is no window")]
    NoWindows,
}

impl Window {
    /// A window that opens at `start` on each of `days`, for `length`: a minute to a week.
    pub fn new(
        days: impl IntoIterator<Item = Weekday>,
        start: Time,
        length: Duration,
    ) -> Result<Self, WindowError> {
        let mut days: Vec<_> = days.into_iter().collect();
        days.sort_by_key(|day| day.to_monday_zero_offset());
        days.dedup();
        if days.is_empty() {
            return Err(WindowError::NoDays);
        }
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(WindowError::Length);
        }
        Ok(Self { days, start, length })
    }

    /// From Monday on, none twice.
    pub fn days(&self) -> &[Weekday] {
        &self.days
    }

    pub fn start(&self) -> Time {
        self.start
    }

    /// How long it stays open, in time that passes.
    pub fn length(&self) -> Duration {
        self.length
    }
}

/// Days of the week in English, at least their first three letters in any case: `Sat`, `sunday`; `Fri..Mon` is all from the
/// first to the last, as in systemd.time(7).
pub fn parse_days<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Weekday>, WindowError> {
    let mut days = Vec::new();
    for text in texts {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let wrong = || WindowError::Day(text.into());
        let (first, last) = (day(first).ok_or_else(wrong)?, day(last).ok_or_else(wrong)?);
        let count = first.until(last);
        days.extend((0..=count).map(|n| first.wrapping_add(n)));
    }
    if days.is_empty() { Err(WindowError::NoDays) } else { Ok(days) }
}

fn day(text: &str) -> Option<Weekday> {
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let text = text.trim().to_ascii_lowercase();
    let index = NAMES.iter().position(|name| text.len() >= 3 && name.starts_with(&text))?;
    Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
}

/// A time of the day, `23:30`.
pub fn parse_start(text: &str) -> Result<Time, WindowError> {
    let wrong = || WindowError::Start(text.into());
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str, lengths: RangeInclusive<usize>| {
        let is_number = lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if is_number { digits.parse().ok() } else { None }
    };
    // Not `12:5`: some would mean 12:50.
    match (number(hour, 1..=2), number(minute, 2..=2)) {
        (Some(hour), Some(minute)) => Time::new(hour, minute, 0, 0).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Weekday::*;

    #[test]
    fn days_are_names_and_ranges() {
        for (texts, expected) in [
            (&["Sat", "Sun"][..], &[Saturday, Sunday][..]),
            (&["monday", "WEDN"], &[Monday, Wednesday]),
            (&["Sat..Mon"], &[Saturday, Sunday, Monday]),
            (&["Mon..Sun"], &[Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]),
            (&["Tue..Tue", "Tue"], &[Tuesday, Tuesday]),
        ] {
            assert_eq!(parse_days(texts.iter().copied()).unwrap(), expected, "{texts:?}");
        }
        for text in ["", "S", "Su", "Sonntag", "Mon-Fri", "Mon..", "..", "Sundays"] {
            assert_eq!(parse_days([text]), Err(WindowError::Day(text.into())));
        }
        assert_eq!(parse_days([]), Err(WindowError::NoDays));
    }

    #[test]
    fn a_start_is_a_time_of_the_day() {
        for (text, expected) in [("00:00", (0, 0)), ("23:59", (23, 59)), ("7:05", (7, 5))] {
            assert_eq!(parse_start(text).unwrap(), Time::constant(expected.0, expected.1, 0, 0));
        }
        for text in
            ["", ":", "24:00", "12:60", "12", "12:5:3", "+1:30", "012:30", "12:3", "noon", "1:2", "1:234"]
        {
            assert_eq!(parse_start(text), Err(WindowError::Start(text.into())), "{text}");
        }
    }

    #[test]
    fn a_window_has_days_and_a_length_that_make_sense() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let window = |days: &[Weekday], length| Window::new(days.iter().copied(), Time::midnight(), length);
        assert_eq!(window(&[Sunday, Monday, Sunday], minutes(1)).unwrap().days(), [Monday, Sunday]);
        assert_eq!(window(&[], minutes(1)), Err(WindowError::NoDays));
        assert_eq!(window(&[Monday], Duration::from_secs(59)), Err(WindowError::Length));
        assert_eq!(window(&[Monday], minutes(7 * 24 * 60 + 1)), Err(WindowError::Length));
    }
}
