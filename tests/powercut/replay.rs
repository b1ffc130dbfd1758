//! Disks as a power cut would leave them, made from a log.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::SeekFrom;

use crate::cut::{PAGE, PowerCut, pieces, survivors};
use crate::log::Log;

type Page = Box<[u8; PAGE as usize]>;

/// A disk image in a file, which a loop device may show to the kernel, and what it should hold in memory.
///
/// Between [`Disk::cut`] and [`Disk::restore`] anyone may write to the file; `restore` finds what changed by
/// comparing, which at a few dozen MiB of real data costs less than keeping book, and trusts nobody.
pub struct Disk {
    file: File,
    size: u64,
    /// The pages that are not all zeroes, as of operation `applied`.
    pages: BTreeMap<u64, Page>,
    applied: usize,
}

impl Disk {
    /// Makes `path` a copy of the image `base`, from before the first operation of the log.
    pub fn create(path: &Path, base: &Path) -> Result<Self> {
        let source = File::open(base).with_context(|| format!("opening {}", base.display()))?;
        let size = source.metadata()?.len();
        ensure!(size % PAGE == 0, "{}: {size} bytes are not whole pages", base.display());
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size)?;
        let mut disk = Self { file, size, pages: read_pages(&source, size)?, applied: 0 };
        disk.restore()?;
        Ok(disk)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes the file what the disk holds after `cut`, which must not lie before an earlier one.
    pub fn cut(&mut self, log: &Log, cut: &PowerCut) -> Result<()> {
        self.advance(log, cut.flushed)?;
        for survivor in survivors(log, cut) {
            self.file.write_all_at(survivor.bytes, survivor.at).context("writing the disk image")?;
        }
        Ok(())
    }

    /// Undoes what was written to the file since the last [`Disk::cut`], its lossy writes too. Returns the number
    /// of pages that had changed.
    pub fn restore(&mut self) -> Result<usize> {
        let zero = [0; PAGE as usize];
        let mut changed = 0;
        let mut seen = 0;
        for (start, end) in data_extents(&self.file, self.size)? {
            changed += self.fill(seen..start)?;
            let mut bytes = vec![0; usize::try_from(end - start)?];
            self.file.read_exact_at(&mut bytes, start)?;
            for (at, found) in (start..end).step_by(PAGE as usize).zip(bytes.chunks(PAGE as usize)) {
                let wanted = self.pages.get(&at).map_or(&zero, |page| &**page);
                if found != wanted {
                    self.file.write_all_at(wanted, at)?;
                    changed += 1;
                }
            }
            seen = end;
        }
        Ok(changed + self.fill(seen..self.size)?)
    }

    /// Copies the file as it is now, holes as holes.
    pub fn copy(&self, path: &Path) -> Result<()> {
        let copy = File::create(path).with_context(|| format!("making {}", path.display()))?;
        copy.set_len(self.size)?;
        for (at, page) in read_pages(&self.file, self.size)? {
            copy.write_all_at(&*page, at)?;
        }
        Ok(())
    }

    /// Whether the disk after the whole log is `image`, byte for byte.
    pub fn verify(&mut self, log: &Log, image: &Path) -> Result<()> {
        self.advance(log, log.ops().len())?;
        let image = File::open(image).with_context(|| format!("opening {}", image.display()))?;
        ensure!(image.metadata()?.len() == self.size, "the final image has another size");
        let found = read_pages(&image, self.size)?;
        let differs = |at: &&u64| self.pages.get(at) != found.get(at);
        match self.pages.keys().chain(found.keys()).filter(differs).min() {
            Some(at) => bail!("base and log differ from the final image, first in the page at {at:#x}"),
            None => Ok(()),
        }
    }

    /// Applies the operations before `to`, in memory and to the file.
    fn advance(&mut self, log: &Log, to: usize) -> Result<()> {
        ensure!(to >= self.applied, "a replay cannot go back from {} to {to}", self.applied);
        for logged in &log.ops()[self.applied..to] {
            for (at, bytes) in pieces(log, &logged.op) {
                self.file.write_all_at(bytes, at).context("writing the disk image")?;
                self.remember(at, bytes);
            }
        }
        self.applied = to;
        Ok(())
    }

    /// Changes bytes of one page in memory.
    fn remember(&mut self, at: u64, bytes: &[u8]) {
        let page_at = at - at % PAGE;
        let start = (at - page_at) as usize;
        let page = self.pages.entry(page_at).or_insert_with(|| Box::new([0; PAGE as usize]));
        page[start..start + bytes.len()].copy_from_slice(bytes);
        if page.iter().all(|&byte| byte == 0) {
            self.pages.remove(&page_at);
        }
    }

    /// Writes the pages that belong into a hole of the file.
    fn fill(&self, hole: Range<u64>) -> Result<usize> {
        let mut filled = 0;
        for (&at, page) in self.pages.range(hole) {
            self.file.write_all_at(&**page, at)?;
            filled += 1;
        }
        Ok(filled)
    }
}

fn read_pages(file: &File, size: u64) -> Result<BTreeMap<u64, Page>> {
    let mut pages = BTreeMap::new();
    for (start, end) in data_extents(file, size)? {
        for at in (start..end).step_by(PAGE as usize) {
            let mut page = Box::new([0; PAGE as usize]);
            file.read_exact_at(&mut *page, at)?;
            if page.iter().any(|&byte| byte != 0) {
                pages.insert(at, page);
            }
        }
    }
    Ok(pages)
}

/// The parts of `file` that are not holes, widened to whole pages.
fn data_extents(file: &File, size: u64) -> Result<Vec<(u64, u64)>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => {
                let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
                let (start, end) = (start - start % PAGE, end.next_multiple_of(PAGE).min(size));
                extents.push((start, end));
                at = end;
            }
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error).context("looking for holes of the disk image"),
        }
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::Kept;
    use crate::log::tests::LogBuilder;

    /// A disk of 4 pages of zeroes in a directory of its own.
    fn blank_disk() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        File::create(&base).unwrap().set_len(4 * PAGE).unwrap();
        let disk = Disk::create(&dir.path().join("disk"), &base).unwrap();
        (dir, disk)
    }

    /// The first byte of each of the first 24 sectors.
    fn sectors(disk: &Disk) -> Vec<u8> {
        let mut bytes = vec![0; 24 * 512];
        disk.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes.chunks(512).map(|sector| sector[0]).collect()
    }

    fn log_of_two_epochs() -> Log {
        LogBuilder::default()
            .write(0, 1)
            .write(1, 2)
            .flush()
            .write(0, 3)
            .write(8, 4)
            .write(16, 5)
            .flush()
            .log()
    }

    #[test]
    fn a_boundary_holds_all_before_the_flush_and_nothing_after() {
        let (_dir, mut disk) = blank_disk();
        let log = log_of_two_epochs();
        disk.cut(&log, &PowerCut { flushed: 3, end: 6, kept: Kept::Nothing }).unwrap();
        assert_eq!(sectors(&disk)[..2], [1, 2]);
        assert_eq!(sectors(&disk)[8], 0);
    }

    #[test]
    fn a_prefix_holds_all_that_was_sent() {
        let (_dir, mut disk) = blank_disk();
        let log = log_of_two_epochs();
        disk.cut(&log, &PowerCut { flushed: 3, end: 5, kept: Kept::All }).unwrap();
        let found = sectors(&disk);
        assert_eq!((found[0], found[1], found[8], found[16]), (3, 2, 4, 0));
    }

    #[test]
    fn kept_writes_are_any_subset_and_the_same_for_the_same_seed() {
        let log = log_of_two_epochs();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let outcome = |kept| {
                let (_dir, mut disk) = blank_disk();
                disk.cut(&log, &PowerCut { flushed: 3, end: 6, kept }).unwrap();
                let found = sectors(&disk);
                (found[0], found[8], found[16])
            };
            assert_eq!(outcome(Kept::Writes { seed }), outcome(Kept::Writes { seed }));
            seen.insert(outcome(Kept::Writes { seed }));
        }
        assert_eq!(seen.len(), 8, "{seen:?}");
    }

    #[test]
    fn pages_of_one_write_are_kept_one_by_one_but_writes_only_whole() {
        let log = LogBuilder::default().entry(0, 24, 0, &[7; 24 * 512]).log();
        let outcomes = |kept: fn(u64) -> Kept| {
            (0..64)
                .map(|seed| {
                    let (_dir, mut disk) = blank_disk();
                    disk.cut(&log, &PowerCut { flushed: 0, end: 1, kept: kept(seed) }).unwrap();
                    let found = sectors(&disk);
                    (found[0], found[8], found[16])
                })
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(outcomes(|seed| Kept::Pages { seed }), 8);
        assert_eq!(outcomes(|seed| Kept::Writes { seed }), 2);
    }

    #[test]
    fn a_durable_write_is_never_lost() {
        let (_dir, mut disk) = blank_disk();
        let log = LogBuilder::default().write(0, 1).entry(8, 1, 2, &[2; 512]).log();
        disk.cut(&log, &PowerCut { flushed: 0, end: 2, kept: Kept::Nothing }).unwrap();
        assert_eq!((sectors(&disk)[0], sectors(&disk)[8]), (0, 2));
    }

    #[test]
    fn restore_undoes_lossy_writes_foreign_writes_and_holes() {
        let (_dir, mut disk) = blank_disk();
        let log = log_of_two_epochs();
        disk.cut(&log, &PowerCut { flushed: 3, end: 6, kept: Kept::All }).unwrap();
        disk.file.write_all_at(&[9; 100], 3 * PAGE + 5).unwrap();
        rustix::fs::fallocate(
            &disk.file,
            rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
            0,
            PAGE,
        )
        .unwrap();
        assert_eq!(disk.restore().unwrap(), 4);
        let mut expected = vec![0; 24];
        expected[..2].copy_from_slice(&[1, 2]);
        assert_eq!(sectors(&disk), expected);
        assert_eq!(disk.restore().unwrap(), 0);
    }

    #[test]
    fn a_cleared_range_reads_as_zeroes() {
        let (_dir, mut disk) = blank_disk();
        let log = LogBuilder::default().write(7, 1).write(8, 2).write(9, 3).entry(7, 2, 4, &[]).flush().log();
        disk.cut(&log, &PowerCut { flushed: 5, end: 5, kept: Kept::All }).unwrap();
        assert_eq!(sectors(&disk)[7..10], [0, 0, 3]);
        assert_eq!(disk.pages.len(), 1);
    }

    #[test]
    fn verify_names_the_page_that_differs() {
        let (dir, mut disk) = blank_disk();
        let log = log_of_two_epochs();
        let image = dir.path().join("final");
        let file = File::create(&image).unwrap();
        file.set_len(4 * PAGE).unwrap();
        for (sector, fill) in [(0, 3), (1, 2), (8, 4), (16, 5)] {
            file.write_all_at(&[fill; 512], sector * 512).unwrap();
        }
        disk.verify(&log, &image).unwrap();
        file.write_all_at(&[1], PAGE).unwrap();
        assert_eq!(
            disk.verify(&log, &image).unwrap_err().to_string(),
            "base and log differ from the final image, first in the page at 0x1000"
        );
    }

    #[test]
    fn no_two_cuts_leave_the_same_disk() {
        let log = log_of_two_epochs();
        let mut disks = std::collections::HashSet::new();
        let cuts = crate::cut::cuts(&log, 50, 1);
        for cut in &cuts {
            let (_dir, mut disk) = blank_disk();
            disk.cut(&log, cut).unwrap();
            assert!(disks.insert(sectors(&disk)), "{cut:?}");
        }
        // Two subsets of the first two writes besides none and all, six of the three others, three boundaries.
        assert_eq!(cuts.len(), 11);
    }
}
