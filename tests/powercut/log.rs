//! The log of a block device: every write, discard and flush, in the order they were sent.
//!
//! The format is version 1 of the kernel's dm-log-writes
//! (<https://docs.kernel.org/admin-guide/device-mapper/log-writes.html>, "Log Format"; structures in
//! `drivers/md/dm-log-writes.c`), which QEMU's `blklogwrites` writes too. All numbers are little-endian:
//!
//! ```text
//! sector 0      magic u64 | version u64 | entries u64 | sector size u32
//! then, each starting on a sector:
//! header        sector u64 | sectors u64 | flags u64 | length of a mark u64
//! data          the bytes written (none for a discard or a flush)
//! ```

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// "This entry holds file system metadata": a remark of dm-log-writes that changes nothing here.
const METADATA: u64 = 16;

/// What the device was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The bytes `data` of the log go to the device at `at`. A `durable` write (FUA) is on disk when it is reported
    /// done, without a flush.
    Write { at: u64, data: Range<usize>, durable: bool },
    /// A discard. The device promises nothing about discarded sectors, but the loop driver also clears blocks with
    /// discards and then relies on reading zeroes, so zeroes it is.
    Clear { at: u64, len: u64 },
    /// All that was done before is on disk once this is reported done.
    Flush,
}

/// One operation and where its header stands in the log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub position: u64,
    pub op: Op,
}

/// A whole log in memory.
pub struct Log {
    bytes: Vec<u8>,
    ops: Vec<Logged>,
}

impl Log {
    /// Reads a log file whose writer has ended.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        ensure!(number(&bytes, 0)? == MAGIC, "not a log of block writes: wrong magic");
        let version = number(&bytes, 8)?;
        ensure!(version == VERSION, "log version {version} is not {VERSION}");
        let entries = number(&bytes, 16)?;
        let sector = u64::from(u32::try_from(number(&bytes, 24)? & 0xffff_ffff)?);
        ensure!(sector.is_power_of_two() && (512..=65536).contains(&sector), "sector size {sector}");

        let mut ops = Vec::new();
        let mut position = sector;
        for index in 0..entries {
            position = parse_entry(&bytes, position, sector, &mut ops)
                .with_context(|| format!("entry {index} of {entries} at byte {position} of the log"))?;
        }
        Ok(Self { bytes, ops })
    }

    pub fn ops(&self) -> &[Logged] {
        &self.ops
    }

    /// The bytes that a write carries.
    pub fn data(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where operation `index` starts in the log file; the end of the file for the index after the last.
    pub fn position(&self, index: usize) -> u64 {
        self.ops.get(index).map_or(self.len_bytes(), |logged| logged.position)
    }

    pub fn is_flush(&self, index: usize) -> bool {
        matches!(self.ops[index].op, Op::Flush)
    }

    /// The stretches between flushes that are not empty, each without the flush that ends it.
    pub fn epochs(&self) -> Vec<Range<usize>> {
        let mut epochs = Vec::new();
        let mut start = 0;
        for index in 0..=self.ops.len() {
            if index == self.ops.len() || self.is_flush(index) {
                if index > start {
                    epochs.push(start..index);
                }
                start = index + 1;
            }
        }
        epochs
    }
}

/// Appends what the entry at `position` says to `ops` and returns where the next entry starts.
fn parse_entry(bytes: &[u8], position: u64, sector: u64, ops: &mut Vec<Logged>) -> Result<u64> {
    let at = usize::try_from(position)?;
    let (first, count, flags) = (number(bytes, at)?, number(bytes, at + 8)?, number(bytes, at + 16)?);
    let mark_len = number(bytes, at + 24)?;
    ensure!(flags & !(FLUSH | FUA | DISCARD | MARK | METADATA) == 0, "unknown flags {flags:#x}");
    let offset = first.checked_mul(sector).context("sector number out of range")?;
    let len = count.checked_mul(sector).context("sector count out of range")?;
    let start = position + sector;

    // A flush with data is a flush before the write (REQ_PREFLUSH).
    if flags & FLUSH != 0 {
        ops.push(Logged { position, op: Op::Flush });
    }
    if flags & MARK != 0 {
        return Ok((start + mark_len).next_multiple_of(sector));
    }
    if flags & DISCARD != 0 {
        ops.push(Logged { position, op: Op::Clear { at: offset, len } });
        return Ok(start);
    }
    if len > 0 {
        let data = usize::try_from(start)?..usize::try_from(start + len)?;
        if data.end > bytes.len() {
            bail!("{len} bytes of data run past the end of the log");
        }
        ops.push(Logged { position, op: Op::Write { at: offset, data, durable: flags & FUA != 0 } });
    }
    Ok(start + len)
}

fn number(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..at + 8).context("the log ends in a header")?;
    Ok(u64::from_le_bytes(field.try_into()?))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Writes logs for tests, with sectors of 512 bytes.
    #[derive(Default)]
    pub struct LogBuilder {
        body: Vec<u8>,
        entries: u64,
    }

    impl LogBuilder {
        pub fn entry(mut self, sector: u64, sectors: u64, flags: u64, data: &[u8]) -> Self {
            let mut header = vec![0; 512];
            let mark_len = if flags & MARK != 0 { data.len() as u64 } else { 0 };
            for (field, value) in header.chunks_mut(8).zip([sector, sectors, flags, mark_len]) {
                field.copy_from_slice(&value.to_le_bytes());
            }
            self.body.extend(header);
            self.body.extend(data);
            self.body.resize(self.body.len().next_multiple_of(512), 0);
            self.entries += 1;
            self
        }

        pub fn write(self, sector: u64, fill: u8) -> Self {
            self.entry(sector, 1, 0, &[fill; 512])
        }

        pub fn flush(self) -> Self {
            self.entry(0, 0, FLUSH, &[])
        }

        pub fn bytes(self) -> Vec<u8> {
            let mut bytes = vec![0; 512];
            bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
            bytes[8..16].copy_from_slice(&VERSION.to_le_bytes());
            bytes[16..24].copy_from_slice(&self.entries.to_le_bytes());
            bytes[24..28].copy_from_slice(&512u32.to_le_bytes());
            bytes.extend(self.body);
            bytes
        }

        pub fn log(self) -> Log {
            Log::parse(self.bytes()).unwrap()
        }
    }

    fn ops(log: &Log) -> Vec<Op> {
        log.ops().iter().map(|logged| logged.op.clone()).collect()
    }

    #[test]
    fn a_log_gives_back_writes_discards_and_flushes_in_order() {
        let log = LogBuilder::default()
            .write(8, b'a')
            .flush()
            .entry(16, 4, DISCARD, &[])
            .entry(3, 2, FUA, &[b'b'; 1024])
            .log();
        assert_eq!(
            ops(&log),
            [
                Op::Write { at: 4096, data: 1024..1536, durable: false },
                Op::Flush,
                Op::Clear { at: 8192, len: 2048 },
                Op::Write { at: 1536, data: 3072..4096, durable: true },
            ]
        );
        assert_eq!(log.data(&(3072..4096)), [b'b'; 1024]);
        assert_eq!(
            log.ops().iter().map(|logged| logged.position).collect::<Vec<_>>(),
            [512, 1536, 2048, 2560]
        );
        assert_eq!(log.position(4), 4096);
    }

    #[test]
    fn a_write_with_a_preflush_comes_after_the_flush() {
        let log = LogBuilder::default().entry(0, 1, FLUSH | METADATA, &[b'a'; 512]).log();
        assert_eq!(ops(&log), [Op::Flush, Op::Write { at: 0, data: 1024..1536, durable: false }]);
    }

    #[test]
    fn a_mark_is_passed_over() {
        let log = LogBuilder::default().entry(0, 0, MARK, b"half way").write(1, b'a').log();
        assert_eq!(ops(&log), [Op::Write { at: 512, data: 2048..2560, durable: false }]);
    }

    #[test]
    fn epochs_are_the_stretches_between_flushes() {
        let log = LogBuilder::default().flush().write(0, 1).write(1, 2).flush().flush().write(2, 3).log();
        assert_eq!(log.epochs(), [1..3, 5..6]);
        assert!(LogBuilder::default().log().epochs().is_empty());
    }

    #[test]
    fn broken_logs_are_refused_with_the_entry_that_is_wrong() {
        let refused = |bytes: Vec<u8>| format!("{:#}", Log::parse(bytes).err().unwrap());
        assert_eq!(refused(vec![0; 512]), "not a log of block writes: wrong magic");
        assert_eq!(refused(vec![]), "the log ends in a header");

        let good = LogBuilder::default().write(0, 1).write(1, 2).bytes();
        let mut newer = good.clone();
        newer[8] = 2;
        assert_eq!(refused(newer), "log version 2 is not 1");
        assert_eq!(
            refused(good[..good.len() - 1].to_vec()),
            "entry 1 of 2 at byte 1536 of the log: 512 bytes of data run past the end of the log"
        );
        let strange = LogBuilder::default().entry(0, 0, 1 << 9, &[]).bytes();
        assert_eq!(refused(strange), "entry 0 of 1 at byte 512 of the log: unknown flags 0x200");
    }
}
