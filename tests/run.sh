#!/bin/bash
# Runs every test; at the end the skipped ones by name with the reason, their number, and one closing line.
#
#   tests/run.sh [arguments of cargo test]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skips=${CARGO_TARGET_DIR:-target}/skips.txt
mkdir -p "$(dirname "$skips")"
: > "$skips"

# All targets, even after a failure: a run tells everything that is wrong.
${CARGO:-cargo} test --locked --no-fail-fast "$@"
status=$?

echo
if [ -s "$skips" ]; then
    sort -u "$skips"
fi
echo "skipped: $(sort -u "$skips" | wc -l)"
minutes=$(printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)))
if [ $status -eq 0 ]; then
    echo "make test: passed in $minutes minutes"
else
    echo "make test: FAILED after $minutes minutes (cargo test: exit status $status)"
fi
exit $status
