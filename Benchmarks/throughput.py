#!/usr/bin/env python3
"""How many requests one memkvd answers over TCP on loopback, and what they cost its processor.

One connection, the store in a file on tmpfs, client and server on the same machine: figures to compare
versions by, not to promise. Prints requests a second, bytes a second, and requests for each second of
processor time of the server's shard thread.
"""

import argparse
import os
import shutil
import tempfile

import common

# name, kind, bytes of a value, different keys, requests, depth, keys of one request
PHASES = [
    ("put 64 KiB", "put", 65536, 8192, 8192, 32, 1),
    ("get 64 KiB", "get", 65536, 8192, 16384, 32, 1),
    ("exists of 64 keys", "exists", 65536, 8192, 100_000, 32, 64),
    ("put 4 MiB", "put", 4 << 20, 256, 256, 8, 1),
    ("get 4 MiB", "get", 4 << 20, 256, 512, 8, 1),
]


def measure(tool, server, phase, authentication):
    name, kind, size, keys, requests, depth, batch = phase
    before = server.processor_seconds()
    result = server.load(tool, kind, authentication, value_bytes=size, keys=keys, requests=requests, depth=depth,
                         batch=batch)
    spent = server.processor_seconds() - before
    rate = requests / result["seconds"]
    speed = "" if kind == "exists" else f", {rate * size / 2**30:.2f} GiB/s"
    keys_text = f" ({requests * batch / spent:,.0f} keys)" if batch > 1 else ""
    print(f"{name}: {rate:,.0f} requests/s{speed}; {requests / spent:,.0f} requests{keys_text} "
          f"per processor second of the shard; load {common.load()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19960)
    parser.add_argument("--authentication", choices=common.AUTHENTICATION, default="off")
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    tool = common.program("engine-benchmark", options.tools)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-throughput-", dir="/dev/shm")
    try:
        server = common.Server(memkvd, directory, options.port, "{ max_size: 4 GiB }",
                               data=os.path.join(directory, "data"),
                               network=common.AUTHENTICATION[options.authentication][0])
        try:
            for phase in PHASES:
                measure(tool, server, phase, options.authentication)
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
