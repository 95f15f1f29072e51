#!/bin/bash
# The sums that `make test` ends with: counted from outputs as the test programs write them.
set -uo pipefail
cd "$(dirname "$0")/../.."
source Scripts/test-summary
passed=0 failed=0
file=$(mktemp)
trap 'rm -f "$file"' EXIT

check() { # function, exit status, expected sums; the output on standard input
    cat >"$file"
    local sums
    sums=$("$1" "$file" "$2")
    if [ "$sums" = "$3" ]; then
        passed=$((passed + 1))
    else
        echo "$1 with exit status $2: expected \"$3\", got \"$sums\" from:"
        cat "$file"
        failed=$((failed + 1))
    fi
}

check summarise_unit 0 "35 0 0" <<<'✔ Test run with 35 tests in 5 suites passed after 0.192 seconds.'
check summarise_unit 0 "1 0 0" <<<'✔ Test run with 1 test passed after 0.1 seconds.'
check summarise_unit 1 "33 2 0" <<'E'
✘ Test one() failed after 0.001 seconds with 1 issue.
✘ Test two(a:) with 3 test cases failed after 0.001 seconds with 2 issues.
✘ Suite Both failed after 0.002 seconds with 3 issues.
✘ Test run with 35 tests in 5 suites failed after 0.192 seconds with 3 issues.
E
check summarise_unit 0 "34 0 1" <<'E'
➜ Test three() skipped: "no loop devices"
✔ Test run with 35 tests in 5 suites passed after 0.192 seconds.
E
check summarise_unit 139 "0 1 0" <<<'◇ Test one() started.'
check summarise_unit 1 "35 1 0" <<<'✔ Test run with 35 tests in 5 suites passed after 0.192 seconds.'
check summarise_script 0 "7 0 0" <<<'7 passed, 0 failed'
check summarise_script 1 "5 2 0" <<<'5 passed, 2 failed'
check summarise_script 1 "7 1 0" <<<'7 passed, 0 failed'
check summarise_script 0 "0 1 0" <<<'said nothing of use'
check summarise_script 0 "0 0 1" <<<'SKIPPED no loop devices here'
check summarise_script 1 "0 1 1" <<<'SKIPPED no loop devices here'
check summarise_script 0 "2 0 1" <<'E'
SKIPPED no loop devices here
2 passed, 0 failed
E

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
