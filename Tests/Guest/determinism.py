"""Simulated runs inside the guest, another kernel on an emulated processor: their fingerprints are the host's.

test.py runs `RUNS` on the host first and hands the fingerprints over in MEMKV_FINGERPRINTS; run inside the guest by inside.py.
"""
import json
import os
import subprocess

from support import report

# Two of the smallest scenario's, with and without keys; seconds in an emulated machine.
RUNS = ["run", "SimScenarios/smoke/short.yaml", "--seeds", "4", "--json", "--jobs", "1"]


def program():
    """The release build where there is one: the debug build takes ten times as long."""
    release = report.REPOSITORY / ".build/release/memkv-sim"
    return release if release.exists() else report.binaries() / "memkv-sim"


def fingerprints():
    """(scenario, seed, fingerprint) of each run."""
    done = subprocess.run([program(), *RUNS], cwd=report.REPOSITORY, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{program()} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr}")
    runs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [[run["scenario"], run["seed"], run["fingerprint"]] for run in runs if "fingerprint" in run]


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    return [("simulated runs", compare)]


def compare():
    host, guest = json.loads(os.environ["MEMKV_FINGERPRINTS"]), fingerprints()
    report.check("the host has run the scenario", len(host) == 4, host)
    for ours, theirs in zip(guest, host):
        report.check(f"seed {theirs[1]} has the host's fingerprint {theirs[2]}", ours == theirs, ours)
    report.check("the same number of runs", len(guest) == len(host), len(guest))
