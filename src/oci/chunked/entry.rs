//! An entry of the table of contents: what a tar's header says, as containers/storage takes it from there (`NewFileMetadata` in
//! `minimal/compression.go`). Its readers compare the two and want them the same.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tar_core::parse::ParsedEntry;
use tar_core::{EntryType, PaxExtensions};

use crate::digest::Sha256;

/// Go reads years of four digits alone. The last one is the limit of [`Timestamp`].
const YEAR_0: i64 = -62_167_219_200;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub gid: u64,
    /// RFC 3339. One without it would get the time of whoever reads it.
    pub modtime: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub dev_minor: u64,
    /// Values in base64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    /// Of the content, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256>,
    /// From here in the blob…
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// … to here is the frame of the content.
    #[serde(skip_serializing_if = "is_zero")]
    pub end_offset: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Entry {
    /// Fails for what the table cannot say; the reason.
    pub(super) fn of(header: &ParsedEntry<'_>) -> Result<Self, String> {
        let name = text(&header.path, "its name")?;
        let kind = match header.entry_type {
            EntryType::Regular => "reg",
            EntryType::Link => "hardlink",
            EntryType::Symlink => "symlink",
            EntryType::Char => "char",
            EntryType::Block => "block",
            EntryType::Directory => "dir",
            EntryType::Fifo => "fifo",
            other => return Err(format!("zstd:chunked has no entries of the type {other:?}")),
        };
        if header.size > 0 && kind != "reg" {
            return Err(format!("its type is {kind}, and it has a content"));
        }
        let xattrs = header
            .xattrs
            .iter()
            .map(|(name, value)| Ok((text(name, "the name of an xattr")?, STANDARD.encode(value))));
        Ok(Self {
            kind,
            name,
            link_name: text(header.link_target.as_deref().unwrap_or_default(), "its target")?,
            mode: header.mode.into(),
            size: header.size,
            uid: header.uid,
            gid: header.gid,
            modtime: time(header)?,
            dev_major: header.dev_major.unwrap_or_default().into(),
            dev_minor: header.dev_minor.unwrap_or_default().into(),
            xattrs: xattrs.collect::<Result<_, String>>()?,
            ..Self::default()
        })
    }
}

fn text(bytes: &[u8], what: &str) -> Result<String, String> {
    String::from_utf8(bytes.into()).map_err(|_| format!("zstd:chunked wants UTF-8, which {what} is not"))
}

/// Seconds with a fraction are in an extension record, where they count.
fn time(header: &ParsedEntry<'_>) -> Result<String, String> {
    let unreadable = |_| "its time is malformed".to_owned();
    let mut exact = None;
    for record in header.pax.map(PaxExtensions::new).into_iter().flatten() {
        let record = record.map_err(|e| e.to_string())?;
        if record.key_bytes() == b"mtime" {
            let seconds = text(record.value_bytes(), "its time")?;
            exact = Some(format!("{seconds}s").parse::<SignedDuration>().map_err(unreadable)?);
        }
    }
    let since_epoch = match exact {
        Some(duration) => duration,
        None => SignedDuration::from_secs(header.mtime.try_into().unwrap_or(i64::MAX)),
    };
    Timestamp::from_duration(since_epoch)
        .ok()
        .filter(|time| time.as_second() >= YEAR_0)
        .map(|time| time.to_string())
        .ok_or_else(|| "zstd:chunked has times from the year 0 to 9999, and its time is another".into())
}

#[cfg(test)]
mod tests {
    use tar_core::builder::EntryBuilder;
    use tar_core::parse::{ParseEvent, Parser};

    use super::*;

    fn read(build: impl FnOnce(&mut EntryBuilder) -> &mut EntryBuilder) -> Result<Entry, String> {
        let mut builder = EntryBuilder::new_ustar();
        builder.path("a").entry_type(EntryType::Regular);
        builder.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().size(0).unwrap().mtime(0).unwrap();
        build(&mut builder);
        let bytes = builder.finish_bytes();
        let mut parser = Parser::with_defaults();
        parser.set_ignore_pax_errors(true);
        match parser.parse(&bytes).unwrap() {
            ParseEvent::Entry { entry, .. } => Entry::of(&entry),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn times_are_those_of_the_extension() {
        for (seconds, expected) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("1600000000.123456789", "2020-09-13T12:26:40.123456789Z"),
            ("-1.75", "1969-12-31T23:59:58.25Z"),
            ("20000000000", "2603-10-11T11:33:20Z"),
        ] {
            assert_eq!(read(|builder| builder.add_pax("mtime", seconds)).unwrap().modtime, expected);
        }
        let entry = read(|builder| builder.mtime(1_600_000_000).unwrap()).unwrap();
        assert_eq!(entry.modtime, "2020-09-13T12:26:40Z");
    }

    #[test]
    fn what_the_table_cannot_say_is_refused() {
        let time = |seconds| read(|builder| builder.add_pax("mtime", seconds));
        let cases = [
            (read(|builder| builder.path(b"\xff")), "zstd:chunked wants UTF-8, which its name is not"),
            (time("300000000000"), "zstd:chunked has times from the year 0 to 9999, and its time is another"),
            (time("-70000000000"), "zstd:chunked has times from the year 0 to 9999, and its time is another"),
            (time("soon"), "its time is malformed"),
            (
                read(|builder| builder.entry_type(EntryType::Continuous)),
                "zstd:chunked has no entries of the type Continuous",
            ),
        ];
        for (result, expected) in cases {
            assert_eq!(result.unwrap_err(), expected);
        }
    }
}
