#!/bin/bash
# Builds the image that the tests boot, from the Containerfile and programs that are built already.
#
#   tests/image/build.sh dracut|initramfs-tools PROGRAMS [CACHE]
#
# PROGRAMS is the directory with the programs `reroot` and `reroot-prepare-root`. Prints the OCI layout, whose one tag
# is "os"; what was built from the same inputs is printed at once. Below CACHE (target/test-images) are the layouts,
# the base image and packages. Needs root, buildah, mmdebstrap and Debian's archive.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
variant=${1:?dracut or initramfs-tools}
programs=$(realpath "${2:?directory with the programs}")
cache=${3:-${CARGO_TARGET_DIR:-target}/test-images}
mkdir -p "$cache"
cache=$(realpath "$cache")

# The two ways through the Containerfile; everything in it is in one of them.
case $variant in
dracut) bootloader="systemd-boot" ;;
initramfs-tools) bootloader="shim-signed grub-efi-amd64-signed grub-pc-bin" ;;
*)
    echo "unknown image $variant" >&2
    exit 2
    ;;
esac

# Nobody else works on this image, whatever process we are.
exec {lock}> "$cache/$variant.lock"
flock "$lock"
work=$cache/$variant.work
rm -rf "$work"
mkdir -p "$work/programs/out"
trap 'rm -rf "$work"' EXIT

# Without what a debugger wants, as in a release.
for program in reroot reroot-prepare-root; do
    strip -o "$work/programs/out/$program" "$programs/$program"
done

key() { sha256sum | cut -c 1-12; }
base=$cache/base-$(key < tests/image/base.sh)
# What the Containerfile copies from here.
copied=$(sed -n 's/^COPY \([a-z]*\)\/.*/\1/p' Containerfile | sort -u)
inputs=$({
    echo "$base" "$bootloader"
    cat tests/image/build.sh Containerfile
    # shellcheck disable=SC2086
    find $copied "$work/programs" -type f -printf '%m %p\0' | sort -z | while read -r -d '' mode file; do
        echo "$mode ${file#"$work"} $(sha256sum < "$file")"
    done
} | key)
image=$cache/os-$variant-$inputs
if [ -e "$image" ]; then
    touch "$image"
    echo "$image"
    exit
fi

say() { printf '%4d s  image %s: %s\n' "$SECONDS" "$variant" "$*" >&2; }
(
    flock 9
    if [ ! -e "$base" ]; then
        say "making the base image (once)"
        rm -rf "$cache"/base-*
        tests/image/base.sh "$base" >&2 || exit 75
    fi
) 9> "$cache/base.lock"

# Everything of buildah's stays here: its store goes with the work directory, the packages it fetched stay.
mkdir -p "$cache/$variant.tmp"
export TMPDIR=$cache/$variant.tmp
buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
say "building"
project=$PWD
# The base by a relative path: buildah makes a name of it, in which there are no capital letters.
cd "$cache"
buildah build --isolation chroot --layers=false \
    --build-context "build=$work/programs" --build-arg BASE="oci:$(basename "$base"):base" \
    --build-arg KERNEL=linux-image-cloud-amd64 --build-arg INITRAMFS="$variant" --build-arg BOOTLOADER="$bootloader" \
    --tag os "$project" > "$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    exit 1
}
say "writing the OCI layout"
buildah push --quiet --disable-compression os "oci:$work/layout:os"
mv "$work/layout" "$image"
# The one before stays, for somebody who still reads it; older ones go.
ls -td "$cache/os-$variant-"* | tail -n +3 | xargs -r rm -rf
say "done"
echo "$image"
