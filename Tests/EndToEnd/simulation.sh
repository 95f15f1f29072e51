#!/bin/bash
# The simulation in a release build: the smoke scenarios, a share of the seeds of every fault scenario, what was found
# before, and the negative scenarios, each of which must be caught. MEMKV_SIM_SEEDS sets the seeds. The hunt for planted
# mistakes is hunt.sh's.
set -uo pipefail
cd "$(dirname "$0")/../.."
release=.build/release/memkv-sim
seeds="${MEMKV_SIM_SEEDS:-5}"
passed=0 failed=0

if [ ! -x "$release" ]; then
    echo "SKIPPED $release isn't there; swift build -c release --product memkv-sim makes it"
    echo "0 passed, 0 failed"
    exit 1
fi

check() {
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

check $release run SimScenarios/smoke --seeds "$seeds" --quiet
check $release run SimScenarios/faults --seeds "$seeds" --quiet
if compgen -G "SimScenarios/regressions/*.yaml" >/dev/null; then
    check $release run SimScenarios/regressions --seeds "$seeds" --quiet
fi
check $release run SimScenarios/negative --seeds 3 --quiet

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
