#!/usr/bin/env python3
"""Restart of memkvd with a million small blocks after `kill -9`, and what a block costs.

Fills a file drive through the engine, in random order of keys, replaces half of the blocks, kills the
filler, and measures memkvd from its start to its readiness; then its memory, before and after every
block has been read over TCP. Each restart follows a `kill -9`, so each one recovers.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import common

GOAL_SECONDS = 2.0
GOAL_LEAF_BYTES = 96
SMALL_DRIVE_BYTES = 128 << 20


def fill(tool, drive, blocks, drive_bytes):
    done = subprocess.run(
        [tool, "fill", "--drive", drive, "--blocks", str(blocks), "--drive-bytes",
         str(drive_bytes), "--seed", "1"], capture_output=True, text=True)
    if done.returncode != -signal.SIGKILL:
        sys.exit(f"fill ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def serve(memkvd, directory, drive, options):
    return common.Server(memkvd, directory, options.port,
                         f"{{ mode: file, min_slot: 4 KiB, drives: [ {{ media: {drive} }} ] }}")


def empty_resident(tool, memkvd, directory, options, drive_bytes):
    """Bytes that a server of an empty store on a drive of that size takes."""
    drive = os.path.join(directory, "empty.memkv")
    fill(tool, drive, 0, drive_bytes)
    server = serve(memkvd, directory, drive, options)
    resident = server.resident_bytes()
    server.kill()
    os.unlink(drive)
    return resident


def restarts(memkvd, directory, drive, options):
    """Seconds from start to ready, several times; the last server goes on."""
    seconds = []
    while True:
        server = serve(memkvd, directory, drive, options)
        seconds.append(server.ready_seconds)
        print(f"restart {len(seconds)}: ready in {server.ready_seconds:.3f} s, of which "
              f"{server.field('ready', 'recovery_ms')} ms recovery; "
              f"{server.field('ready', 'blocks')} blocks, "
              f"{server.field('drive recovered', 'records')} journal records; "
              f"load {common.load()}")
        if len(seconds) == options.restarts:
            return server, seconds
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--drive-gib", type=int, default=8)
    parser.add_argument("--directory", default="/dev/shm", help="where the drive's file is made")
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19950)
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    tool = common.program("engine-benchmark", options.tools)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-restart-", dir=options.directory)
    try:
        is_good = measure(tool, memkvd, directory, options)
    finally:
        shutil.rmtree(directory)
    sys.exit(0 if is_good else 1)


def measure(tool, memkvd, directory, options):
    drive_bytes = options.drive_gib << 30
    empty = empty_resident(tool, memkvd, directory, options, drive_bytes)
    small = empty_resident(tool, memkvd, directory, options, SMALL_DRIVE_BYTES)
    drive = os.path.join(directory, "drive.memkv")
    facts = fill(tool, drive, options.blocks, drive_bytes)
    print(f"filled: {facts}")
    leaf_bytes = facts["leaf_live_bytes"] / facts["blocks"]
    server, seconds = restarts(memkvd, directory, drive, options)
    try:
        before = server.resident_bytes()
        read = common.run_json(tool, "read-all", "--server", server.address, "--blocks",
                               str(options.blocks), "--seed", "1")
        after = server.resident_bytes()
    finally:
        server.kill()
    middle = common.median(seconds)
    print(f"read all: {read['found']} blocks verified in {read['seconds']:.1f} s")
    print(f"ready after kill -9: median {middle:.3f} s of {len(seconds)}, "
          f"longest {max(seconds):.3f} s (goal {GOAL_SECONDS} s)")
    print(f"live leaf bytes per block, whole pages: {leaf_bytes:.1f} (goal {GOAL_LEAF_BYTES})")
    for moment, resident in (("after restart", before), ("after reading all", after)):
        print(f"resident {moment}: {resident / 2**20:.1f} MiB, of which by the blocks "
              f"{(resident - empty) / options.blocks:.1f} bytes each, and by the drive's size, "
              f"tables made at start, {(empty - small) / options.blocks:.1f} bytes a block")
    print(f"resident empty: {empty / 2**20:.1f} MiB on a drive of this size, {small / 2**20:.1f} MiB "
          f"on one of {SMALL_DRIVE_BYTES >> 20} MiB: the slab pool, above all")
    return (max(seconds) <= GOAL_SECONDS and leaf_bytes <= GOAL_LEAF_BYTES
            and read["found"] == options.blocks)


if __name__ == "__main__":
    main()
