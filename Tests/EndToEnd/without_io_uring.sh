#!/bin/bash
# A build without the package traits IOUring and Verbs: memkv links no liburing and no libibverbs, and says why it can't
# format drives. The rule that all the rest stands behind "#if IOUring" and "#if Verbs" is ArchitectureTests'.
set -uo pipefail
cd "$(dirname "$0")/../.."
scratch=.build/without-io-uring
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# Counts the command's success as check $1.
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        failed=$((failed + 1))
    fi
}

links_none() { readelf -d $scratch/debug/memkv >"$work/needed" && ! grep -qE "liburing|ibverbs|rdmacm" "$work/needed"; }

refuses_setup() {
    $scratch/debug/memkv setup --drives "$work/drive" --max-size "1 GiB" >"$work/output" 2>&1
    [ $? -eq 4 ] && grep -q "it has no io_uring" "$work/output" && [ ! -e "$work/drive" ]
}

check "it builds" swift build --disable-default-traits --scratch-path $scratch --product memkv
check "no liburing, libibverbs or librdmacm is linked" links_none
check "setup says what it lacks, and makes nothing" refuses_setup

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
