//! JSON that every reader understands in the same way.
//!
//! Readers differ on keys: some take the first of two equal ones, some the last; Go's `encoding/json` also takes
//! `Layers` for `layers`, and `layerſ` too. A document on which they would differ could be one image to the tool
//! that signed it and another to us (compare CVE-2021-41190), so it is refused before it is parsed.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Keys below which names are free: `Foo` and `foo` may be two labels.
const FREE: [&str; 4] = ["annotations", "Labels", "ExposedPorts", "Volumes"];

/// Checks that no object has a key twice, and that no key differs from one of `known` only in case.
pub fn check_keys(bytes: &[u8], known: &[&str]) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Keys { known }.deserialize(&mut deserializer)?;
    deserializer.end()
}

#[derive(Clone, Copy)]
struct Keys<'k> {
    known: &'k [&'k str],
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let shown = || crate::names::printable(key.as_bytes());
            if let Some(known) = self.known.iter().find(|known| **known != key && same_to_go(known, &key)) {
                return Err(A::Error::custom(format!("`{}` could be meant for `{known}`", shown())));
            }
            let below = if FREE.contains(&key.as_str()) { Keys { known: &[] } } else { self };
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("`{}` stands twice", shown())));
            }
            map.next_value_seed(below)?;
            seen.insert(key);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether Go's `encoding/json` takes one key for the other: equal after simple case folding, where two letters
/// outside ASCII fold to ASCII ones.
fn same_to_go(known: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    known.chars().map(fold).eq(key.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_readers_take_differently_are_refused() {
        let known = ["layers", "mediaType"];
        let check = |json: &str| check_keys(json.as_bytes(), &known).map_err(|e| e.to_string());
        for fine in [
            r#"{"layers":[{"a":1},{"a":2}],"A":1,"a":[null,true,-1,1.5,"x",1e400]}"#,
            r#"{"annotations":{"Layers":"","layers":"","LAYERS":""}}"#,
            r#"{"config":{"Labels":{"foo":"","Foo":""}}}"#,
        ] {
            // A number that no type holds is for the parser to refuse.
            assert_eq!(check(&fine.replace("1e400", "1")), Ok(()), "{fine}");
        }
        for (json, message) in [
            (r#"{"layers":1,"layers":2}"#, "`layers` stands twice"),
            (r#"{"x":[{"unknown":1,"unknown":1}]}"#, "`unknown` stands twice"),
            (r#"{"annotations":{"a":"1","\u0061":"2"}}"#, "`a` stands twice"),
            (r#"{"Layers":1}"#, "`Layers` could be meant for `layers`"),
            (r#"{"x":{"MEDIATYPE":""}}"#, "`MEDIATYPE` could be meant for `mediaType`"),
            ("{\"layer\u{17f}\":1}", "could be meant for `layers`"),
            ("{} {}", "trailing characters"),
            ("{", "EOF"),
            (&"[".repeat(100_000), "recursion limit"),
        ] {
            let error = check(json).unwrap_err();
            assert!(error.contains(message), "{message}: {error}");
        }
    }
}
