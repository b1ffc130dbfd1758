//! Databases in memory, as rpm and SQLite would write them.

use super::ndb::adler32;

/// A package in the making.
#[derive(Debug, Clone)]
pub(crate) struct Rpm {
    name: String,
    version: String,
    release: String,
    epoch: Option<u32>,
    files: Vec<String>,
    states: Vec<u8>,
}

impl Rpm {
    pub fn new(name: &str, version: &str, release: &str) -> Self {
        let [name, version, release] = [name, version, release].map(String::from);
        Self { name, version, release, epoch: None, files: Vec::new(), states: Vec::new() }
    }

    pub fn epoch(self, epoch: u32) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    pub fn files(self, paths: &[&str]) -> Self {
        Self { files: paths.iter().map(|path| path.to_string()).collect(), ..self }
    }

    pub fn states(self, states: impl Into<Vec<u8>>) -> Self {
        Self { states: states.into(), ..self }
    }

    /// As it lies in a database.
    pub fn header(&self) -> Vec<u8> {
        let (mut entries, mut data) = (Vec::new(), Vec::new());
        let mut add = |tag: u32, kind: u32, count: usize, bytes: Vec<u8>| {
            let offset = data.len() as u32;
            entries.extend([tag, kind, offset, count as u32].map(u32::to_be_bytes).concat());
            data.extend(bytes);
        };
        let strings =
            |strings: &[&str]| strings.iter().flat_map(|s| [s.as_bytes(), b"\0"].concat()).collect();
        add(1000, 6, 1, strings(&[&self.name]));
        add(1001, 6, 1, strings(&[&self.version]));
        add(1002, 6, 1, strings(&[&self.release]));
        if let Some(epoch) = self.epoch {
            add(1003, 4, 1, epoch.to_be_bytes().into());
        }
        add(1022, 6, 1, strings(&["x86_64"]));
        if !self.files.is_empty() {
            let split = |path: &str| path.rfind('/').unwrap() + 1;
            let mut directories: Vec<&str> = self.files.iter().map(|path| &path[..split(path)]).collect();
            directories.dedup();
            let indexes = self.files.iter().flat_map(|path| {
                let index = directories.iter().position(|directory| *directory == &path[..split(path)]);
                (index.unwrap() as u32).to_be_bytes()
            });
            add(1116, 4, self.files.len(), indexes.collect());
            let names: Vec<_> = self.files.iter().map(|path| &path[split(path)..]).collect();
            add(1117, 8, names.len(), strings(&names));
            add(1118, 8, directories.len(), strings(&directories));
        }
        if !self.states.is_empty() {
            add(1029, 1, self.states.len(), self.states.clone());
        }
        let lengths = [entries.len() as u32 / 16, data.len() as u32].map(u32::to_be_bytes).concat();
        [lengths, entries, data].concat()
    }
}

/// `Packages.db`.
pub(crate) fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let pages = (blobs.len() + 2).div_ceil(256);
    let mut index = [&b"RpmP"[..], &numbers(&[0, 7, pages as u32, blobs.len() as u32 + 1, 0, 0, 0])].concat();
    let mut blocks = Vec::new();
    for (number, blob) in (1..).zip(blobs) {
        let length = blob.len() as u32;
        let mut bytes = [b"BlbS", &*numbers(&[number, 7, length]), blob].concat();
        bytes.resize((bytes.len() + 12).next_multiple_of(16) - 12, 0);
        bytes.extend([&*numbers(&[adler32(&bytes), length]), b"BlbE"].concat());
        let first = (pages * 4096 + blocks.len()) / 16;
        index.extend([&b"Slot"[..], &numbers(&[number, first as u32, bytes.len() as u32 / 16])].concat());
        blocks.extend(bytes);
    }
    index.extend(b"Slot\0\0\0\0\0\0\0\0\0\0\0\0".repeat(pages * 256 - index.len() / 16));
    [index, blocks].concat()
}

/// `rpmdb.sqlite`, with pages of a size.
pub(crate) fn sqlite(blobs: &[Vec<u8>], page_size: usize) -> Vec<u8> {
    let mut pages = Pages { size: page_size, pages: vec![Vec::new()] };
    let rows = (1..).zip(blobs).map(|(row, blob)| {
        let kind = varint(blob.len() as u64 * 2 + 12);
        let record = [&[kind.len() as u8 + 2, 0][..], &kind, blob].concat();
        (row, pages.cell(row, &record))
    });
    let mut level = Vec::new();
    let rows: Vec<_> = rows.collect();
    pages.fill(13, &rows, &mut level);
    while level.len() > 1 {
        let cells: Vec<_> = level
            .iter()
            .map(|(row, page): &(u64, u32)| (*row, [&page.to_be_bytes()[..], &varint(*row)].concat()))
            .collect();
        level.clear();
        pages.fill(5, &cells, &mut level);
    }
    let root = level[0].1;
    let schema = b"CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";
    let types = [7, 23, 29, 29, 4].into_iter().chain(varint(schema.len() as u64 * 2 + 13));
    let record =
        [&types.collect::<Vec<_>>(), &b"tablePackagesPackages"[..], &root.to_be_bytes(), schema].concat();
    let mut record = record;
    record[0] = 7;
    let cell = pages.cell(1, &record);
    let first = pages.page(13, &[cell], 100);
    pages.pages[0] = first;
    let count = pages.pages.len() as u32;
    let header = &mut pages.pages[0];
    header[..16].copy_from_slice(b"SQLite format 3\0");
    header[16..18].copy_from_slice(&(if page_size == 65536 { 1 } else { page_size as u16 }).to_be_bytes());
    header[18..24].copy_from_slice(&[2, 2, 0, 64, 32, 32]);
    for (at, number) in [(24, 3), (28, count), (44, 4), (56, 1), (92, 3)] {
        header[at..at + 4].copy_from_slice(&u32::to_be_bytes(number));
    }
    pages.pages.concat()
}

struct Pages {
    size: usize,
    pages: Vec<Vec<u8>>,
}

impl Pages {
    fn add(&mut self, page: Vec<u8>) -> u32 {
        self.pages.push(page);
        self.pages.len() as u32
    }

    /// A row, what does not fit into it in pages of their own.
    fn cell(&mut self, row: u64, record: &[u8]) -> Vec<u8> {
        let (most, least) = (self.size - 35, (self.size - 12) * 32 / 255 - 23);
        let here = match record.len() {
            length if length <= most => length,
            length => match least + (length - least) % (self.size - 4) {
                here if here <= most => here,
                _ => least,
            },
        };
        let mut next = 0_u32;
        for part in record[here..].chunks(self.size - 4).rev() {
            let mut page = [&next.to_be_bytes(), part].concat();
            page.resize(self.size, 0);
            next = self.add(page);
        }
        let mut cell = [varint(record.len() as u64), varint(row), record[..here].into()].concat();
        if next != 0 {
            cell.extend(next.to_be_bytes());
        }
        cell
    }

    /// Puts cells into as many pages as they need; `level` gets the last row and the number of each.
    fn fill(&mut self, kind: u8, mut cells: &[(u64, Vec<u8>)], level: &mut Vec<(u64, u32)>) {
        loop {
            let mut room = self.size - 12;
            let fits = cells.iter().take_while(|(_, cell)| {
                let left = room.checked_sub(cell.len() + 2);
                room = left.unwrap_or_default();
                left.is_some()
            });
            let count = fits.count();
            let (now, later) = cells.split_at(count);
            let bytes: Vec<_> = now.iter().map(|(_, cell)| cell.clone()).collect();
            let page = self.page(kind, &bytes, 0);
            let number = self.add(page);
            level.push((now.last().map_or(0, |(row, _)| *row), number));
            cells = later;
            if cells.is_empty() {
                return;
            }
        }
    }

    /// A page with its header at an offset. Of cells that lead to others the last becomes the page's own.
    fn page(&self, kind: u8, cells: &[Vec<u8>], offset: usize) -> Vec<u8> {
        let (last, cells) = match cells.split_last() {
            Some((last, before)) if kind == 5 => (&last[..4], before),
            _ => (&[][..], cells),
        };
        let mut page = vec![0; self.size];
        let mut end = self.size;
        let pointers: Vec<u8> = cells
            .iter()
            .flat_map(|cell| {
                end -= cell.len();
                page[end..end + cell.len()].copy_from_slice(cell);
                (end as u16).to_be_bytes()
            })
            .collect();
        let [[a, b], [c, d]] = [cells.len() as u16, end as u16].map(u16::to_be_bytes);
        let header = [&[kind, 0, 0, a, b, c, d, 0], last, &pointers].concat();
        page[offset..offset + header.len()].copy_from_slice(&header);
        page
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![number as u8 & 0x7f];
    while number >= 0x80 {
        number >>= 7;
        bytes.insert(0, number as u8 | 0x80);
    }
    bytes
}
