#!/bin/bash
# Makes the base image of the tests: what docker.io/library/debian:trixie is, from the archive that apt on this
# machine is configured for.
#
#   tests/image/base.sh OUT
#
# OUT is then an OCI layout with the one tag "base". Needs root, mmdebstrap and buildah.
set -euo pipefail

out=${1:?output directory}
suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The address of the archive that apt uses here, for a release name ending in $1 ("" or "-security").
mirror() {
    apt-get indextargets 'Created-By: Packages' --format '$(REPO_URI) $(RELEASE)' |
        awk -v end="$1" '
            end == "" && $2 !~ /-/ || end != "" && $2 ~ end "$" { print $1; exit }'
}
archive=$(mirror "")
security=$(mirror -security)
[ -n "$archive" ] || { echo "no Debian archive in apt's configuration" >&2; exit 1; }
sources() {
    echo "deb [signed-by=$keyring] $archive $suite main"
    echo "deb [signed-by=$keyring] $archive $suite-updates main"
    [ -z "$security" ] || echo "deb [signed-by=$keyring] $security $suite-security main"
}

work=$out.work
rm -rf "$out" "$work"
mkdir -p "$work"
export TMPDIR=$work
trap 'rm -rf "$work"' EXIT

# As in the official image: no locales but C, no manual pages, packages are not kept, dpkg does not sync. The names
# that mmdebstrap takes over from this machine go.
sources | mmdebstrap --quiet --variant=minbase --mode=root --include=ca-certificates \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"' \
    "$suite" "$work/base.tar" -

buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/base.tar" / > /dev/null
buildah config --cmd bash "$container"
buildah commit --quiet "$container" "oci:$work/layout:base" > /dev/null
mv "$work/layout" "$out"
