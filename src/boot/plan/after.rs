//! `$BOOT` as it is when a plan was carried out, without carrying it out.

use super::{Entry, Observed, Plan};
use crate::boot::order;

impl Plan {
    /// What will be observed afterwards. Of the space only what is certain: files that go free their bytes at least,
    /// those that come take at most what is counted for them.
    pub fn after(&self, before: &Observed) -> Observed {
        let goes =
            |name: &String| self.entries_to_remove.contains(name) || self.useless_entries.contains(name);
        let mut after = before.clone();
        after.entries.entries.retain(|entry| !goes(&entry.file_name));
        after.entries.unreadable.retain(|file| !goes(&file.file_name));
        after.entries.scratch.clear();
        after.entries.entries.extend(self.entries_to_write.iter().map(|(name, bls)| Entry {
            file_name: name.to_string(),
            name: Some(*name),
            bls: bls.clone(),
        }));
        after.entries.entries.sort_by(|a, b| order::compare((&a.file_name, &a.bls), (&b.file_name, &b.bls)));
        after.pairs.extend(&self.pairs_to_write);
        after.pairs.retain(|pair| !self.pairs_to_sweep.contains(pair));
        after.available_bytes =
            before.available_bytes.saturating_sub(self.needed_bytes).saturating_add(self.freed_bytes());
        if let Some(menu) = &self.grub_menu {
            after.grub_menu = Some(menu.clone().into_bytes());
        }
        after
    }
}
