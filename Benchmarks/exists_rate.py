#!/usr/bin/env python3
"""Keys that `exists`, in batches of 64, answers for each second of processor time of the server's shard.

One connection over loopback, 8192 blocks in memory mode, the same server throughout. The time is the shard
thread's (`schedstat`), the kernel's part of TCP included. Prints the median of the runs with its 95 % bootstrap
interval; every run goes to a CSV. Ends with 1 below the goal.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile

import common

GOAL = 1_000_000
BLOCKS = 8192


def run(number, tool, server, options):
    before = server.processor_seconds()
    result = server.load(tool, "exists", options.authentication, keys=BLOCKS, requests=options.requests, depth=options.depth,
                         batch=options.batch)
    spent = server.processor_seconds() - before
    keys = options.requests * options.batch
    return {"run": number, "load": common.load(), "seconds": result["seconds"], "shard_seconds": spent,
            "keys": keys, "keys_per_shard_second": keys / spent}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--depth", type=int, default=32, help="requests in flight")
    parser.add_argument("--authentication", choices=common.AUTHENTICATION, default="off")
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19980)
    parser.add_argument("--csv", default=os.path.join(common.ROOT, "Benchmarks", "results", "exists-rate.csv"))
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    tool = common.program("engine-benchmark", options.tools)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-exists-")
    try:
        server = common.Server(memkvd, directory, options.port, "{ mode: memory, max_size: 1 GiB }",
                               network=common.AUTHENTICATION[options.authentication][0])
        try:
            server.load(tool, "put", options.authentication, value_bytes=4096, keys=BLOCKS, requests=BLOCKS)
            run(-1, tool, server, options)
            rows = [run(number, tool, server, options) for number in range(options.runs)]
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory)
    with open(options.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    rates = [row["keys_per_shard_second"] for row in rows]
    low, high = common.bootstrap_median(rates)
    middle = common.median(rates)
    print(f"exists of {options.batch} keys: median {middle:,.0f} keys per processor second of the shard, 95 % interval "
          f"{low:,.0f} to {high:,.0f} ({len(rows)} runs; goal {GOAL:,} "
          f"{'reached' if middle >= GOAL else 'NOT reached'})")
    print(f"load at the end {common.load()}; raw runs in {os.path.relpath(options.csv)}")
    sys.exit(0 if middle >= GOAL else 1)


if __name__ == "__main__":
    main()
