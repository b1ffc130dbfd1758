//! `Retry-After`: when a server wants to be asked again.

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{DATE, RETRY_AFTER};

/// What an answer says about asking again; `now` is this machine's time.
pub fn retry_after(response: &Response, now: SystemTime) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    // A date is compared with the server's own clock when it tells it: ours may be wrong.
    let date = response.headers().get(DATE).and_then(|d| d.to_str().ok());
    let theirs = date.and_then(|d| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(d).ok());
    parse_retry_after(value, theirs.map_or(now, SystemTime::from))
}

/// Reads `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3). A date that has passed is now; what
/// is neither is ignored.
fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    // The preferred form of an HTTP date is one of RFC 2822's.
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_retry_after_panics(text in ".{0,40}", seconds: u32) {
            parse_retry_after(&text, SystemTime::UNIX_EPOCH);
            let expected = Some(Duration::from_secs(seconds.into()));
            proptest::prop_assert_eq!(parse_retry_after(&seconds.to_string(), SystemTime::UNIX_EPOCH), expected);
        }
    }
}
