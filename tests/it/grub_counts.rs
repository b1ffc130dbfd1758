//! GRUB itself counts the attempts of a trial: the generated menu runs in a virtual machine whose kernels are lines on its
//! serial console. Every boot there takes about a second.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reroot::boot::grub::env::{BLOCK_BYTES, ENTRY, Environment, LEFT, ONCE};
use reroot::boot::grub::{GrubRoot, MODULES, main_config};
use reroot::boot::plan::{Menu, Wanted};
use reroot::boot::trials;

use crate::support::boot::{Boot, on_trial, wanted};
use crate::support::skip::{scratch, skip};
use crate::support::tools::{command, missing, run};

const PARTS: &str = "/usr/lib/grub/i386-pc";
const PARTITION_START: u64 = 1 << 20;
const PARTITION_BYTES: u64 = 32 << 20;
/// A boot takes one second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What stands for kernels, and for the module that would load them: `linux` is not in this GRUB.
const KERNELS: &str = "
serial --unit=0 --speed=115200
terminal_output serial
function linux {
	if [ \"$reroot_broken\" = \"$1\" ]; then
		false
	else
		for word in \"$@\"; do
			echo \"WORD $word\"
		done
		echo BOOTED
		reboot
	fi
}
function initrd {
	true
}
function sleep {
	echo \"SLEPT $1\"
}
";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filesystem {
    Ext4,
    Fat,
}

/// A disk with GRUB and a `$BOOT` with nothing but a menu.
struct Disk {
    boot: Boot,
    place: tempfile::TempDir,
}

impl Disk {
    fn new(filesystem: Filesystem, all: &[Wanted], environment: Option<&Environment>, header: &str) -> Self {
        let uuid = match filesystem {
            Filesystem::Ext4 => "8d4d9b0e-0a51-4a3c-9d5e-5d0b0f1f6d10",
            Filesystem::Fat => "1A2B-3C4D",
        };
        let root = GrubRoot::new(uuid, "").unwrap();
        let boot = Boot::new(Menu::Grub(root.clone()));
        boot.reach(all);
        boot.write("grub/grub.cfg", format!("{KERNELS}{header}\n{}", main_config(&root, 0)).as_bytes());
        if let Some(environment) = environment {
            boot.write("loader/grubenv", &environment.print().unwrap());
        }
        let disk = Self { boot, place: scratch() };
        disk.write_partition(filesystem, uuid);
        disk.write_grub();
        disk
    }

    fn image(&self) -> PathBuf {
        self.place.path().join("disk")
    }

    fn write_partition(&self, filesystem: Filesystem, uuid: &str) {
        let (files, partition) = (self.boot.path(), self.place.path().join("partition"));
        fs::File::create(&partition).unwrap().set_len(PARTITION_BYTES).unwrap();
        match filesystem {
            Filesystem::Ext4 => {
                let mut make = command("mke2fs");
                make.args([
                    "-q",
                    "-t",
                    "ext4",
                    "-U",
                    uuid,
                    "-O",
                    "none,has_journal,extent,dir_index,filetype,64bit,metadata_csum",
                ]);
                run(make.arg("-d").arg(files).arg(&partition));
            }
            Filesystem::Fat => {
                run(command("mkfs.vfat").args(["-i", &uuid.replace('-', "")]).arg(&partition));
                let directories = ["grub", "loader"].map(|name| files.join(name));
                run(command("mcopy").args(["-s", "-i"]).arg(&partition).args(directories).arg("::"));
            }
        }
        let mut disk = fs::File::create(self.image()).unwrap();
        let mut table = [0; 66];
        table[4] = 0x83;
        table[8..12].copy_from_slice(&((PARTITION_START / 512) as u32).to_le_bytes());
        table[12..16].copy_from_slice(&((PARTITION_BYTES / 512) as u32).to_le_bytes());
        table[64..].copy_from_slice(&[0x55, 0xAA]);
        disk.seek(SeekFrom::Start(446)).unwrap();
        disk.write_all(&table).unwrap();
        disk.seek(SeekFrom::Start(PARTITION_START)).unwrap();
        disk.write_all(&fs::read(partition).unwrap()).unwrap();
    }

    /// In the first sectors, as `grub-install` puts it there; see src/ops/install/bios.rs.
    fn write_grub(&self) {
        let core = self.place.path().join("core");
        let mut make = command("grub-mkimage");
        make.args(["-O", "i386-pc", "-p", "(hd0,msdos1)/grub", "-o"]).arg(&core);
        make.args(["biosdisk", "ext2", "fat", "serial", "terminal", "true"]);
        run(make.args(MODULES.iter().filter(|name| !["linux", "sleep"].contains(*name))));
        let (mut first, mut rest) =
            (fs::read(Path::new(PARTS).join("boot.img")).unwrap(), fs::read(core).unwrap());
        first[0x5C..0x64].copy_from_slice(&1_u64.to_le_bytes());
        first[0x66..0x68].copy_from_slice(&[0x90; 2]);
        rest[0x1F4..0x1FC].copy_from_slice(&2_u64.to_le_bytes());
        assert!((rest.len() as u64) < PARTITION_START - 512);
        let mut disk = fs::OpenOptions::new().write(true).open(self.image()).unwrap();
        disk.write_all(&first[..440]).unwrap();
        disk.seek(SeekFrom::Start(512)).unwrap();
        disk.write_all(&rest).unwrap();
    }

    /// Starts the machine until it has booted `number` kernels. Gives the deployments that they belong to, each with a
    /// `!` behind it when it would restart after a panic.
    fn boots(&self, number: usize) -> String {
        let drive = format!("if=none,id=disk,format=raw,file={}", self.image().display());
        let mut machine = command("qemu-system-x86_64");
        machine.args(["-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "64", "-no-user-config"]);
        machine.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-drive", &drive]);
        machine.args(["-device", "ide-hd,drive=disk", "-boot", "c"]);
        let mut machine = machine.stdout(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        let mut said = Vec::new();
        let (mut booted, mut words) = (Vec::new(), Vec::new());
        // Ends at the latest when the machine does.
        let (lines, reader) = std::sync::mpsc::channel();
        let output = machine.stdout.take().unwrap();
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if lines.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                    return;
                }
            }
        });
        while booted.len() < number {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let Ok(line) = reader.recv_timeout(left) else { break };
            if let Some((_, word)) = line.split_once("WORD ") {
                words.push(word.to_owned());
            } else if line.ends_with("BOOTED") {
                let id =
                    words.iter().find_map(|word| word.strip_prefix("reroot=/reroot/deploy/default/deploy/"));
                let restarts =
                    words.ends_with(&["panic=10", "rd.shell=0", "rd.emergency=reboot"].map(String::from));
                booted.push(format!("{}{}", id.unwrap(), if restarts { "!" } else { "" }));
                words.clear();
            }
            said.push(line);
        }
        machine.kill().unwrap();
        machine.wait().unwrap();
        drop(reader);
        thread.join().unwrap();
        assert_eq!(booted.len(), number, "{said:#?}");
        booted.join(" ")
    }

    /// GRUB's environment as it is on the disk, in the sectors that it had.
    fn environment(&self) -> Environment {
        let mut partition = Vec::new();
        let mut disk = fs::File::open(self.image()).unwrap();
        disk.seek(SeekFrom::Start(PARTITION_START)).unwrap();
        disk.read_to_end(&mut partition).unwrap();
        let mut blocks = partition.chunks_exact(512).enumerate();
        let (index, _) = blocks.find(|(_, block)| block.starts_with(b"# GRUB Environment Block\n")).unwrap();
        let block = &partition[index * 512..][..BLOCK_BYTES];
        let environment = Environment::parse(block).unwrap();
        // What is read here is what `trials` finds on a machine.
        self.boot.write("loader/grubenv", block);
        environment
    }

    /// Left and done of the deployment that was counted last.
    fn counted(&self) -> String {
        self.environment();
        let counted = trials::read(&self.boot.dir, &self.boot.menu).unwrap();
        let shown =
            counted.iter().map(|(order, tries)| format!("{order}: {} left, {} done", tries.left, tries.done));
        shown.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn grub_tries_three_times_and_falls_back() {
    let programs = ["qemu-system-x86_64", "grub-mkimage", "mke2fs", "mkfs.vfat", "mcopy"];
    if let Some(reason) = missing(&programs) {
        return skip("grub_tries_three_times_and_falls_back", reason);
    }
    if !Path::new(PARTS).join("boot.img").exists() {
        return skip("grub_tries_three_times_and_falls_back", "not installed: grub-pc-bin");
    }
    let all = [on_trial(9, 9, 1, 3), wanted(8, 8, 1), wanted(7, 7, 1)];
    let nothing = Environment::default();

    let disk = Disk::new(Filesystem::Ext4, &all, Some(&nothing), "");
    assert_eq!(disk.boots(1), "9!");
    assert_eq!(disk.counted(), "9: 2 left, 1 done");
    assert_eq!(disk.boots(4), "9! 9! 8 8");
    assert_eq!(disk.counted(), "9: 0 left, 3 done");

    // Once the one that was given up, then the fall-back again.
    let mut environment = disk.environment();
    environment.set(ONCE, "reroot-0000000009");
    let disk = Disk::new(Filesystem::Fat, &all, Some(&environment), "");
    assert_eq!(disk.boots(2), "9! 8");
    assert_eq!(disk.environment().get(ONCE), None);
    assert_eq!(disk.counted(), "9: 0 left, 3 done");

    // The next deployment has its own attempts, and what is booted once is none of them.
    let next = [on_trial(10, 10, 1, 1), on_trial(9, 9, 1, 3), wanted(8, 8, 1), wanted(7, 7, 1)];
    environment.set(ONCE, "reroot-0000000007");
    let disk = Disk::new(Filesystem::Fat, &next, Some(&environment), "");
    assert_eq!(disk.boots(3), "7 10! 8");
    assert_eq!(disk.counted(), "10: 0 left, 1 done");

    // No trial: nothing is written but that it was booted once, and what no menu has is not looked for.
    let good = [wanted(9, 9, 1), wanted(8, 8, 1)];
    for (once, expected) in [("reroot-0000000008", "8 9 9"), ("debian", "9 9 9")] {
        let mut environment = nothing.clone();
        environment.set(ENTRY, "reroot-0000000009");
        environment.set(LEFT, "0");
        environment.set(ONCE, once);
        let disk = Disk::new(Filesystem::Ext4, &good, Some(&environment), "");
        assert_eq!(disk.boots(3), expected);
        environment.set(ONCE, "");
        assert_eq!(disk.environment(), environment);
    }
}

#[test]
fn grub_boots_the_default_when_it_cannot_count() {
    if let Some(reason) = missing(&["qemu-system-x86_64", "grub-mkimage", "mke2fs"]) {
        return skip("grub_boots_the_default_when_it_cannot_count", reason);
    }
    if !Path::new(PARTS).join("boot.img").exists() {
        return skip("grub_boots_the_default_when_it_cannot_count", "not installed: grub-pc-bin");
    }
    // Without the file.
    let all = [on_trial(9, 9, 1, 1), wanted(8, 8, 1)];
    let disk = Disk::new(Filesystem::Ext4, &all, None, "");
    assert_eq!(disk.boots(3), "9! 9! 9!");
    // Nothing to fall back to.
    let disk = Disk::new(Filesystem::Ext4, &all[..1], Some(&Environment::default()), "");
    assert_eq!(disk.boots(3), "9! 9! 9!");
    assert_eq!(disk.counted(), "9: 0 left, 1 done");
}

#[test]
fn grub_restarts_when_a_kernel_on_trial_cannot_be_loaded() {
    if let Some(reason) = missing(&["qemu-system-x86_64", "grub-mkimage", "mke2fs"]) {
        return skip("grub_restarts_when_a_kernel_on_trial_cannot_be_loaded", reason);
    }
    if !Path::new(PARTS).join("boot.img").exists() {
        return skip("grub_restarts_when_a_kernel_on_trial_cannot_be_loaded", "not installed: grub-pc-bin");
    }
    let all = [Wanted { pair: wanted(9, 9, 2).pair, ..on_trial(9, 9, 1, 2) }, wanted(8, 8, 1)];
    let broken = format!("set reroot_broken={}", all[0].pair.digest.linux_path());
    let disk = Disk::new(Filesystem::Ext4, &all, Some(&Environment::default()), &broken);
    assert_eq!(disk.boots(1), "8");
    assert_eq!(disk.counted(), "9: 0 left, 2 done");
}
