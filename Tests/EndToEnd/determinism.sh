#!/bin/bash
# The same crash enumeration, and the same simulated runs, in two processes, whose hash seeds differ, and in the other
# build kind: everything they print must be equal, fingerprints included. Of runs that differ, the first event that does
# is printed. MEMKV_CRASH_DEPTH sets the longest workload, MEMKV_SIM_SEEDS the seeds of each simulated scenario.
set -uo pipefail
cd "$(dirname "$0")/../.."
release=.build/release/crash-enumeration
debug=.build/debug/crash-enumeration
simulation=.build/release/memkv-sim
debug_simulation=.build/debug/memkv-sim
seeds="${MEMKV_SIM_SEEDS:-2}"
depth="${MEMKV_CRASH_DEPTH:-1}"
unset SWIFT_DETERMINISTIC_HASHING
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

for binary in $release $debug $simulation $debug_simulation; do
    if [ ! -x "$binary" ]; then
        echo "SKIPPED $binary isn't there; swift build --product ${binary##*/} makes it"
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

# Runs scenarios $2 with binary $1; a line for each run, its fingerprint in it, into file $3.
simulate() {
    "$1" run $2 --json --jobs 1 | sed -n 's/.*"scenario":"\([^"]*\)","seed":\([0-9]*\),"fingerprint":"\([0-9a-f]*\)".*/\1 \2 \3/p' >"$work/$3"
}

# Says whether the runs in files $1 and $2 are equal; of the first that isn't, prints the first event that differs
# between binaries $3 and $4. $5 names the comparison.
compare_runs() {
    if [ -s "$work/$1" ] && cmp -s "$work/$1" "$work/$2"; then
        echo "$5: $(wc -l <"$work/$1") runs agree"
        passed=$((passed + 1))
        return
    fi
    echo "$5 differ:"
    diff "$work/$1" "$work/$2" | head -n 4
    failed=$((failed + 1))
    read -r scenario seed _ < <(diff "$work/$1" "$work/$2" | sed -n 's/^< //p')
    [ -n "${seed:-}" ] || return
    "$3" run "$scenario" --seed "$seed" --trace >"$work/trace1"
    "$4" run "$scenario" --seed "$seed" --trace >"$work/trace2"
    echo "the first event that differs (number, virtual nanoseconds, what, three words):"
    diff "$work/trace1" "$work/trace2" | sed -n '2p;/^>/{p;q;}'
}

simulate $simulation "SimScenarios/smoke --seeds $seeds" runs1 &
simulate $simulation "SimScenarios/smoke --seeds $seeds" runs2
wait
compare_runs runs1 runs2 $simulation $simulation "simulated runs in two processes"

short="SimScenarios/smoke/short.yaml --seeds $((2 * seeds))"
simulate $simulation "$short" release-runs &
simulate $debug_simulation "$short" debug-runs
wait
compare_runs release-runs debug-runs $simulation $debug_simulation "simulated runs in debug and release"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
