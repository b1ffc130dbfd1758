//! `Content-Range` of a partial answer (RFC 9110, section 14.4).

/// Checks that a partial answer is the rest of a blob: begins at `first` and ends with the blob's last byte.
pub fn is_rest(value: Option<&str>, first: u64, size: u64) -> bool {
    parse(value.unwrap_or_default()) == Some((first, size.wrapping_sub(1), Some(size)))
        || parse(value.unwrap_or_default()) == Some((first, size.wrapping_sub(1), None))
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
fn parse(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(number(total)?),
    };
    Some((number(first)?, number(last)?, total))
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take a plus sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rest_of_the_blob_is_the_rest() {
        for (value, expected) in [
            (Some("bytes 5-9/10"), true),
            (Some("bytes 5-9/*"), true),
            (Some(" bytes 5-9/10 "), true),
            (Some("bytes 4-9/10"), false),
            (Some("bytes 5-8/10"), false),
            (Some("bytes 5-9/11"), false),
            (Some("bytes 5-9"), false),
            (Some("bytes */10"), false),
            (Some("bytes +5-9/10"), false),
            (Some("items 5-9/10"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_rest(value, 5, 10), expected, "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_a_server_should_say_is_understood(first in 0_u64..u64::MAX, more in 1_u64..1 << 40, text in ".{0,40}") {
            let size = first.saturating_add(more);
            let value = format!("bytes {first}-{}/{size}", size - 1);
            proptest::prop_assert!(is_rest(Some(&value), first, size));
            proptest::prop_assert!(!is_rest(Some(&text), first, size));
        }
    }
}
