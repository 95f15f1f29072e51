#!/usr/bin/env python3
"""Boots one guest and runs the suites of tests in it: nvme, softroce, determinism; only those that are named, or all.

Ends with "N passed, N failed", or with "SKIPPED reason" where no guest can be had, which is a failure in CI.
"""
import argparse
import json
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "EndToEnd")]
import determinism
from harness import guest
from harness.drives import Drive
from harness.failure import NoGuest

# The contract's drives are as small as may be; the others hold a store.
DRIVES = {"nvme": ["bare512:64M:512", "bare4096:64M:4096", "first:512M:4096", "second:512M:512"],
          "softroce": ["remote4096:640M:4096", "remote512:640M:512"], "determinism": []}
SUITES = tuple(DRIVES)
# Ten times what it takes on an idle machine.
TIME_LIMIT_SECONDS = 1200


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    suites = parser.parse_args().suite or SUITES
    if unknown := set(suites) - set(SUITES):
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by a signal"))
    os.chdir(guest.REPOSITORY)
    environment = [f"MEMKV_BINARIES={os.environ.get('MEMKV_BINARIES', guest.REPOSITORY / '.build/debug')}",
                   f"CI={os.environ.get('CI', '')}"]
    if "determinism" in suites:
        environment.append(f"MEMKV_FINGERPRINTS={json.dumps(determinism.fingerprints())}")
    try:
        return guest.run(["env", *environment, "python3", str(HERE / "inside.py"), *suites],
                         drives=[Drive(text) for suite in suites for text in DRIVES[suite]],
                         packages=guest.RDMA_PACKAGES if "softroce" in suites else [],
                         time_limit=TIME_LIMIT_SECONDS)
    except NoGuest as reason:
        print(f"SKIPPED guest: {' '.join(str(reason).split())}")
        return 1 if os.environ.get("CI") == "true" else 0


sys.exit(main())
