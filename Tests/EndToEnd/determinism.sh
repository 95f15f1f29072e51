#!/bin/bash
# The same crash enumeration in two processes, whose hash seeds differ, and in the other build kind: everything
# they print must be equal, fingerprints included. MEMKV_CRASH_DEPTH sets the longest workload.
set -uo pipefail
cd "$(dirname "$0")/../.."
release=.build/release/crash-enumeration
debug=.build/debug/crash-enumeration
depth="${MEMKV_CRASH_DEPTH:-1}"
unset SWIFT_DETERMINISTIC_HASHING
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

for binary in $release $debug; do
    if [ ! -x "$binary" ]; then
        echo "SKIPPED $binary isn't there; swift build --product crash-enumeration makes it"
        echo "0 passed, 0 failed"
        exit 1
    fi
done

# Runs walk $2 with binary $1 into file $3.
walk() { "$1" $2 --verbose >"$work/$3"; }

# Says whether files $1 and $2 are equal; $3 names the comparison.
compare() {
    if difference=$(diff "$work/$1" "$work/$2"); then
        echo "$3: $(wc -l <"$work/$1") lines agree, $(grep fingerprint "$work/$1" | tail -n 1 | xargs)"
        passed=$((passed + 1))
    else
        echo "$3 differ; the first difference is where to look:"
        echo "$difference" | head -n 4
        failed=$((failed + 1))
    fi
}

walk $release "--depth $depth --second-crashes 1" first &
walk $release "--depth $depth --second-crashes 1" second
wait
compare first second "two processes"

small="--workload put,checkpoint --sector 4096 --pacing sequential --combinations 8 --samples 1 --second-crashes 1"
walk $release "$small" release &
walk $debug "$small" debug
wait
compare release debug "debug and release"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
