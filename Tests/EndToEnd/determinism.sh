#!/bin/sh
# Runs the same enumeration in two processes, whose hash seeds differ, and compares everything they print,
# fingerprints included. Usage: determinism.sh [DIRECTORY WITH crash-enumeration] [DEPTH]
set -eu
binary="${1:-.build/release}/crash-enumeration"
depth="${2:-1}"
unset SWIFT_DETERMINISTIC_HASHING
if [ ! -x "$binary" ]; then
    echo "determinism.sh: $binary isn't there; build it: swift build -c release --product crash-enumeration" >&2
    exit 2
fi
first=$(mktemp) second=$(mktemp)
trap 'rm -f "$first" "$second"' EXIT
"$binary" --depth "$depth" --verbose >"$first"
"$binary" --depth "$depth" --verbose >"$second"
if ! difference=$(diff "$first" "$second"); then
    echo "determinism.sh: two processes differ; the first difference is where to look:" >&2
    echo "$difference" | head -n 4 >&2
    exit 1
fi
grep fingerprint "$first" | tail -n 2
echo "two processes agree on $(wc -l <"$first") lines"
