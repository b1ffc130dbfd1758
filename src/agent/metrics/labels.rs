//! Labels whose values come from elsewhere.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;

/// More kinds than this program has and a server of the field sends.
const MOST: usize = 64;
/// What kinds are counted under when there are too many.
const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct State {
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct By {
    pub by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operation {
    pub operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationKind {
    pub operation: &'static str,
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Booted {
    pub version: String,
    pub digest: String,
}

/// Kinds of errors, some of them a server's words: a server that makes up new ones must not fill the memory of whoever keeps
/// the metrics.
#[derive(Debug, Default)]
pub struct Kinds {
    known: Mutex<BTreeSet<String>>,
}

impl Kinds {
    /// The label for a kind.
    pub fn label(&self, kind: &str) -> Cow<'static, str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(kind) {
            return kind.to_owned().into();
        }
        if known.len() >= MOST {
            return OTHER.into();
        }
        known.insert(kind.to_owned());
        kind.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_kinds() {
        let kinds = Kinds::default();
        for n in 0..MOST {
            assert_eq!(kinds.label(&format!("kind_{n}")), format!("kind_{n}"));
        }
        assert_eq!(kinds.label("one_more"), "other");
        assert_eq!(kinds.label("kind_3"), "kind_3");
    }
}
