#!/bin/sh
# Runs all tests and says at the end what was skipped and why. Called by `make test`.
set -eu
cd "$(dirname "$0")/.."
sh tests/deps.sh
skips=$PWD/target/test-skips
mkdir -p target
: >"$skips"
export REROOT_SKIPS="$skips"
status=0
cargo test --no-fail-fast "$@" || status=$?
count=$(wc -l <"$skips")
if [ "$count" -gt 0 ]; then
    echo
    echo "skipped:"
    sed 's/^/  /' "$skips"
fi
echo
echo "tests skipped: $count"
exit "$status"
