#!/bin/sh
# Installs what the tests need, by the names of Debian packages, when run as root on a system with apt; otherwise
# says what is missing. With the argument `bench` also what the benchmark compares against.
set -eu

missing=""
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need docker-registry docker-registry
need skopeo skopeo
need umoci umoci
need mmdebstrap mmdebstrap
need strace strace
need htpasswd apache2-utils
need openssl openssl
need curl curl
need zstd zstd
need xz xz-utils
need python3 python3
need mkfs.ext4 e2fsprogs
need mkfs.btrfs btrfs-progs
need losetup mount
need fusermount3 fuse3
need getfattr attr
# The daemon moved from one package to the other; the two cannot be installed in different versions together.
if ! command -v qemu-storage-daemon >/dev/null 2>&1; then
    if command -v qemu-img >/dev/null 2>&1; then need qemu-storage-daemon qemu-utils; else need qemu-storage-daemon qemu-system-common; fi
fi
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
if [ "${1:-}" = bench ]; then
    need podman podman
    need ostree ostree
    need crun crun
    need fuse-overlayfs fuse-overlayfs
fi

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing; tests that need them will be skipped by name" >&2
    exit 0
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# One by one when all at once fails: a package that this release lacks costs only its own tests.
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null || for package in $missing; do
    apt-get install -qq -y --no-install-recommends "$package" >/dev/null || echo "cannot install $package" >&2
done
