#!/usr/bin/env python3
"""Runs the named suites, of nvme, softroce and determinism, inside the guest that test.py boots, as root; sums them up.

They wait for states, never for a time, and assert no time: an emulated machine is slow, and at times very slow.
"""
import importlib
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "EndToEnd")]
from support import report
from support.drives import workshop


# What each part took, in seconds.
spent = {}


def timed(name, function):
    """A part, which says how long it took."""
    def part():
        began = time.monotonic()
        try:
            return function()
        finally:
            spent[name] = time.monotonic() - began
            report.note(f"{name}: {spent[name]:.1f} s")
    return name, part


def summary():
    """All of it, the longest first, and how long the guest's processors had nothing to do."""
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1])[:10]:
        report.note(f"{seconds:6.1f} s  {name}")
    with open("/proc/uptime") as file:
        up, idle = map(float, file.read().split())
    report.note(f"{sum(spent.values()):6.1f} s  in all; {up:.0f} s since boot, of {os.cpu_count()} processors' time "
                f"{100 * idle / up / os.cpu_count():.0f} % idle")


def main():
    if "GUEST" not in os.environ:
        sys.exit("this runs in a guest: python3 Tests/Guest/test.py boots one for it")
    with workshop("guest") as (stack, directory):
        suites = [importlib.import_module(name) for name in sys.argv[1:]]
        parts = [timed(*part) for suite in suites for part in suite.parts(stack, directory)]
        report.run([*parts, ("where the time went", summary)])


main()
