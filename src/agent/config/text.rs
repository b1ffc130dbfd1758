//! Values that are written as text: times, sizes, addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::oci::Rate;
use crate::ops::drop_in::Placed;
use crate::ops::{Error, Result};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
/// 24 hours, whatever the clocks do.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A length of time within a range, or the default when there is none: `90s`, `5m`, `1h 30m`, `2d`.
pub fn duration(
    key: &str,
    placed: Option<Placed<String>>,
    range: RangeInclusive<Duration>,
    default: Duration,
) -> Result<Duration> {
    let Some(placed) = placed else { return Ok(default) };
    let Some(duration) = parse_duration(&placed.value) else {
        return Err(refuse(&placed, key, "a length of time, such as 90s, 5m, 1h 30m or 2d"));
    };
    if range.contains(&duration) {
        return Ok(duration);
    }
    let [low, high] = [range.start(), range.end()].map(|limit| shown(*limit));
    Err(refuse(&placed, key, &format!("{low} to {high}")))
}

/// A length of time as people write it, of any length.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.trim() == "0" {
        return Some(Duration::ZERO);
    }
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// In the largest unit that it is a number of.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")].map(|(unit, name)| (unit.as_secs(), name));
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// Bytes per second, as `--limit-rate` has it.
pub fn rate(key: &str, placed: &Placed<String>) -> Result<Rate> {
    let allowed = "bytes per second, at least 1K, such as 500K or 2M";
    placed.value.parse().map_err(|_| refuse(placed, key, allowed))
}

/// Where a server is; `/` at its end does not count.
pub fn url(key: &str, placed: Placed<String>) -> Result<String> {
    let text = placed.value.trim_end_matches('/');
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_sound = |host: &str| {
        let is_printable = host.chars().all(|c| c.is_ascii_graphic());
        is_printable && !host.starts_with(['/', ':', '?', '#']) && !host.contains(['?', '#'])
    };
    if host.is_some_and(|host| !host.is_empty() && is_sound(host)) {
        return Ok(text.into());
    }
    Err(refuse(&placed, key, "the address of a server, https://… or http://…, without `?` and `#`"))
}

/// An address that only this machine can reach.
pub fn loopback(key: &str, placed: &Placed<String>) -> Result<SocketAddr> {
    let address = placed.value.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
    let allowed = "a loopback address and a port, such as 127.0.0.1:9101 or [::1]:9101";
    address.ok_or_else(|| refuse(placed, key, allowed))
}

/// A file that node_exporter reads.
pub fn textfile(key: &str, placed: &Placed<String>) -> Result<PathBuf> {
    let path = PathBuf::from(&placed.value);
    let is_plain = path.components().all(|c| !matches!(c, std::path::Component::ParentDir));
    match path.is_absolute() && is_plain && placed.value.ends_with(".prom") && path.file_stem().is_some() {
        true => Ok(path),
        false => Err(refuse(placed, key, "an absolute path that ends in .prom, without `..`")),
    }
}

/// A word of some characters: nothing that could be meant otherwise in a request.
pub fn word(key: &str, placed: Option<Placed<String>>, default: &str, also: &str) -> Result<String> {
    let Some(placed) = placed else { return Ok(default.into()) };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if !placed.value.is_empty() && placed.value.chars().all(is_allowed) {
        return Ok(placed.value);
    }
    let also: Vec<String> = also.chars().map(|c| format!("`{c}`")).collect();
    Err(refuse(&placed, key, &format!("letters, digits and {}, at least one", also.join(" "))))
}

/// As [`Placed::refuse`], with the text in quotes.
pub fn refuse(placed: &Placed<String>, key: &str, allowed: &str) -> Error {
    let quoted = Placed { value: format!("{:?}", placed.value), place: placed.place.clone() };
    quoted.refuse(key, allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(text: &str) -> Placed<String> {
        Placed { value: text.into(), place: "f:1".into() }
    }

    #[test]
    fn lengths_of_time_are_read_and_shown() {
        let read = |text: &str| duration("key", Some(placed(text)), MINUTE..=30 * DAY, DAY);
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("2d", 172_800),
            ("1 day 2 hours", 93_600),
            ("1w", 604_800),
            (" 1.5h ", 5400),
            ("PT10M", 600),
        ] {
            assert_eq!(read(text).unwrap().as_secs(), seconds, "{text}");
        }
        assert_eq!(duration("key", None, MINUTE..=DAY, HOUR).unwrap(), HOUR);
        assert_eq!(duration("key", Some(placed("0")), Duration::ZERO..=DAY, HOUR).unwrap(), Duration::ZERO);
        for text in ["", "5", "-5m", "5m ago", "1 month", "1y", "5 parsecs", "1e3s", "99999999999999999w"] {
            let expected = format!(
                "f:1: `key` is {text:?}, but must be a length of time, such as 90s, 5m, 1h 30m or 2d"
            );
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
        for text in ["59s", "31d", "0s"] {
            let expected = format!("f:1: `key` is {text:?}, but must be 1m to 30d");
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
        let shown = [Duration::ZERO, 90 * SECOND, HOUR, 36 * HOUR].map(shown);
        assert_eq!(shown, ["0s", "90s", "1h", "36h"]);
    }

    #[test]
    fn rates_are_bytes_per_second() {
        assert_eq!(rate("key", &placed("2M")).unwrap().bytes_per_second(), 2 << 20);
        for text in ["", "0", "fast"] {
            let expected = format!(
                "f:1: `key` is {text:?}, but must be bytes per second, at least 1K, such as 500K or 2M"
            );
            assert_eq!(rate("key", &placed(text)).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn addresses_of_servers_and_of_this_machine() {
        for (text, expected) in [
            ("https://graph.example.com/", Some("https://graph.example.com")),
            ("http://[::1]:8080/a/${group}", Some("http://[::1]:8080/a/${group}")),
            ("graph.example.com", None),
            ("https://", None),
            ("https:///x", None),
            ("ftp://a", None),
            ("https://a?b=c", None),
            ("https://a b", None),
        ] {
            assert_eq!(url("key", placed(text)).ok().as_deref(), expected, "{text}");
        }
        for (text, is_allowed) in [
            ("127.0.0.1:9101", true),
            ("[::1]:9101", true),
            ("0.0.0.0:9101", false),
            ("192.0.2.1:9101", false),
            ("localhost:9101", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(loopback("key", &placed(text)).is_ok(), is_allowed, "{text}");
        }
        for (text, is_allowed) in [
            ("/var/lib/node_exporter/reroot.prom", true),
            ("reroot.prom", false),
            ("/var/lib/reroot.txt", false),
            ("/a/../b.prom", false),
        ] {
            assert_eq!(textfile("key", &placed(text)).is_ok(), is_allowed, "{text}");
        }
    }

    #[test]
    fn words_have_no_other_characters() {
        assert_eq!(word("key", None, "default", ".-").unwrap(), "default");
        assert_eq!(word("key", Some(placed("web.eu-1")), "", ".-").unwrap(), "web.eu-1");
        for text in ["", "a b", "a_b", "ä"] {
            let expected =
                format!("f:1: `key` is {text:?}, but must be letters, digits and `.` `-`, at least one");
            assert_eq!(word("key", Some(placed(text)), "", ".-").unwrap_err().to_string(), expected);
        }
    }
}
