#!/usr/bin/env python3
"""What authentication costs: processor time of server and client without keys, with signed frames,
and with signed frames and payloads.

Three servers in memory mode stand side by side; each round runs every kind of request once on each of
them, in turns, so that whatever else the machine does falls on all alike. Prints the median of the
processor seconds for a GiB, or for a million requests, and the median ratio to no keys with its 95 %
interval.
"""

import argparse
import os
import resource
import shutil
import tempfile

import common

# name, kind, bytes of a value, different keys, requests, depth, keys of one request
PHASES = [
    ("get 4 MiB", "get", 4 << 20, 64, 256, 8, 1),
    ("put 4 MiB", "put", 4 << 20, 64, 256, 8, 1),
    ("get 64 KiB", "get", 65536, 4096, 8192, 32, 1),
    ("put 64 KiB", "put", 65536, 4096, 8192, 32, 1),
    ("exists of 64 keys", "exists", 65536, 4096, 30_000, 32, 64),
    ("exists of 1 key", "exists", 65536, 4096, 50_000, 32, 1),
]


def measure(tool, server, phase, authentication):
    """Processor seconds of the server's shard and of the client."""
    _, kind, size, keys, requests, depth, batch = phase
    _, key, flags = common.AUTHENTICATION[authentication]
    before, client = server.processor_seconds(), children_seconds()
    common.run_json(
        tool, "throughput", "--server", server.address, "--kind", kind, "--value-bytes", str(size),
        "--keys", str(keys), "--requests", str(requests), "--depth", str(depth),
        "--batch", str(batch), *flags, text_in=key)
    return server.processor_seconds() - before, children_seconds() - client


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(phase, seconds):
    name, _, size, _, requests, _, batch = phase
    is_bulk = "exists" not in name
    amount = requests * size / 2**30 if is_bulk else requests / 1e6
    unit = "GiB" if is_bulk else "million requests"
    for side, index in (("server", 0), ("client", 1)):
        parts = []
        for authentication in common.AUTHENTICATION:
            values = [pair[index] for pair in seconds[authentication]]
            text = f"{authentication} {common.median(values) / amount:.3f}"
            if authentication != "off":
                base = [pair[index] for pair in seconds["off"]]
                ratios = [value / other for value, other in zip(values, base) if other > 0]
                low, high = common.bootstrap_median(ratios)
                text += f" (x {common.median(ratios):.2f}, {low:.2f} to {high:.2f})"
            parts.append(text)
        print(f"{name}, {side}, processor seconds per {unit}: {'; '.join(parts)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--tools", help="folder of engine-benchmark (default: .build/release)")
    parser.add_argument("--port", type=int, default=19970)
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    tool = common.program("engine-benchmark", options.tools)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-authentication-")
    servers = {}
    try:
        for number, (name, (network, _, _)) in enumerate(common.AUTHENTICATION.items()):
            place = os.path.join(directory, name)
            os.mkdir(place)
            servers[name] = common.Server(
                memkvd, place, options.port + 2 * number, "{ mode: memory, max_size: 1 GiB, shards: 1 }",
                network=network)
        for phase in PHASES:
            seconds = {name: [] for name in servers}
            # The first round fills the stores and isn't counted.
            for count in range(options.rounds + 1):
                for name, server in servers.items():
                    if count == 0 and phase[1] == "get":
                        measure(tool, server, (phase[0], "put", *phase[2:]), name)
                    spent = measure(tool, server, phase, name)
                    if count > 0:
                        seconds[name].append(spent)
            report(phase, seconds)
        print(f"load at the end {common.load()}")
    finally:
        for server in servers.values():
            server.kill()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
