#!/usr/bin/env python3
"""What it costs to look at a memkvd: one scrape of /v1/metrics with many drives, and gets while it is scraped.

First a store of file drives on tmpfs (--drives, 64 by default): bytes and time of a scrape, and its processor time, all
threads of memkvd together. Then, on a store with one drive, pairs of runs of gets, one left alone and one with a scraper
that asks --rate times a second, in alternating order: processor time of the shard's thread and requests a second, as the median
ratio with its interval. Ends with the figures.
"""
import argparse
import http.client
import os
import shutil
import subprocess
import tempfile
import threading
import time

import common


def scrape(connection):
    connection.request("GET", "/v1/metrics")
    return connection.getresponse().read()


def many_drives(memkvd, options, directory):
    drives = [os.path.join(directory, f"drive-{number}.memkv") for number in range(options.drives)]
    subprocess.run([common.program("memkv", options.tools), "setup", "--max-size", "256 MiB", "--drives", *drives],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    media = ", ".join(f"{{ media: {drive} }}" for drive in drives)
    server = common.Server(memkvd, directory, options.port, f"{{ mode: file, drives: [ {media} ] }}")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", options.port + 1)
        length = len(scrape(connection))
        spent, times = server.processor_seconds(""), []
        for _ in range(options.scrapes):
            began = time.monotonic()
            scrape(connection)
            times.append(time.monotonic() - began)
        spent = server.processor_seconds("") - spent
        print(f"{options.drives} drives: {length:,} bytes, {1000 * common.median(times):.1f} ms a scrape (median), "
              f"{1000 * spent / options.scrapes:.1f} ms of processor; load {common.load()}")
    finally:
        server.kill()
        for drive in drives:
            os.remove(drive)


class Scraper(threading.Thread):
    """Asks `rate` times a second until it is told to stop."""

    def __init__(self, port, rate):
        super().__init__()
        self.port, self.rate, self.count, self.stopping = port, rate, 0, threading.Event()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port + 1)
        began = time.monotonic()
        while not self.stopping.is_set():
            scrape(connection)
            self.count += 1
            time.sleep(max(0, began + self.count / self.rate - time.monotonic()))

    def stop(self):
        self.stopping.set()
        self.join()


def pairs(memkvd, options, directory):
    tool = common.program("engine-benchmark", options.tools)
    server = common.Server(memkvd, directory, options.port, "{ max_size: 2 GiB }", data=os.path.join(directory, "data"))

    def run(is_scraped, kind="get"):
        scraper = Scraper(options.port, options.rate)
        if is_scraped:
            scraper.start()
        spent = server.processor_seconds()
        result = server.load(tool, kind, value_bytes=65536, keys=4096, requests=options.requests, depth=32, batch=1)
        spent = server.processor_seconds() - spent
        if is_scraped:
            scraper.stop()
        return spent / options.requests, options.requests / result["seconds"], scraper.count / result["seconds"]

    try:
        run(False, "put")
        costs, rates, scrapes = [], [], []
        for number in range(options.pairs):
            order = [False, True] if number % 2 == 0 else [True, False]
            found = {is_scraped: run(is_scraped) for is_scraped in order}
            costs.append(found[True][0] / found[False][0])
            rates.append(found[True][1] / found[False][1])
            scrapes.append(found[True][2])
        for name, ratios in (("processor time of the shard", costs), ("gets a second", rates)):
            low, high = common.bootstrap_median(ratios)
            print(f"{name}, scraped {common.median(scrapes):.0f} times a second over left alone: "
                  f"x {common.median(ratios):.3f} ({low:.3f} to {high:.3f}), {options.pairs} pairs; load {common.load()}")
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of memkv and engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19970)
    parser.add_argument("--drives", type=int, default=64)
    parser.add_argument("--scrapes", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-scrape-", dir="/dev/shm")
    try:
        many_drives(memkvd, options, directory)
        pairs(memkvd, options, directory)
    finally:
        shutil.rmtree(directory)


main()
