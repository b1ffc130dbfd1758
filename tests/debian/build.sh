#!/bin/bash
# Builds bootable Debian trixie images as an OCI layout, for the tests and the benchmark.
#
#   tests/debian/build.sh small|big OUT
#
# OUT/layout is then an OCI layout with the tags v1-gzip, v1-zstd, v2-gzip and so on:
#
#   v1   base, kernel, apps, config from the release as it is
#   v2   small: the base and kernel layers of v1, apps and config made anew with the release's updates and
#        security fixes; big: every layer made anew with them, as a nightly rebuild does
#   v3   v2 with one stamp file more in each layer: every digest changes, hardly a file does
#
# Each layer is the upper directory of an overlay mount, turned into a tar with OCI whiteouts, so that the
# layers have in them what real ones have: replaced dpkg databases, deleted files, opaque directories, file
# capabilities, setuid programs, device nodes, hard links.
#
# The mirror is the one that apt on this machine is configured for. Needs root, mmdebstrap and overlayfs.
# All mounts and processes live in namespaces of this script and are gone when it ends, however it ends.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
size=${1:?small or big}
out=${2:?output directory}
suite=trixie
arch=$(dpkg --print-architecture)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

if [ -z "${REROOT_IMAGE_NAMESPACE:-}" ]; then
    export REROOT_IMAGE_NAMESPACE=1
    exec unshare --mount --propagation private -- "$0" "$@"
fi
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
umask 022

say() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }

# The address of the archive that apt uses here, for a release name ending in $1 ("" or "-security").
mirror() {
    apt-get indextargets 'Created-By: Packages' --format '$(REPO_URI) $(RELEASE)' |
        awk -v end="$1" '
            end == "" && $2 !~ /-/ || end != "" && $2 ~ end "$" { print $1; exit }'
}
archive=$(mirror "")
security=$(mirror -security)
[ -n "$archive" ] || { echo "no Debian archive in apt's configuration" >&2; exit 1; }

# The sources.list lines of generation $1.
sources() {
    echo "deb [signed-by=$keyring] $archive $suite main"
    [ "$1" = v1 ] && return
    echo "deb [signed-by=$keyring] $archive $suite-updates main"
    [ -z "$security" ] || echo "deb [signed-by=$keyring] $security $suite-security main"
}

work=$out/work
rm -rf "$work"
mkdir -p "$work/debs/partial" "$out/layout"

# make_base GENERATION: a minimal system, as the first layer.
make_base() {
    local name=base-$1
    say "$name: mmdebstrap"
    sources "$1" > "$work/sources"
    mmdebstrap --quiet --variant=apt --mode=root --include=ca-certificates \
        --aptopt='APT::Install-Recommends "false"' \
        "$suite" "$work/$name" - < "$work/sources"
    tar_directory "$work/$name" "$work/$name.tar"
}

# make_layer NAME GENERATION SCRIPT LOWER...: runs SCRIPT in a chroot over the layers LOWER (lowest first)
# and keeps what changed as the layer NAME.
make_layer() {
    local name=$1 generation=$2 script=$3 lower="" l
    shift 3
    for l in "$@"; do lower=$work/$l${lower:+:$lower}; done
    say "$name"
    local upper=$work/$name root=$work/root
    mkdir -p "$upper" "$work/scratch" "$root" "$work/lists-$generation/partial"
    mount -t overlay overlay \
        -o "lowerdir=$lower,upperdir=$upper,workdir=$work/scratch,redirect_dir=off,metacopy=off,index=off" "$root"
    # What apt fetches stays outside the layers, and both generations share the packages.
    mount --bind "$work/debs" "$root/var/cache/apt/archives"
    mount --bind "$work/lists-$generation" "$root/var/lib/apt/lists"
    mount -t tmpfs tmpfs "$root/tmp"
    cp -L /etc/resolv.conf "$root/tmp/resolv.conf"
    [ -e "$root/etc/resolv.conf" ] || : > "$root/etc/resolv.conf"
    mount --bind "$root/tmp/resolv.conf" "$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    sources "$generation" > "$root/etc/apt/sources.list"
    # No package caches in the layers: 90 MB that change with every run.
    cat > "$root/tmp/apt.conf" <<'CONF'
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
    cat > "$root/tmp/script" <<SCRIPT
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive APT_CONFIG=/tmp/apt.conf
apt() { apt-get -qq -y "\$@" > /tmp/apt.log 2>&1 || { cat /tmp/apt.log >&2; exit 1; }; }
$script
SCRIPT
    unshare --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" /bin/sh /tmp/script < /dev/null >&2
    rm "$root/usr/sbin/policy-rc.d"
    umount "$root/etc/resolv.conf" "$root/tmp" "$root/var/lib/apt/lists" "$root/var/cache/apt/archives" "$root"
    rm -rf "$work/scratch"
    tar_overlay "$upper" "$work/$name.tar" "$@"
}

tar_directory() {
    tar --format=pax --pax-option=delete=atime,delete=ctime --sort=name --numeric-owner \
        --xattrs --xattrs-include='*' --xattrs-exclude='trusted.*' "${@:3}" -C "$1" -cf "$2" .
}

# tar_overlay UPPER TAR LOWER...: the upper directory of an overlay as a layer's tar.
tar_overlay() {
    local upper=$1 tar=$2 marks
    shift 2
    marks=$(mktemp -d "$work/marks.XXXX")
    "$here/whiteouts.py" "$upper" "$marks" "${@/#/$work/}" > "$marks.gone"
    tar_directory "$upper" "$tar" --no-wildcards --anchored --exclude-from="$marks.gone"
    (cd "$marks" && find . -type f -printf '%p\0') | tar_append "$marks" "$tar"
}

# tar_append DIRECTORY TAR: appends the paths on stdin (ended by NUL) to the tar, owned by root.
tar_append() {
    tar --format=pax --numeric-owner --owner=0 --group=0 --no-recursion --null -C "$1" -T - -rf "$2"
}

# stamp LAYER: a copy of the layer's tar with one file more.
stamp() {
    local name=$1-stamped dir
    dir=$(mktemp -d "$work/stamp.XXXX")
    mkdir -p "$dir/usr/lib/stamps"
    echo "$name" > "$dir/usr/lib/stamps/$name"
    cp "$work/$1.tar" "$work/$name.tar"
    printf '%s\0' ./usr/lib/stamps "./usr/lib/stamps/$name" | tar_append "$dir" "$work/$name.tar"
}

image() { # image TAG LAYER...
    local tag=$1 compression
    shift
    for compression in $compressions; do
        say "image $tag-$compression: $*"
        python3 "$here/layout.py" "$out/layout" "$tag-$compression" "$compression" "$arch" "${@/#/$work/}"
    done
}

kernel_package=linux-image-$arch
case $arch in amd64 | arm64) kernel_package=linux-image-cloud-$arch ;; esac

# The kernel and its initramfs go where bootable images keep them: /usr/lib/modules/<version>/.
kernel_script="
mkdir -p /etc/initramfs-tools/conf.d
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n' > /etc/initramfs-tools/conf.d/small
printf 'ext4\nvirtio_blk\n' > /etc/initramfs-tools/modules
apt update
apt install $kernel_package initramfs-tools zstd kmod
version=\$(ls /usr/lib/modules)
mv /boot/vmlinuz-\$version /usr/lib/modules/\$version/vmlinuz
mv /boot/initrd.img-\$version /usr/lib/modules/\$version/initramfs.img
rm -rf /boot/* /vmlinuz* /initrd.img*
"
small_apps="systemd systemd-sysv dbus openssh-server python3 iputils-ping libcap2-bin less"
apps_script() { # generation
    echo "apt update; apt upgrade; apt install $small_apps"
    [ "$1" = v1 ] || echo "apt install nano; apt purge less"
    cat <<'SCRIPT'
mkdir -p /usr/lib/reroot-test
cp /bin/ls /usr/lib/reroot-test/capable
setcap cap_net_raw+ep /usr/lib/reroot-test/capable
ln /usr/lib/reroot-test/capable /usr/lib/reroot-test/capable-too
printf 'name outside ASCII\n' > "/usr/lib/reroot-test/$(printf 'na\303\257ve \377')"
printf 'to be replaced\n' > /usr/lib/reroot-test/replaced
mkdir /usr/lib/reroot-test/opaque /usr/lib/reroot-test/turns-into-file
touch -d '2001-02-03 04:05:06.123456789' /usr/lib/reroot-test/opaque/lost /usr/lib/reroot-test/dated /usr/lib/reroot-test/turns-into-file/lost
mkfifo /usr/lib/reroot-test/fifo
SCRIPT
    # Reproducible caches would be a story of their own; a stale one would make the comparison dull.
    echo "rm -rf /var/log/* /var/cache/debconf/*-old /var/cache/ldconfig"
}
config_script() { # generation
    cat <<SCRIPT
echo reroot-test > /etc/hostname
echo '$1' > /usr/lib/reroot-test/release
rm -f /etc/machine-id /etc/ssh/ssh_host_* /etc/resolv.conf.d
: > /etc/machine-id
rm -rf /usr/share/doc /usr/share/man /usr/lib/reroot-test/opaque /usr/lib/reroot-test/turns-into-file /usr/lib/reroot-test/replaced
mkdir -p /usr/share/man /usr/lib/reroot-test/opaque
echo found > /usr/lib/reroot-test/opaque/kept
echo file > /usr/lib/reroot-test/turns-into-file
ln -s ../../bin/true /usr/lib/reroot-test/replaced
chmod 4755 /usr/lib/reroot-test/release
chown 1234:4321 /usr/lib/reroot-test/dated
python3 -c 'import os; os.setxattr("/usr/lib/reroot-test/dated", "user.note", b"a\\0b\\n")'
SCRIPT
}

compressions="gzip zstd"
case $size in
small)
    # The tests do not measure; only their start should be quick.
    export GZIP_LEVEL=1
    make_base v1
    make_layer kernel v1 "$kernel_script" base-v1
    for generation in v1 v2; do
        make_layer "apps-$generation" "$generation" "$(apps_script $generation)" base-v1 kernel
        make_layer "config-$generation" "$generation" "$(config_script $generation)" base-v1 kernel "apps-$generation"
        image $generation base-v1 kernel "apps-$generation" "config-$generation"
    done
    stamped=()
    for layer in base-v1 kernel apps-v2 config-v2; do
        stamp $layer
        stamped+=("$layer-stamped")
    done
    compressions=gzip image v3 "${stamped[@]}"
    ;;
big)
    # Sizes of a server image: about 1.4 GB in nearly 60,000 files.
    big_one="podman vim git python3-pip ansible-core ansible"
    big_two="postgresql nginx-full golang-go build-essential"
    for generation in v1 v2; do
        make_base $generation
        make_layer "kernel-$generation" $generation "$kernel_script" "base-$generation"
        make_layer "apps-$generation" $generation "$(apps_script $generation)" "base-$generation" "kernel-$generation"
        make_layer "one-$generation" $generation "apt update; apt install $big_one" "base-$generation" "kernel-$generation" "apps-$generation"
        make_layer "two-$generation" $generation "apt update; apt install $big_two" "base-$generation" "kernel-$generation" "apps-$generation" "one-$generation"
        make_layer "config-$generation" $generation "$(config_script $generation)" \
            "base-$generation" "kernel-$generation" "apps-$generation" "one-$generation" "two-$generation"
        image $generation "base-$generation" "kernel-$generation" "apps-$generation" "one-$generation" "two-$generation" "config-$generation"
    done
    ;;
*)
    echo "unknown size $size" >&2
    exit 2
    ;;
esac
rm -rf "$work"
say done
