#!/bin/bash
# Installs the Debian packages that the tests use. As root on a machine with apt; elsewhere it only says what is
# missing, and the tests that need it are skipped by name.
#
#   tests/deps.sh [bench]     with "bench" also the programs that the benchmark compares with
set -euo pipefail

# What is looked for -> the package that has it.
wanted="
docker-registry:docker-registry
skopeo:skopeo
umoci:umoci
crun:crun
chromium:chromium
mmdebstrap:mmdebstrap
strace:strace
htpasswd:apache2-utils
openssl:openssl
zstd:zstd
xz:xz-utils
lz4:lz4
lzop:lzop
bzip2:bzip2
curl:curl
python3:python3
/usr/lib/python3/dist-packages/jsonschema:python3-jsonschema
mkfs.ext4:e2fsprogs
mkfs.btrfs:btrfs-progs
losetup:mount
setpriv:util-linux
script:bsdutils
fusermount3:fuse3
qemu-system-x86_64:qemu-system-x86
/usr/share/OVMF/OVMF_CODE_4M.fd:ovmf
buildah:buildah
podman:podman
sfdisk:fdisk
mcopy:mtools
mkfs.vfat:dosfstools
mkfs.xfs:xfsprogs
grub-fstest:grub-common
/usr/lib/grub/i386-pc/boot.img:grub-pc-bin
systemd-analyze:systemd
rpm:rpm
rpmbuild:rpm
shellcheck:shellcheck
etcd:etcd-server
prometheus:prometheus
promtool:prometheus
/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
"
if [ "${1:-}" = bench ]; then
    wanted="$wanted ostree:ostree"
fi

# Where the storage daemon is: newer releases (and backports) have it in qemu-utils, older ones in
# qemu-system-common, and packages of different age cannot both be installed: the emulator's age decides.
storage_daemon_package() {
    local version
    version=$(apt-cache policy qemu-system-x86 | awk '/Installed:/ && $2 != "(none)" { print $2; exit } /Candidate:/ { print $2 }')
    if [ -n "$version" ] && dpkg --compare-versions "$version" ge 1:10; then
        echo qemu-utils
    else
        echo qemu-system-common
    fi
}

PATH=$PATH:/usr/sbin:/sbin
missing=()
for entry in $wanted; do
    what=${entry%%:*}
    [ -e "$what" ] || command -v "$what" > /dev/null || missing+=("${entry##*:}")
done
command -v qemu-storage-daemon > /dev/null || missing+=(qemu-storage-daemon)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "tests/deps.sh: not installed: ${missing[*]}" >&2
    echo "tests/deps.sh: as root on Debian they would be installed now; tests that need them will be skipped" >&2
    exit 0
fi

install() { apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install "$@"; }
export DEBIAN_FRONTEND=noninteractive
# A service of its own is not wanted: the tests start their own registry.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
apt-get -qq update || echo "tests/deps.sh: apt-get update failed; going on with the lists that are there" >&2
packages=()
for package in "${missing[@]}"; do
    [ "$package" != qemu-storage-daemon ] || package=$(storage_daemon_package)
    packages+=("$package")
done
echo "tests/deps.sh: installing ${packages[*]}" >&2
# One after another when they do not go together: what can be had is had, and the rest is skipped by name.
install "${packages[@]}" || for package in "${packages[@]}"; do
    install "$package" || echo "tests/deps.sh: could not install $package" >&2
done
