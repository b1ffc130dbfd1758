//! The environment block: what GRUB remembers from one boot to the next (the GRUB manual, "Environment block").
//!
//! ```text
//! # GRUB Environment Block
//! reroot_entry=reroot-0000000012    the entry whose attempts are counted
//! reroot_tries=3                    how many there were
//! reroot_left=2                     how many are left; the one that runs is counted already
//! reroot_once=reroot-0000000009     what boots next, once; taken away before it is booted
//! #################################…
//! ```
//!
//! 1024 bytes. In values a backslash stands before a backslash and before a newline. GRUB writes into the blocks that the
//! file has and changes nothing else of the file system: it cannot on btrfs, in LVM and on RAID. So the file is made
//! once, with all its bytes, and after that written in its place. What the menu does with it is in [`super::menu()`].

use std::io;

use crate::boot::{Error, Result};
use crate::crashpoint;
use crate::fsx::{self, Dir};

const LOADER: &str = "loader";
pub(super) const FILE: &str = "grubenv";
/// From `$BOOT`.
pub const PATH: &str = "loader/grubenv";
/// As grub-editenv(1) makes it; two sectors.
pub const BLOCK_BYTES: usize = 1024;
const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";

/// The entry whose attempts are counted.
pub const ENTRY: &str = "reroot_entry";
/// How many attempts it had.
pub const TRIES: &str = "reroot_tries";
/// How many are left.
pub const LEFT: &str = "reroot_left";
/// The entry that boots next, once.
pub const ONCE: &str = "reroot_once";

/// The variables of a block in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Parses a block; `None` for what GRUB or we would not take for one.
    pub fn parse(block: &[u8]) -> Option<Self> {
        let mut rest = block.strip_prefix(SIGNATURE).filter(|_| block.len() == BLOCK_BYTES)?;
        let mut variables = Self::default();
        while let Some(first) = rest.first() {
            let (line, after) = if *first == b'#' { comment(rest) } else { line(rest)? };
            if let Some((name, value)) = line {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
                variables.set(&text(name)?, &text(value)?);
            }
            rest = after;
        }
        Some(variables)
    }

    /// The block. `None` when it has not room for all; a name cannot have `=`, a newline, or `#` in front.
    pub fn print(&self) -> Option<Vec<u8>> {
        let mut block = SIGNATURE.to_vec();
        for (name, value) in &self.0 {
            if name.is_empty() || name.starts_with('#') || name.contains(['=', '\n', '\\']) {
                return None;
            }
            block.extend(name.bytes());
            block.push(b'=');
            for byte in value.bytes() {
                if matches!(byte, b'\n' | b'\\') {
                    block.push(b'\\');
                }
                block.push(byte);
            }
            block.push(b'\n');
        }
        let fits = block.len() <= BLOCK_BYTES;
        block.resize(BLOCK_BYTES, b'#');
        fits.then_some(block)
    }

    /// Of a variable that is there and not empty: for the menu both are the same.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(found, _)| found != name);
    }
}

type Variable = (Vec<u8>, Vec<u8>);

fn comment(rest: &[u8]) -> (Option<Variable>, &[u8]) {
    let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |newline| newline + 1);
    (None, &rest[end..])
}

/// A name, its value, and what follows the line.
fn line(rest: &[u8]) -> Option<(Option<Variable>, &[u8])> {
    let equals = rest.iter().position(|b| *b == b'=')?;
    let (name, mut rest) = (&rest[..equals], &rest[equals + 1..]);
    if name.is_empty() || name.iter().any(|b| matches!(b, b'\n' | b'\\')) {
        return None;
    }
    let mut value = Vec::new();
    loop {
        rest = match rest {
            [b'\n', rest @ ..] => return Some((Some((name.into(), value)), rest)),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
            [] => return None,
        };
    }
}

/// Reads the block on `$BOOT`; `None` when it is missing or not one that GRUB could use.
pub fn read(boot: &Dir) -> Result<Option<Environment>> {
    let context = || Error::io(format!("reading {PATH}"));
    let Some(loader) = fsx::subdir_optional(boot, LOADER).map_err(context())? else { return Ok(None) };
    match fsx::read_limited(&loader, FILE, BLOCK_BYTES as u64) {
        Ok(block) => Ok(block.and_then(|block| Environment::parse(&block))),
        // Too long, or no regular file.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(context()(error)),
    }
}

/// Makes an empty block on `$BOOT` unless there is one. GRUB finds it when this returns.
///
/// `settle` as in [`Outside`](crate::boot::execute::Outside::settle).
pub fn ensure(boot: &Dir, settle: &mut dyn FnMut() -> io::Result<()>) -> Result<()> {
    if read(boot)?.is_some() {
        return Ok(());
    }
    let context = || Error::io(format!("writing {PATH}"));
    let block = Environment::default().print().expect("nothing has room");
    let loader = fsx::ensure_dir(boot, LOADER, 0o755).map_err(context())?;
    fsx::write_atomic(&loader, FILE, &block, 0o600).map_err(context())?;
    fsx::sync_dir(boot).and_then(|()| settle()).map_err(context())?;
    crashpoint!("boot.environment-made").map_err(context())
}

/// Changes variables of the block on `$BOOT`, in its place. GRUB finds them when this returns; when it is killed, or the power
/// goes, the block is the old one or the new one: what is in use fits into one sector.
pub fn change(
    boot: &Dir,
    settle: &mut dyn FnMut() -> io::Result<()>,
    edit: impl FnOnce(&mut Environment),
) -> Result<()> {
    let before = read(boot)?
        .ok_or_else(|| Error::refused(format!("{PATH} on $BOOT is no environment block of GRUB")))?;
    let mut after = before.clone();
    edit(&mut after);
    if after == before {
        return Ok(());
    }
    let context = || Error::io(format!("writing {PATH}"));
    let block = after.print().ok_or_else(|| Error::refused(format!("{PATH} on $BOOT is full")))?;
    let loader = fsx::open_subdir(boot, LOADER).map_err(context())?;
    fsx::overwrite(&loader, FILE, &block).and_then(|()| settle()).map_err(context())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn block(text: &str) -> Vec<u8> {
        let mut block = text.as_bytes().to_vec();
        block.resize(BLOCK_BYTES, b'#');
        block
    }

    #[test]
    fn a_block_is_written_as_grub_editenv_writes_it() {
        let variables =
            environment(&[("reroot_entry", "reroot-0000000012"), ("a", "b\\c\nd=#"), ("empty", "")]);
        let expected = "# GRUB Environment Block\nreroot_entry=reroot-0000000012\na=b\\\\c\\\nd=#\nempty=\n";
        assert_eq!(variables.print().unwrap(), block(expected));
        assert_eq!(variables.get("a"), Some("b\\c\nd=#"));
        assert_eq!((variables.get("empty"), variables.get("other")), (None, None));
    }

    #[test]
    fn what_others_wrote_is_read() {
        let text = "# GRUB Environment Block\n# WARNING: Do not edit this file by tools other than grub-editenv!!!\n\
                    saved_entry=x\n";
        assert_eq!(Environment::parse(&block(text)), Some(environment(&[("saved_entry", "x")])));
        assert_eq!(Environment::parse(&block("# GRUB Environment Block\n")), Some(Environment::default()));
        for other in [
            "",
            "a=b\n",
            "# GRUB Environment Block\na",
            "# GRUB Environment Block\n=x\n",
            "# GRUB Environment Block\na=b",
        ] {
            assert_eq!(Environment::parse(&block(other)), None, "{other}");
        }
        let short = &block("# GRUB Environment Block\n")[1..];
        assert_eq!(Environment::parse(short), None);
    }

    #[test]
    fn variables_are_set_and_removed_in_their_place() {
        let mut variables = environment(&[("a", "1"), ("b", "2")]);
        variables.set("a", "3");
        variables.set("c", "4");
        variables.remove("b");
        assert_eq!(variables, environment(&[("a", "3"), ("c", "4")]));
        variables.set("long", &"x".repeat(BLOCK_BYTES));
        assert_eq!(variables.print(), None);
        for name in ["", "#a", "a=", "a\n"] {
            assert_eq!(environment(&[(name, "x")]).print(), None);
        }
    }

    #[test]
    fn the_file_keeps_its_place() {
        let temp = tempfile::tempdir().unwrap();
        let boot = fsx::open_dir(temp.path()).unwrap();
        let mut settled = 0;
        let mut settle = || {
            settled += 1;
            Ok(())
        };
        assert!(
            change(&boot, &mut settle, |_| ()).unwrap_err().to_string().contains("is no environment block")
        );
        ensure(&boot, &mut settle).unwrap();
        let inode = || boot.metadata(PATH).unwrap();
        let made = cap_std::fs::MetadataExt::ino(&inode());
        ensure(&boot, &mut settle).unwrap();
        change(&boot, &mut settle, |variables| variables.set(ONCE, "x")).unwrap();
        change(&boot, &mut settle, |variables| variables.set(ONCE, "x")).unwrap();
        assert_eq!(read(&boot).unwrap().unwrap(), environment(&[(ONCE, "x")]));
        assert_eq!((cap_std::fs::MetadataExt::ino(&inode()), inode().len()), (made, BLOCK_BYTES as u64));
        for damaged in [&b""[..], b"a=b", &[b'#'; 2000]] {
            boot.write(PATH, damaged).unwrap();
            assert_eq!(read(&boot).unwrap(), None);
            ensure(&boot, &mut settle).unwrap();
            assert_eq!(read(&boot).unwrap(), Some(Environment::default()));
        }
        assert_eq!(settled, 5);
    }

    proptest::proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(variables in proptest::collection::btree_map("[a-z_]{1,8}", "[ -~\n\\\\#=ä]{0,20}", 0..8)) {
            let variables = Environment(variables.into_iter().collect());
            proptest::prop_assert_eq!(Environment::parse(&variables.print().unwrap()), Some(variables));
        }

        #[test]
        fn any_bytes_are_a_block_or_none(text in "(a|b|=|\n|\\\\|#){0,40}") {
            if let Some(parsed) = Environment::parse(&block(&format!("# GRUB Environment Block\n{text}"))) {
                proptest::prop_assert_eq!(Environment::parse(&parsed.print().unwrap()), Some(parsed));
            }
        }
    }
}
