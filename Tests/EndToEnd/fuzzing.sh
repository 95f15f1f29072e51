#!/bin/bash
# A short run of every fuzz target from its corpus and its regressions, with AddressSanitizer; and two planted bugs
# that such runs must find: a decoder that forgets its limits, an engine that doesn't compare checksums.
set -uo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

Scripts/fuzz --short >"$work/output" 2>&1
grep -v '^\[' "$work/output"
for target in frame session client pages recovery check; do
    if grep -q "^fuzz $target: [1-9][0-9]* runs, nothing found" "$work/output"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done

# Fuzzes target $2 with bug $1 planted, from nothing, for at most $3 runs.
find_planted() {
    export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=8
    MEMKV_FUZZ_PLANT=$1 .build/fuzzing/address/release/fuzz "$2" -runs="$3" -seed=1 -max_len=256 -len_control=0 \
        -artifact_prefix="$work/" >"$work/$1" 2>&1
    if ls "$work"/crash-* >/dev/null 2>&1; then
        echo "planted $1: found by $2"
        passed=$((passed + 1))
        rm -f "$work"/crash-*
    else
        echo "planted $1: NOT found by $2 in $3 runs"
        tail -n 5 "$work/$1"
        failed=$((failed + 1))
    fi
}
find_planted forgottenLimits frame 2000000
find_planted checksumNotCompared recovery 50000

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
