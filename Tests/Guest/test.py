#!/usr/bin/env python3
"""Boots one guest with four NVMe drives and runs nvme.py in it.

Ends with "N passed, N failed", or with "SKIPPED reason" where no guest can be had, which is a failure in CI.
"""
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from harness import guest
from harness.drives import Drive
from harness.failure import NoGuest

# The contract's drives are as small as may be; the others hold a store.
DRIVES = ["bare512:64M:512", "bare4096:64M:4096", "first:512M:4096", "second:512M:512"]
# Ten times what it takes on an idle machine.
TIME_LIMIT_SECONDS = 1200


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by a signal"))
    os.chdir(guest.REPOSITORY)
    binaries = os.environ.get("MEMKV_BINARIES", guest.REPOSITORY / ".build/debug")
    try:
        status = guest.run(["env", f"MEMKV_BINARIES={binaries}", "python3", str(HERE / "nvme.py")],
                           drives=[Drive(text) for text in DRIVES], time_limit=TIME_LIMIT_SECONDS)
    except NoGuest as reason:
        print(f"SKIPPED guest: {' '.join(str(reason).split())}")
        return 1 if os.environ.get("CI") == "true" else 0
    return status


sys.exit(main())
