#!/usr/bin/env python3
"""Verified 4 MiB blocks over TCP in memory mode, against a bare socket pump that hashes at both ends.

The server asks for a key, so that every frame is signed, and both ends compare every value with its checksum. Both sides move the same bytes over loopback, out of and into pools larger than
the caches; `engine-benchmark pump` is one thread that hashes and sends and one that receives and hashes.
Compared is the processor time of everybody, client and server together, for each GiB: with other work on the
machine it is far steadier than speed. Prints the median ratio, ours over the pump's, with its 95 % bootstrap
interval, and the throughput of 64 KiB blocks over that of 4 MiB blocks; every pair goes to a CSV. Ends with 1
when a ratio is above the goal.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile

import common

GOAL = 1.25
GIB = 1 << 30
SMALL, LARGE = 64 << 10, 4 << 20


class Sides:
    """What one row's measurements are made with."""

    def __init__(self, tool, server, options):
        self.tool, self.server, self.options = tool, server, options
        self.bytes = options.blocks * LARGE

    def ours(self, kind, value_bytes, depth):
        """Seconds, and processor seconds of server and client for each GiB."""
        requests = self.bytes // value_bytes
        before = self.server.processor_seconds("")
        run = self.server.load(
            self.tool, kind, self.options.authentication, value_bytes=value_bytes, keys=requests, requests=requests, depth=depth,
            pool_bytes=self.options.pool_mib << 20)
        spent = self.server.processor_seconds("") - before
        gib = self.bytes / GIB
        return run["seconds"], spent / gib, run["client_processor_seconds"] / gib

    def pump(self):
        run = common.run_json(
            self.tool, "pump", "--blocks", str(self.options.blocks), "--block-bytes", str(LARGE),
            "--pool-bytes", str(self.options.pool_mib << 20))
        both = run["sender_processor_seconds"] + run["receiver_processor_seconds"]
        return run["seconds"], both / (self.bytes / GIB)


def pair(number, sides):
    """One row: every side once, in an order that changes. A put goes before the get of its bytes."""
    row = {"pair": number, "load": common.load()}

    def ours():
        for kind in ("put", "get"):
            seconds, server, client = sides.ours(kind, LARGE, sides.options.depth)
            row[f"{kind}_seconds"] = seconds
            row[f"{kind}_server_cpu_per_gib"], row[f"{kind}_client_cpu_per_gib"] = server, client
            row[f"{kind}_cpu_per_gib"] = server + client

    def small():
        for kind in ("put", "get"):
            row[f"{kind}_64k_seconds"] = sides.ours(kind, SMALL, 8 * sides.options.depth)[0]

    def pump():
        row["pump_seconds"], row["pump_cpu_per_gib"] = sides.pump()

    order = [ours, pump] if number % 2 == 0 else [pump, ours]
    for side in order + ([] if sides.options.large_only else [small]):
        side()
    for kind in ("put", "get"):
        row[f"{kind}_ratio"] = row[f"{kind}_cpu_per_gib"] / row["pump_cpu_per_gib"]
        if f"{kind}_64k_seconds" in row:
            row[f"{kind}_64k_over_4m"] = row[f"{kind}_seconds"] / row[f"{kind}_64k_seconds"]
    return row


def report(rows, options):
    reached = True

    def middle(name):
        return common.median([row[name] for row in rows])

    for kind in ("put", "get"):
        ratios = [row[f"{kind}_ratio"] for row in rows]
        low, high = common.bootstrap_median(ratios)
        reached = reached and common.median(ratios) <= GOAL
        print(f"{kind} 4 MiB: median ratio {common.median(ratios):.3f}, 95 % interval {low:.3f} to {high:.3f} "
              f"({len(rows)} pairs; server {middle(f'{kind}_server_cpu_per_gib'):.3f} + client "
              f"{middle(f'{kind}_client_cpu_per_gib'):.3f} CPU s/GiB, pump {middle('pump_cpu_per_gib'):.3f}; "
              f"goal {GOAL} {'reached' if common.median(ratios) <= GOAL else 'NOT reached'})")
        if not options.large_only:
            shares = [row[f"{kind}_64k_over_4m"] for row in rows]
            low, high = common.bootstrap_median(shares)
            print(f"{kind} 64 KiB throughput / 4 MiB throughput: median {common.median(shares):.2f}, "
                  f"95 % interval {low:.2f} to {high:.2f}")
    return reached


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=256, help="4 MiB blocks in a run")
    parser.add_argument("--depth", type=int, default=4, help="requests in flight at 4 MiB; eight times that at 64 KiB")
    parser.add_argument("--pool-mib", type=int, default=256, help="MiB of each end's pool")
    parser.add_argument("--large-only", action="store_true", help="no 64 KiB blocks")
    parser.add_argument("--authentication", choices=common.AUTHENTICATION, default="frames")
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19970)
    parser.add_argument("--csv", default=os.path.join(common.ROOT, "Benchmarks", "results", "tcp-ratio.csv"))
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    tool = common.program("engine-benchmark", options.tools)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-tcp-ratio-")
    mib = 2 * options.blocks * 4 + 512
    storage = f"{{ mode: memory, max_size: {mib} MiB }}"
    try:
        server = common.Server(memkvd, directory, options.port, storage,
                               network=common.AUTHENTICATION[options.authentication][0])
        try:
            sides = Sides(tool, server, options)
            # Until the drive's memory has been touched, its page faults would be measured.
            for kind in ("put",) * 6 + ("get",):
                sides.ours(kind, LARGE, options.depth)
            rows = [pair(number, sides) for number in range(options.pairs)]
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory)
    with open(options.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    reached = report(rows, options)
    print(f"load at the end {common.load()}; raw pairs in {os.path.relpath(options.csv)}")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
