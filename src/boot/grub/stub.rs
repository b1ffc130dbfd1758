//! The two files that are written when GRUB is installed, and never after that.

use super::GrubRoot;

/// The modules that the generated files use, for whoever makes an image of GRUB that cannot load them later. The file
/// system of `$BOOT` comes to that (`ext2`, `xfs`, `btrfs`, `fat`), with UEFI `efifwsetup`, and `fdt` for device trees.
pub const MODULES: [&str; 12] = [
    "configfile",
    "echo",
    "linux",
    "loadenv",
    "normal",
    "part_gpt",
    "part_msdos",
    "reboot",
    "search",
    "search_fs_uuid",
    "sleep",
    "test",
];

/// Where GRUB of Fedora and GRUB 2.14 have the command `blscfg`.
const BLSCFG: &str = "\tfor module in blsuki blscfg; do
\t\tif [ -f $prefix/$grub_cpu-$grub_platform/$module.mod ]; then
\t\t\tinsmod $module
\t\t\tblscfg
\t\tfi
\tdone
";

/// `grub.cfg` beside GRUB's program on the ESP: finds the file system that holds `$BOOT` and goes on with the
/// configuration there. `directory` is GRUB's own below `$BOOT`: `grub`, or `grub2` on Fedora and SUSE.
pub fn esp_stub(root: &GrubRoot, directory: &str) -> String {
    format!(
        "# Written by reroot when GRUB was installed.\n\
         {}\n\
         set prefix=($root){}/{directory}\n\
         configfile $prefix/grub.cfg\n",
        root.search(),
        root.prefix,
    )
}

/// `grub.cfg` in GRUB's directory below `$BOOT`: settings, the generated menu, what people add.
///
/// The menu sets its own default, the first entry of ours. Without the menu an entry says so. Where GRUB can read boot
/// entries by itself it does that then; their paths are right for it only when `$BOOT` is a file system of its own.
pub fn main_config(root: &GrubRoot, timeout_seconds: u32) -> String {
    let GrubRoot { prefix, .. } = root;
    let search = root.search();
    let blscfg = if prefix.is_empty() { BLSCFG } else { "" };
    format!(
        "# Written by reroot when GRUB was installed; upgrades do not change it. The menu is in {prefix}/loader/grub.cfg.\n\
         # Put your own settings and entries into custom.cfg in this directory: it is read last.\n\
         set timeout={timeout_seconds}\n\
         set default=0\n\
         {search}\n\
         if [ -s ($root){prefix}/loader/grub.cfg ]; then\n\
         \tsource ($root){prefix}/loader/grub.cfg\n\
         else\n\
         {blscfg}\
         \tmenuentry 'The boot menu is missing: {prefix}/loader/grub.cfg' --id reroot-missing {{\n\
         \t\techo 'Start another system and let reroot write it again.'\n\
         \t\tsleep 10\n\
         \t}}\n\
         fi\n\
         if [ \"$grub_platform\" = efi ]; then\n\
         \tmenuentry 'Firmware setup' --id firmware-setup {{\n\
         \t\tfwsetup\n\
         \t}}\n\
         fi\n\
         if [ -f $prefix/custom.cfg ]; then\n\
         \tsource $prefix/custom.cfg\n\
         fi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stubs_are_written_as_they_always_were() {
        let directory = GrubRoot::new("8d4d9b0e-0a51-4a3c-9d5e-5d0b0f1f6d10", "/boot").unwrap();
        assert_eq!(
            esp_stub(&directory, "grub"),
            "# Written by reroot when GRUB was installed.\n\
             search --no-floppy --fs-uuid --set=root 8d4d9b0e-0a51-4a3c-9d5e-5d0b0f1f6d10\n\
             set prefix=($root)/boot/grub\n\
             configfile $prefix/grub.cfg\n"
        );
        assert_eq!(main_config(&directory, 3), include_str!("../../../fixtures/bls/grub-main.cfg"));
        let partition = main_config(&GrubRoot::new("1A2B-3C4D", "").unwrap(), 0);
        assert!(
            partition.contains("\tsource ($root)/loader/grub.cfg\n") && partition.contains("\t\t\tblscfg\n")
        );
    }
}
