//! A row (2.1): the types of its columns, then their values.
//!
//! ```text
//! varint          bytes of the types, with this number
//! varint *        0 NULL, 1 to 6 integers of 1, 2, 3, 4, 6 and 8 bytes, 7 a float, 8 and 9 the integers 0 and 1,
//!                 from 12 even blobs of (n - 12) / 2 bytes, from 13 odd texts of (n - 13) / 2
//! values
//! ```

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'r> {
    Integer(i64),
    Text(&'r [u8]),
    Blob(&'r [u8]),
    /// Also a column that the row does not have.
    Other,
}

/// A column of a record; the first is 0. `None` when the record is cut off.
pub(super) fn column(record: &[u8], index: usize) -> Option<Value<'_>> {
    let mut rest = record;
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let mut types = record.get(record.len() - rest.len()..length)?;
    let mut values = record.get(length..)?;
    for _ in 0..index {
        if types.is_empty() {
            return Some(Value::Other);
        }
        values = values.get(size(varint(&mut types)?)?..)?;
    }
    if types.is_empty() {
        return Some(Value::Other);
    }
    let kind = varint(&mut types)?;
    let value = values.get(..size(kind)?)?;
    Some(match kind {
        1..=6 => {
            let sign = if value[0] & 0x80 == 0 { 0 } else { -1 };
            Value::Integer(value.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
        }
        8 | 9 => Value::Integer(i64::from(kind == 9)),
        12.. if kind % 2 == 0 => Value::Blob(value),
        12.. => Value::Text(value),
        _ => Value::Other,
    })
}

/// The bytes of a value.
fn size(kind: u64) -> Option<usize> {
    Some(match kind {
        0 | 8 | 9 => 0,
        1..=4 => kind as usize,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        _ => usize::try_from((kind - 12) / 2).ok()?,
    })
}

/// A number of one to nine bytes, seven bits in each, all eight in the last (1.6).
pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for count in 1..=9 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if count == 9 {
            return Some(number << 8 | u64::from(*byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found() {
        let record = b"\x08\x00\x01\x02\x09\x13\x12\x07\xff\x01\x00abc\xff\0\x01xxxxxxxx";
        let columns: Vec<_> = (0..8).map(|index| column(record, index).unwrap()).collect();
        assert_eq!(
            columns,
            [
                Value::Other,
                Value::Integer(-1),
                Value::Integer(256),
                Value::Integer(1),
                Value::Text(b"abc"),
                Value::Blob(b"\xff\0\x01"),
                Value::Other,
                Value::Other
            ]
        );
        for cut in [&b""[..], b"\x03\x13", b"\x02\x13ab", b"\x81", b"\x02\x0a", b"\x09\x00"] {
            assert!(column(cut, 0).is_none(), "{cut:?}");
        }
    }

    #[test]
    fn numbers_have_up_to_nine_bytes() {
        for (bytes, number) in [
            (&b"\x7f"[..], 127),
            (b"\x81\x00", 128),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX),
            (b"\x80\x80\x80\x80\x80\x80\x80\x80\x01", 1),
        ] {
            let mut rest = bytes;
            assert_eq!((varint(&mut rest), rest), (Some(number), &b""[..]));
        }
        assert_eq!(varint(&mut &b"\x81"[..]), None);
    }
}
