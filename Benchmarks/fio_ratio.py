#!/usr/bin/env python3
"""Durable puts and verified gets of 4 MiB blocks through the engine, against fio on the same device.

Makes a file on tmpfs and a loop device over it (needs root), then alternates the engine and fio, who
begins changing with every pair: the same bytes, the same depth, registered buffers on both sides,
O_DIRECT, and fdatasync by fio about as often as the engine flushes (never more often). Prints the
median ratio of the speeds, engine over fio, with its 95 % bootstrap interval; every pair goes to a CSV.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

import common


class LoopDevice:
    """A file of zeros on tmpfs, all its pages there, behind a loop device without a page cache."""

    def __init__(self, size):
        handle, self.file = tempfile.mkstemp(prefix="memkv-ratio-", dir="/dev/shm")
        os.posix_fallocate(handle, 0, size)
        os.close(handle)
        self.path = subprocess.run(
            ["losetup", "--find", "--show", "--direct-io=on", "--sector-size", "4096", self.file],
            check=True, capture_output=True, text=True).stdout.strip()

    def close(self):
        subprocess.run(["losetup", "--detach", self.path], check=True)
        os.unlink(self.file)


def run_engine(tool, device, options, seed):
    return common.run_json(tool, "ratio", "--device", device.path, "--blocks", str(options.blocks),
                           "--depth", str(options.depth), "--seed", str(seed))


def run_fio(device, options, direction, writes_per_flush=None):
    """Seconds for the same bytes; and how often fio flushed."""
    command = ["fio", "--name=pair", f"--filename={device.path}", "--ioengine=io_uring",
               "--direct=1", "--bs=4m", f"--size={options.blocks * 4}m", "--fixedbufs=1",
               "--registerfiles=1", "--nonvectored=1", "--scramble_buffers=0",
               f"--iodepth={options.depth}", f"--rw={direction}", "--output-format=json"]
    if writes_per_flush:
        command.append(f"--fdatasync={writes_per_flush}")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    job = json.loads(done.stdout)["jobs"][0]
    side = job["write" if direction == "write" else "read"]
    if job["error"] or side["io_bytes"] != options.blocks << 22:
        sys.exit(f"fio did not do what it was asked: {done.stdout}")
    return side["runtime"] / 1000


def pair(number, tool, device, options, writes_per_flush):
    """One row: both sides once, in an order that changes."""
    row = {"pair": number, "load": common.load()}

    def engine():
        result = run_engine(tool, device, options, seed=number + 1)
        row["engine_put_seconds"] = result["put_seconds"]
        row["engine_get_seconds"] = result["get_seconds"]
        row["engine_flushes"] = result["put_flushes"]

    def fio():
        row["fio_put_seconds"] = run_fio(device, options, "write", writes_per_flush)
        row["fio_get_seconds"] = run_fio(device, options, "randread")

    for side in (engine, fio) if number % 2 == 0 else (fio, engine):
        side()
    row["fio_flushes"] = options.blocks // writes_per_flush
    for kind in ("put", "get"):
        row[f"{kind}_ratio"] = row[f"fio_{kind}_seconds"] / row[f"engine_{kind}_seconds"]
    return row


def report(rows, options):
    total = options.blocks * 4 / 1024
    for kind in ("put", "get"):
        ratios = [row[f"{kind}_ratio"] for row in rows]
        low, high = common.bootstrap_median(ratios)
        speeds = {side: total / common.median([row[f"{side}_{kind}_seconds"] for row in rows])
                  for side in ("engine", "fio")}
        middle = common.median(ratios)
        print(f"{kind}: median ratio {middle:.3f}, 95 % interval {low:.3f} to {high:.3f} "
              f"({len(rows)} pairs; engine {speeds['engine']:.2f} GiB/s, "
              f"fio {speeds['fio']:.2f} GiB/s; goal 0.9 {'reached' if middle >= 0.9 else 'NOT reached'})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--blocks", type=int, default=256, help="4 MiB blocks in a run")
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--csv", default=os.path.join(
        common.ROOT, "Benchmarks", "results", "fio-ratio.csv"))
    options = parser.parse_args()
    tool = common.program("engine-benchmark", options.tools)
    print(common.machine())
    device = LoopDevice((options.blocks * 4 + 512) << 20)
    try:
        warm = [run_engine(tool, device, options, seed=0) for _ in range(2)]
        writes_per_flush = math.ceil(options.blocks / common.median(
            [run["put_flushes"] for run in warm]))
        print(f"depth {options.depth}, {options.blocks} blocks a run, the engine flushes about "
              f"{warm[-1]['put_flushes']} times, fio after every {writes_per_flush} writes")
        run_fio(device, options, "write", writes_per_flush)
        rows = [pair(number, tool, device, options, writes_per_flush)
                for number in range(options.pairs)]
    finally:
        device.close()
    with open(options.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    report(rows, options)
    print(f"load at the end {common.load()}; raw pairs in {os.path.relpath(options.csv)}")


if __name__ == "__main__":
    main()
