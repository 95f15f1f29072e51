#!/usr/bin/env python3
"""What one greedy client costs a modest one: the modest one's p99 beside it, over its p99 alone.

The modest client gets one small block at a time; the greedy one keeps as many large gets and puts under way as Connect
allows, over one connection, as fast as it can. Pairs alternate: alone and beside, which comes first changing with
every pair. Prints the median ratio of the p99s with its 95 % bootstrap interval; every pair goes to a CSV. The store is in a
file on tmpfs. Clients and server share the machine with whatever else runs there; as root, server and clients get
real-time priorities (the modest client above the server, the greedy one below, as if each had a machine), so that the
others' work isn't measured; --no-realtime leaves that out.
"""

import argparse
import csv
import multiprocessing
import os
import random
import select
import shutil
import socket
import sys
import tempfile
import time

import common

sys.path.insert(0, os.path.join(common.ROOT, "Tests", "EndToEnd"))
from support import wire  # noqa: E402

GOAL = 2.0
SMALL_KEYS, LARGE_KEYS = 256, 48


def prefer(process_id, priority):
    """Real-time priority for all threads of a process; those that it starts inherit it."""
    for thread in os.listdir(f"/proc/{process_id}/task"):
        os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))


def key_of(number):
    return number.to_bytes(32, "little")


class Greedy:
    """One session that is always at its limit of requests."""

    def __init__(self, port, size, kind):
        self.connection = wire.Connection(port)
        self.socket = self.connection.socket
        self.socket.setblocking(False)
        self.size, self.kind = size, kind
        self.value = random.Random(1).randbytes(size)
        self.checksum = wire.xxh3(self.value)
        self.sending = [memoryview(b"")]
        self.number = 0
        self.under_way = 0
        self.buffer = bytearray(1 << 20)
        self.head = bytearray()
        self.payload_left = 0
        self.moved = 0

    def next_request(self):
        self.number += 1
        is_put = self.kind == "put" or self.kind == "mixed" and self.number % 2 == 0
        key = key_of((1 << 20) + self.number % LARGE_KEYS)
        length = self.size if is_put else 0
        header = wire.HEADER.pack(wire.MAGIC, 1, wire.PUT if is_put else wire.GET, 0, 0, 0, 0, self.number, 32, length,
                                  self.checksum if is_put else 0, 0, 0, bytes(16))
        self.sending = [memoryview(header + key)] + ([memoryview(self.value)] if is_put else [])
        self.under_way += 1
        self.moved += length

    def send(self):
        """Sends until the socket is full or the limit is reached."""
        while True:
            while self.sending and not self.sending[0]:
                self.sending.pop(0)
            if not self.sending:
                if self.under_way >= self.connection.in_flight:
                    return
                self.next_request()
            try:
                self.sending[0] = self.sending[0][self.socket.send(self.sending[0][:1 << 18]):]
            except BlockingIOError:
                return

    def receive(self):
        """Takes what there is; counts answers."""
        try:
            count = self.socket.recv_into(self.buffer)
        except BlockingIOError:
            return
        if count == 0:
            raise wire.Lost("closed by the server")
        view = memoryview(self.buffer)[:count]
        while view:
            if self.payload_left:
                taken = min(self.payload_left, len(view))
                self.payload_left -= taken
                self.moved += taken
                view = view[taken:]
                continue
            taken = min(wire.HEADER.size - len(self.head), len(view))
            self.head += view[:taken]
            view = view[taken:]
            if len(self.head) == wire.HEADER.size:
                fields = wire.HEADER.unpack(self.head)
                if fields[4] not in (0, 10):
                    raise wire.WireError(wire.STATUSES[fields[4]])
                self.payload_left = fields[9]
                self.under_way -= 1
                self.head.clear()

    def run(self, stop, moved):
        while not stop.is_set():
            self.send()
            wants_to_send = [self.socket] if self.sending else []
            readable, _, _ = select.select([self.socket], wants_to_send, [], 0.1)
            if readable:
                self.receive()
            moved.value = self.moved


def be_greedy(port, size, kind, begin, stop, moved):
    Greedy(port, size, kind)  # Fails at once when there is no server.
    begin.wait()
    Greedy(port, size, kind).run(stop, moved)


class Modest:
    """One small get at a time."""

    def __init__(self, port, size):
        self.connection = wire.Connection(port)
        self.value = random.Random(2).randbytes(size)
        for number in range(SMALL_KEYS):
            self.put(number, self.value)

    def put(self, number, value):
        status = self.connection.put(key_of(number), value)
        if status != "ok":
            sys.exit(f"a put ended with {status}")

    def latencies(self, count):
        """Microseconds of each of `count` gets, in ascending order."""
        times = []
        for number in range(count):
            began = time.perf_counter_ns()
            answer = self.connection.call(wire.GET, key_of(number % SMALL_KEYS))
            times.append((time.perf_counter_ns() - began) / 1000)
            if answer.payload != self.value:
                sys.exit("another value")
        return sorted(times)


def measure(row, name, times):
    for share in (0.5, 0.9, 0.99):
        row[f"{name}_p{100 * share:.0f}_us"] = round(common.quantile(times, share), 1)


def beside(row, server, modest, options):
    """The modest client beside the greedy one, which has been at it for a moment."""
    begin, stop, moved = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Value("Q")
    greedy = multiprocessing.Process(
        target=be_greedy, args=(server.port, options.greedy_bytes, options.kind, begin, stop, moved))
    greedy.start()
    if options.realtime:
        prefer(greedy.pid, 1)
    begin.set()
    while moved.value < 64 << 20:
        if not greedy.is_alive():
            sys.exit("the greedy client ended by itself")
        time.sleep(0.01)
    before, began = moved.value, time.monotonic()
    measure(row, "beside", modest.latencies(options.gets))
    seconds = time.monotonic() - began
    row["greedy_mib_per_second"] = round((moved.value - before) / 2**20 / seconds)
    stop.set()
    greedy.join()


def pair(number, server, modest, options):
    row = {"pair": number, "load": common.load()}

    def alone():
        measure(row, "alone", modest.latencies(options.gets))

    both = [alone, lambda: beside(row, server, modest, options)]
    for side in both if number % 2 == 0 else reversed(both):
        side()
    row["p99_ratio"] = round(row["beside_p99_us"] / row["alone_p99_us"], 3)
    row["p50_ratio"] = round(row["beside_p50_us"] / row["alone_p50_us"], 3)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memkvd", help="folder of memkvd (default: .build/release)")
    parser.add_argument("--port", type=int, default=19976)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--gets", type=int, default=2000, help="of the modest client in a run")
    parser.add_argument("--small-bytes", type=int, default=64 << 10)
    parser.add_argument("--greedy-bytes", type=int, default=1 << 20)
    parser.add_argument("--kind", choices=("get", "put", "mixed"), default="mixed", help="what the greedy one does")
    parser.add_argument("--memory", action="store_true", help="a store in memory, not in a file on tmpfs")
    parser.add_argument("--realtime", action=argparse.BooleanOptionalAction, default=os.geteuid() == 0)
    parser.add_argument("--csv", help="where every pair goes")
    options = parser.parse_args()
    memkvd = common.program("memkvd", options.memkvd)
    print(common.machine())
    directory = tempfile.mkdtemp(prefix="memkv-fairness-", dir="/dev/shm")
    try:
        storage = "{ mode: memory, max_size: 2 GiB }" if options.memory else "{ max_size: 2 GiB }"
        data = None if options.memory else os.path.join(directory, "data")
        server = common.Server(memkvd, directory, options.port, storage, data=data)
        try:
            if options.realtime:
                prefer(server.process.pid, 2)
                prefer(os.getpid(), 3)
            modest = Modest(options.port, options.small_bytes)
            large = random.Random(1).randbytes(options.greedy_bytes)
            for number in range(LARGE_KEYS):
                modest.put((1 << 20) + number, large)
            modest.latencies(200)
            rows = [pair(number, server, modest, options) for number in range(options.pairs)]
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory)
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    for name in ("p50", "p99"):
        ratios = [row[f"{name}_ratio"] for row in rows]
        low, high = common.bootstrap_median(ratios)
        goal = f"; goal {GOAL}" if name == "p99" else ""
        print(f"{name}: median ratio {common.median(ratios):.2f}, 95 % interval {low:.2f} to {high:.2f} "
              f"(alone {common.median([row[f'alone_{name}_us'] for row in rows]):.0f} us, "
              f"beside {common.median([row[f'beside_{name}_us'] for row in rows]):.0f} us{goal})")
    print(f"the greedy client, {options.kind} of {options.greedy_bytes >> 10} KiB: "
          f"{common.median([row['greedy_mib_per_second'] for row in rows]):.0f} MiB/s")


if __name__ == "__main__":
    main()
