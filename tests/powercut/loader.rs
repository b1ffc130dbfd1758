//! What GRUB finds on a disk: it reads the file system by itself, and no journal. The disk is asked by grub-fstest(1), which
//! has GRUB's own code for that, before anything mounts it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::device::installed;

/// The record of a sysroot whose `$BOOT` GRUB reads from the root file system.
pub const RECORD: &str =
    r#"{"version": 1, "loader": "grub", "root": {"fsUuid": "1A2B-3C4D", "prefix": "/boot"}}"#;
const MENU: &str = "/boot/loader/grub.cfg";
/// The menu counts in it, so it is there before a menu is.
const ENVIRONMENT: &str = "/boot/loader/grubenv";

pub fn obstacle() -> Option<String> {
    (!installed("grub-fstest")).then(|| "grub-fstest is not installed".into())
}

/// The deployments of the menu, the default first; every kernel that it names must be whole.
pub fn menu(device: &Path) -> Result<Vec<u64>> {
    let text = String::from_utf8(read(device, MENU)?).context("the menu is no text")?;
    let environment = read(device, ENVIRONMENT)?;
    let is_whole = environment.len() == 1024 && environment.starts_with(b"# GRUB Environment Block\n");
    ensure!(is_whole, "{ENVIRONMENT} is damaged");
    let mut menu = Vec::new();
    for entry in text.split("\nmenuentry ").skip(1) {
        let word = |name: &str| {
            // One that is on trial is tried: `if linux …; then`.
            let commands = entry.lines().map(|line| line.trim().trim_start_matches("if "));
            let mut commands = commands.map(|line| line.trim_end_matches("; then"));
            let line = commands.find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.with_context(|| format!("no {name} in {entry}"))
        };
        let (linux, initrd) = (word("linux")?, word("initrd")?);
        let unquoted = |path: &str| path.trim_matches('\'').to_owned();
        let mut words = linux.split(' ');
        let (kernel, initrd) = (unquoted(words.next().unwrap_or_default()), unquoted(initrd));
        let digest = kernel.split('/').rev().nth(1).context("a kernel without a directory")?.to_owned();
        ensure!(
            digest == pair_digest(&read(device, &kernel)?, &read(device, &initrd)?),
            "{kernel} is damaged"
        );
        let argument = words.map(unquoted).find_map(|word| word.strip_prefix("reroot=").map(str::to_owned));
        let id = argument.context("no reroot=")?.rsplit('/').next().unwrap_or_default().parse()?;
        menu.push(id);
    }
    Ok(menu)
}

/// As docs/boot-entries.md says: the beginning of blake3 over both files with their lengths.
fn pair_digest(vmlinuz: &[u8], initrd: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for content in [vmlinuz, initrd] {
        hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

fn read(device: &Path, path: &str) -> Result<Vec<u8>> {
    let output = Command::new("grub-fstest")
        .arg(device)
        .args(["cat", &format!("(loop0){path}")])
        .stdin(Stdio::null())
        .output()
        .context("running grub-fstest")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "GRUB cannot read {path}: {}", said.trim());
    Ok(output.stdout)
}
