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


def timed(name, function):
    """A part, which says how long it took."""
    def part():
        began = time.monotonic()
        try:
            return function()
        finally:
            report.note(f"{name}: {time.monotonic() - began:.1f} s")
    return name, part


def main():
    if "GUEST" not in os.environ:
        sys.exit("this runs in a guest: python3 Tests/Guest/test.py boots one for it")
    with workshop("guest") as (stack, directory):
        suites = [importlib.import_module(name) for name in sys.argv[1:]]
        report.run([timed(*part) for suite in suites for part in suite.parts(stack, directory)])


main()
