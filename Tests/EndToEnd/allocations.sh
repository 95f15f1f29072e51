#!/bin/bash
# No heap allocation on the shard's thread over 100,000 mixed operations, counted in the release memkvd.
set -uo pipefail
cd "$(dirname "$0")/../.."
if [ ! -x .build/release/memkvd ]; then
    echo "SKIPPED .build/release/memkvd isn't there; swift build -c release --product memkvd makes it"
    echo "0 passed, 0 failed"
    exit 1
fi
exec python3 Benchmarks/allocations.py --memkvd .build/release --tools .build/debug
