#!/bin/bash
# The crash enumeration in a release build: every workload of up to MEMKV_WALK_DEPTH steps (2), a crash at every
# device operation, every subset of unflushed sectors while there are few, a sample where there are many, and
# every scenario. `.build/release/crash-enumeration --depth 3` is the whole of it and takes tens of minutes.
set -uo pipefail
cd "$(dirname "$0")/../.."
binary=.build/release/crash-enumeration
passed=0 failed=0
if [ ! -x "$binary" ]; then
    echo "SKIPPED $binary isn't there; swift build -c release --product crash-enumeration makes it"
    echo "0 passed, 0 failed"
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
walks=(
    "--depth ${MEMKV_WALK_DEPTH:-2} --sector 4096 --second-crashes 1 --aftercare 16 --combinations 16 --samples 4"
    "--depth 1 --sector 512 --second-crashes 2 --aftercare 4 --combinations 32 --samples 4"
    "scenario --sector 512"
    "scenario --sector 4096"
)

# Each walk has one thread: all at once.
pids=()
for index in "${!walks[@]}"; do
    "$binary" ${walks[$index]} >"$work/$index" 2>&1 &
    pids+=($!)
done
for index in "${!walks[@]}"; do
    if wait "${pids[$index]}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "-- crash-enumeration ${walks[$index]}"
    cat "$work/$index"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
