#!/bin/bash
# Makes a disk that a kernel started by QEMU itself can boot from: one file system without partitions and without a
# boot loader, with a sysroot and one deployment. Needs root.
#
#   tests/image/direct-disk.sh REROOT IMAGE OUT
#
# REROOT is the program, IMAGE what it deploys. OUT is a directory that gets `disk.raw`, `vmlinuz`, `initrd` and
# `cmdline`, the kernel's arguments for this disk.
set -euo pipefail

reroot=${1:?program} image=${2:?image} out=${3:?output directory}
rm -rf "$out"
mkdir -p "$out/root"
trap 'rm -rf "$out/root"' EXIT

"$reroot" --sysroot "$out/root" init > /dev/null
"$reroot" --sysroot "$out/root" deploy --stateroot os "$image" > /dev/null 2> "$out/log" || {
    cat "$out/log" >&2
    exit 1
}
deployment=/reroot/deploy/os/deploy/1
cp "$out/root$deployment"/usr/lib/modules/*/vmlinuz "$out/vmlinuz"
cp "$out/root$deployment"/usr/lib/modules/*/initramfs.img "$out/initrd"
truncate -s 2G "$out/disk.raw"
mke2fs -q -F -t ext4 -L root -O verity -d "$out/root" "$out/disk.raw"
# quiet and mitigations=off save time, panic=1 makes a broken system end instead of hang. no_timer_check: an emulated timer
# that the host is too busy to run is taken for a broken one ("IO-APIC + timer doesn't work").
echo "root=/dev/vda reroot=$deployment console=ttyS0 quiet mitigations=off no_timer_check panic=1" > "$out/cmdline"
