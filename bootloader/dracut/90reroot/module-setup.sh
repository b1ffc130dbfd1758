#!/bin/bash
# dracut module: reroot-prepare-root as a service of the initramfs. docs/initramfs.md explains it.

program=/usr/lib/reroot/reroot-prepare-root
unit=reroot-prepare-root.service

# Included wherever the program is installed, in hostonly mode too: an image is not built on the machine that boots it.
check() {
    require_binaries "$program" || return 1
    return 0
}

# The service needs systemd in the initramfs; there is no hook for an initramfs without it. dracut-systemd has the
# emergency shell that says what has failed, and that heeds rd.shell=0 and rd.emergency=reboot: systemd's own waits for
# somebody for ever.
depends() {
    echo systemd-initrd dracut-systemd
}

# For a transient /etc or root. Not only the modules that the machine of the build has loaded.
installkernel() {
    hostonly='' instmods overlay
}

install() {
    # With the libraries it links.
    inst_binary "$program"
    # The settings are read from the initramfs.
    inst_multiple -o /usr/lib/reroot/prepare-root.toml /etc/reroot/prepare-root.toml
    inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
    # Required, not only wanted: no root file system without it, whenever reroot= is given.
    mkdir -p "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires"
    ln_r "$systemdsystemunitdir/$unit" "$systemdsystemunitdir/initrd-root-fs.target.requires/$unit"
}
