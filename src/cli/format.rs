//! Sizes, ages, digests and tables for people.

use comfy_table::{CellAlignment, Table};
use indicatif::BinaryBytes;

/// A size with a binary prefix.
pub(super) fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// `1 layer`, `3 layers`.
pub(super) fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// `1 directory`, `3 directories`.
pub(super) fn directories(n: u64) -> String {
    if n == 1 { "1 directory".into() } else { format!("{n} directories") }
}

/// The algorithm and the first twelve digits: enough to tell images of a machine apart.
pub(super) fn short_digest(digest: &crate::digest::Sha256) -> String {
    format!("sha256:{}", &digest.hex()[..12])
}

/// How long ago, in one unit.
pub(super) fn age(then: jiff::Timestamp, now: u64) -> String {
    let seconds = (now as i64).saturating_sub(then.as_second());
    match seconds {
        ..0 => "in the future".into(),
        0..60 => "just now".into(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        172_800..5_184_000 => format!("{} d ago", seconds / 86_400),
        _ => format!("{} months ago", seconds / 2_592_000),
    }
}

/// Columns without borders; `right` are aligned to the right. Every line ends without spaces.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for index in 0..head.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let then = jiff::Timestamp::from_second(1_000_000).unwrap();
        for (now, expected) in [
            (999_999, "in the future"),
            (1_000_030, "just now"),
            (1_000_090, "1 min ago"),
            (1_090_000, "25 h ago"),
            (1_864_000, "10 d ago"),
            (11_000_000, "3 months ago"),
        ] {
            assert_eq!(age(then, now), expected);
        }
    }

    #[test]
    fn tables_have_no_borders() {
        let text =
            table(&["NAME", "SIZE"], [vec!["a".into(), "10".into()], vec!["long".into(), "5".into()]], &[1]);
        assert_eq!(text, "NAME  SIZE\na       10\nlong     5\n");
    }
}
