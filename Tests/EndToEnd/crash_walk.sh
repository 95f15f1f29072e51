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

check() {
    if "$binary" "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

check --depth "${MEMKV_WALK_DEPTH:-2}" --sector 4096 --second-crashes 1 --aftercare 16 --combinations 16 --samples 4
check --depth 1 --sector 512 --second-crashes 2 --aftercare 4 --combinations 32 --samples 4
for sector in 512 4096; do check scenario --sector $sector; done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
