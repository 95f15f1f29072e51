#!/usr/bin/env python3
"""Counts the heap allocations of memkvd's shard threads over mixed operations, after a warm-up.

Passes when there are none at all: Wire, TCP, engine, two shards and what crosses between them,
drives, checkpoints and evictions included; without keys, with signed frames, and with signed frames
and payloads. The clients' handshakes are inside what is counted. The control is built in: the same counter must have seen
the threads allocate while they started.
Ends with "N passed, N failed"; exit status 1 when anything failed.
"""

import argparse
import collections
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import common

SHARDS = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--warm-up", type=int, default=20_000)
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19940)
    parser.add_argument("--trace", type=int, default=3,
                        help="allocations whose origin is printed")
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    tool = common.program("engine-benchmark", options.tools)
    failed = 0
    for authentication in common.AUTHENTICATION:
        directory = tempfile.mkdtemp(prefix="memkv-allocations-", dir="/dev/shm")
        try:
            failed += measure(options, memkvd, tool, directory, authentication)
        finally:
            shutil.rmtree(directory)
    print(f"{2 * len(common.AUTHENTICATION) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def measure(options, memkvd, tool, directory, authentication):
    network, key, flags = common.AUTHENTICATION[authentication]
    print(f"authentication: {authentication}")
    library = os.path.join(directory, "allocation-counter.so")
    source = os.path.join(common.ROOT, "Benchmarks", "allocation-counter.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    path = os.path.join(directory, "counter")
    with open(path, "wb") as file:
        file.write(bytes(4096))
    with open(path, "r+b") as file:
        words = mmap.mmap(file.fileno(), 4096)
    drives = [os.path.join(directory, f"drive-{number}") for number in range(SHARDS)]
    subprocess.run([common.program("memkv", options.tools), "setup", "--max-size", "128 MiB",
                    "--min-slot", "4 KiB", "--drives", *drives], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    media = ", ".join(f'{{ media: "{drive}" }}' for drive in drives)
    # Without eviction these operations fill more than 80 % of it: at a third, eviction takes part.
    server = common.Server(
        memkvd, directory, options.port,
        f"{{ mode: file, min_slot: 4 KiB, shards: {SHARDS}, eviction: {{ watermark: 35 }}, "
        f"drives: [ {media} ] }}",
        environment={"LD_PRELOAD": library, "ALLOCATION_COUNTER": path}, network=network)
    try:
        return count(options, [tool, "mixed", *flags], key, server, words, drives)
    finally:
        server.kill()


def count(options, command, key, server, words, drives):
    def counted():
        return struct.unpack_from("<5Q", words)

    def mixed(operations, seed):
        return common.run_json(*command, "--server", server.address, "--operations",
                               str(operations), "--seed", str(seed), text_in=key)

    allocations, size, _, threads, _ = counted()
    print(f"start: {allocations} allocations, {size} bytes, by {threads} shards' threads")
    is_counting = allocations > 0 and threads == SHARDS
    print(f"{'PASS' if is_counting else 'FAIL'}: the counter counts the shards' threads")
    mixed(options.warm_up, seed=1)
    before = counted()
    checkpoints = [superblock(drive) for drive in drives]
    struct.pack_into("<Q", words, 8 * 4, options.trace)
    result = mixed(options.operations, seed=2)
    after = counted()
    allocations, size, frees = (after[i] - before[i] for i in range(3))
    has_checkpoint = all(
        superblock(drive) != before for drive, before in zip(drives, checkpoints))
    print(f"{result['operations']} operations ({result['misses']} misses) in "
          f"{result['seconds']:.1f} s, "
          f"{'with' if has_checkpoint else 'WITHOUT'} a checkpoint of every drive, the store at the end "
          f"{server.fill_percent():.0f} % full: {allocations} allocations, "
          f"{size} bytes, {frees} frees")
    is_clean = allocations == 0 and frees == 0 and has_checkpoint
    print(f"{'PASS' if is_clean else 'FAIL'}: no allocations in the steady state")
    if allocations:
        print_origins(server.log())
    return (not is_counting) + (not is_clean)


def print_origins(log):
    """The call stacks of the traced allocations, with the names of functions, the commonest first."""
    stacks = collections.Counter()
    for text in log.split("allocation of ")[1:]:
        frames = re.findall(r"^(\S*memkvd)\S*\(\+(0x[0-9a-f]+)\)", text, re.MULTILINE)
        if frames:
            stacks[(text.split(" ", 1)[0], tuple(frames[:12]))] += 1
    for (size, frames), count in stacks.most_common(20):
        print(f"{count} x {size} bytes:")
        # A return address is one past the call.
        places = [hex(int(address, 16) - 1) for _, address in frames]
        named = subprocess.run(["addr2line", "-f", "-e", frames[0][0], *places],
                               capture_output=True, text=True).stdout
        plain = subprocess.run(["swift", "demangle", "--simplified"], input=named,
                               capture_output=True, text=True).stdout.splitlines()
        for name, line in zip(plain[::2], plain[1::2]):
            print(f"    {name}  {os.path.basename(line)}")


def superblock(drive):
    """The superblock, which every checkpoint rewrites."""
    with open(drive, "rb") as file:
        return file.read(4096)


if __name__ == "__main__":
    main()
