//! Extension records of pax, strictly: each is `length key=value\n`, nothing is between or after them, no key
//! comes twice, and every value that makes a tree is well-formed.
//!
//! The length counts, never the newline: values hold newlines (a `security.capability` often does), and a reader
//! that splits at them can be made to see a path that others do not. POSIX.1-2017 pax, "pax Extended Header";
//! GNU tar manual, "Storing Sparse Files"; star(5) and libarchive's tar(5) for the xattrs.

use crate::names::printable;
use crate::repo::Mtime;

/// Why records are refused.
type Refusal = String;

/// What the records of one entry say beside names, ids and sizes, which the parser applies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub mtime: Option<Mtime>,
    /// Names and values of xattrs, sorted by name, without duplicates.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub has_path: bool,
    pub has_link: bool,
    /// Which of GNU's sparse formats the records make up.
    pub sparse: Option<SparseFormat>,
}

/// GNU's pax formats of sparse files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SparseFormat {
    /// 0.0 and 0.1: the map is in the records; the number of its regions, where it is said.
    Records { regions: Option<u64> },
    /// 1.0: the map is in front of the content.
    InContent,
}

impl Extensions {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut this = Self::default();
        let mut sparse = Sparse::default();
        let mut seen = Vec::new();
        for record in records(bytes) {
            let (key, value) = record?;
            // Sparse format 0.0 repeats these two on purpose.
            if !matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes") {
                seen.push(key);
            }
            let malformed = || format!("its extension record `{}` is malformed", printable(key));
            match key {
                b"path" => this.has_path = true,
                b"linkpath" => this.has_link = true,
                b"size" | b"uid" | b"gid" => drop(natural(value).ok_or_else(malformed)?),
                b"mtime" => this.mtime = Some(time(value).ok_or_else(malformed)?),
                _ => {
                    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        sparse.take(key, value).ok_or_else(malformed)?;
                        this.has_path |= key == b"name";
                    } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        this.xattrs.push((name.into(), value.into()));
                    } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                        let name = percent_decode(name).ok_or_else(malformed)?;
                        this.xattrs.push((name, base64_decode(value).ok_or_else(malformed)?));
                    }
                }
            }
        }
        seen.sort_unstable();
        if let Some(twice) = seen.windows(2).find(|w| w[0] == w[1]) {
            return Err(format!("it has two extension records `{}`", printable(twice[0])));
        }
        // bsdtar writes every xattr in both ways.
        this.xattrs.sort_unstable();
        this.xattrs.dedup();
        if let Some(twice) = this.xattrs.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(format!("it has two values of the xattr `{}`", printable(&twice[0].0)));
        }
        this.sparse = sparse.format()?;
        Ok(this)
    }
}

/// Refuses global records that would name, size or describe entries: some readers apply them to every later
/// entry and some to none. The rest (a comment, a commit id) is harmless.
pub(super) fn check_global(bytes: &[u8]) -> Result<(), Refusal> {
    for record in records(bytes) {
        let (key, _) = record?;
        let harmful = matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime")
            || [&b"SCHILY."[..], b"LIBARCHIVE.", b"GNU."].iter().any(|prefix| key.starts_with(prefix));
        if harmful {
            return Err(format!("a global extension header sets `{}`", printable(key)));
        }
    }
    Ok(())
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn records(mut rest: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Refusal>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = split_record(rest);
        rest = record.map_or(&[], |(_, tail)| tail);
        Some(record.map(|(record, _)| record).ok_or_else(|| "its extension records are malformed".into()))
    })
}

fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    // A million bytes are the most, so that more than seven digits are wrong.
    let space = bytes.iter().take(8).position(|b| *b == b' ')?;
    let length = usize::try_from(natural(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    if key.is_empty() { None } else { Some(((key, value), rest)) }
}

/// The sparse records of an entry.
#[derive(Default)]
struct Sparse {
    any: bool,
    version: [Option<u64>; 2],
    /// `size` and `realsize` are two names of the same.
    sizes: u32,
    regions: Option<u64>,
    map: bool,
    offsets: u64,
    lengths: u64,
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.any = true;
        match key {
            b"major" => self.version[0] = Some(natural(value)?),
            b"minor" => self.version[1] = Some(natural(value)?),
            b"size" | b"realsize" => {
                natural(value)?;
                self.sizes += 1;
            }
            b"numblocks" => self.regions = Some(natural(value)?),
            b"map" => {
                self.map = true;
                let numbers = value.split(|b| *b == b',');
                if !value.is_empty() && !numbers.into_iter().all(|n| natural(n).is_some()) {
                    return None;
                }
            }
            b"offset" => {
                natural(value)?;
                self.offsets += 1;
                // Each waits for its length.
                (self.offsets == self.lengths + 1).then_some(())?;
            }
            b"numbytes" => {
                natural(value)?;
                self.lengths += 1;
                (self.offsets == self.lengths).then_some(())?;
            }
            b"name" => {}
            _ => return None,
        }
        Some(())
    }

    fn format(&self) -> Result<Option<SparseFormat>, Refusal> {
        if !self.any {
            return Ok(None);
        }
        let pairs = self.offsets > 0;
        let one_size_and_whole_pairs = self.sizes == 1 && self.offsets == self.lengths;
        match (self.version, self.map, pairs) {
            ([Some(1), Some(0)], false, false) if self.sizes == 1 => Ok(Some(SparseFormat::InContent)),
            ([None, None] | [Some(0), Some(0 | 1)], map, pairs)
                if map != pairs && one_size_and_whole_pairs =>
            {
                Ok(Some(SparseFormat::Records { regions: self.regions }))
            }
            _ => Err("its sparse records are incomplete or of an unknown version".into()),
        }
    }
}

/// Decimal digits and nothing else.
fn natural(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with a sign and a fraction (pax, "mtime"). Digits beyond the nanosecond are cut off.
fn time(text: &[u8]) -> Option<Mtime> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(natural(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => Mtime { seconds, nanoseconds },
        (true, 0) => Mtime { seconds: -seconds, nanoseconds },
        // Nanoseconds count forward from the second before.
        (true, _) => Mtime { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            let digit = |b: u8| char::from(b).to_digit(16);
            out.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
            rest = tail;
        } else {
            out.push(*first);
        }
    }
    Some(out)
}

/// libarchive leaves the padding away.
fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |i| i + 1);
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(&text[..end]).ok()
}

#[cfg(test)]
mod tests;
