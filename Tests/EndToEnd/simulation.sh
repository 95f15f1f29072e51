#!/bin/bash
# The simulation in a release build: the smoke scenarios, a share of the seeds of every fault scenario, what was found
# before, and in a debug build the negative scenarios, each of which must be caught. MEMKV_SIM_SEEDS sets the seeds.
set -uo pipefail
cd "$(dirname "$0")/../.."
release=.build/release/memkv-sim
debug=.build/debug/memkv-sim
seeds="${MEMKV_SIM_SEEDS:-5}"
passed=0 failed=0

for binary in $release $debug; do
    if [ ! -x "$binary" ]; then
        echo "SKIPPED $binary isn't there; swift build --product memkv-sim makes it"
        echo "0 passed, 0 failed"
        exit 1
    fi
done

check() {
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

check $release run SimScenarios/smoke --seeds "$seeds" --quiet
check $release run SimScenarios/faults --seeds "$seeds" --quiet
if compgen -G "SimScenarios/regressions/*.yaml" >/dev/null; then
    check $release run SimScenarios/regressions --seeds "$seeds" --quiet
fi
check $release run SimScenarios/negative/oracles --seeds 3 --quiet
check $debug run SimScenarios/negative/planted --seeds 3 --quiet

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
