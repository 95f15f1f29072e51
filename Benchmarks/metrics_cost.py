#!/usr/bin/env python3
"""What it costs that everything is counted and timed: a memkvd as it is, over one that counts nothing.

The second is built with `swift build -c release --traits default,WithoutMetrics --scratch-path .build/without-metrics
--product memkvd`. Both run at once in memory mode, on loopback; each pair is one run of puts or gets on either, in alternating
order. Prints requests a second and processor time of the shard's thread as the median ratio of the pairs with its
95 % bootstrap interval; every run goes to a CSV. Ends with 1 when the throughput's median is below the goal.
"""
import argparse
import csv
import os
import shutil
import sys
import tempfile

import common

GOAL = 0.99
WITHOUT = os.path.join(common.ROOT, ".build", "without-metrics", "release")


def run(tool, server, kind, value_bytes, options):
    spent = server.processor_seconds()
    result = server.load(tool, kind, value_bytes=value_bytes, keys=options.keys, requests=options.requests, depth=32, batch=1)
    spent = server.processor_seconds() - spent
    return {"requests_per_second": options.requests / result["seconds"],
            "shard_microseconds_per_request": spent / options.requests * 1e6, "load": common.load()}


def pairs(tool, servers, kind, value_bytes, options):
    rows = []
    for number in range(options.pairs):
        order = ["with", "without"] if number % 2 == 0 else ["without", "with"]
        found = {which: run(tool, servers[which], kind, value_bytes, options) for which in order}
        rows += [{"kind": kind, "value_bytes": value_bytes, "pair": number, "metrics": which} | found[which]
                 for which in order]
    return rows


def ratio(rows, field):
    by_pair = {}
    for row in rows:
        by_pair.setdefault(row["pair"], {})[row["metrics"]] = row[field]
    ratios = [pair["with"] / pair["without"] for pair in by_pair.values()]
    return common.median(ratios), *common.bootstrap_median(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--keys", type=int, default=4096)
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--without", default=WITHOUT, help=f"folder of the memkvd without metrics (default: {WITHOUT})")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19960)
    parser.add_argument("--csv", default=os.path.join(common.ROOT, "Benchmarks", "results", "metrics-cost.csv"))
    options = parser.parse_args()
    tool = common.program("engine-benchmark", options.tools)
    programs = {"with": common.program("memkvd", options.memkvd), "without": os.path.join(options.without, "memkvd")}
    if not os.access(programs["without"], os.X_OK):
        sys.exit(f"{programs['without']} is not built; run: swift build -c release --traits default,WithoutMetrics "
                 "--scratch-path .build/without-metrics --product memkvd")
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-metrics-")
    servers, rows = {}, []
    try:
        for number, (which, memkvd) in enumerate(programs.items()):
            os.mkdir(os.path.join(directory, which))
            servers[which] = common.Server(memkvd, os.path.join(directory, which), options.port + 2 * number,
                                           "{ mode: memory, max_size: 1 GiB }")
        for value_bytes in (4096, 65536):
            for kind in ("put", "get"):
                for server in servers.values():
                    run(tool, server, kind, value_bytes, options)
                rows += pairs(tool, servers, kind, value_bytes, options)
    finally:
        for server in servers.values():
            server.kill()
        shutil.rmtree(directory)
    with open(options.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    reached = True
    for value_bytes in (4096, 65536):
        for kind in ("put", "get"):
            some = [row for row in rows if row["kind"] == kind and row["value_bytes"] == value_bytes]
            middle, low, high = ratio(some, "requests_per_second")
            reached = reached and middle >= GOAL
            cost, low_cost, high_cost = ratio(some, "shard_microseconds_per_request")
            print(f"{kind} of {value_bytes:,} bytes, with metrics over without: throughput x {middle:.4f} ({low:.4f} to {high:.4f}), "
                  f"processor time of the shard x {cost:.4f} ({low_cost:.4f} to {high_cost:.4f}), {options.pairs} pairs")
    print(f"goal: throughput x {GOAL} {'reached' if reached else 'NOT reached'}; load at the end {common.load()}; "
          f"raw runs in {os.path.relpath(options.csv)}")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
