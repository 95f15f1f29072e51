#!/bin/bash
# Mistakes planted in the store, those that a few runs bring to light: each must be caught. All of them, and the false
# alarms, are `make sim-hunt`'s. MEMKV_HUNT_MISTAKES names others.
set -uo pipefail
cd "$(dirname "$0")/../.."
quick=acknowledgeBeforeFlush,readsNotHeld,journalNotReplayed,lastChangeNotFolded,prefixBeyondHole,flushWaitsForLook
quick+=,mapPageStoredOnce,placementByShards,replacedValueNotFreed,unknownCalledFailed,lateReadKeepsSlots,oneSuperblock
mistakes="${MEMKV_HUNT_MISTAKES:-$quick}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

Scripts/sim-hunt --mistakes "$mistakes" --seeds 20 --clean-seeds 0 2>&1 | tee "$work/hunt"
status=${PIPESTATUS[0]}
passed=$(grep -c '^caught ' "$work/hunt")
failed=$(grep -c '^ESCAPED ' "$work/hunt")
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
