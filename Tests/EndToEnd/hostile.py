#!/usr/bin/env python3
"""Clients that are slow, silent, greedy or too many, beside one that behaves: it is served all the while.

Each is ended or held back by the limit that it meets, counted by reason, and afterwards memkvd has the memory and the
descriptors that it had before.
"""
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import select
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.daemon import Daemon, free_port

IDLE = 5000
VALUE_BYTES = 64 << 10
LARGE_BYTES = 1 << 20
SLABS, SLAB_BYTES = 64, 1 << 20
PATIENCE_SECONDS = 60
# What the process may have more of afterwards: the log's and the admin endpoint's own.
RESIDENT_SLACK_BYTES = 4 << 20

options = report.arguments(__doc__.splitlines()[0], 20261122)
generator = random.Random(options.seed)

LIMITS = {
    "sessions": 6000, "sessions_per_address": 5900, "requests": 512, "requests_per_session": 64,
    "bytes_per_session": "16 MiB", "payload_size": "8 MiB", "batch_items": 100,
    "half_open_deadline": "6 s", "header_deadline": "3 s", "frame_deadline": "4 s",
    "response_deadline": "5 s",
}


def eventually(condition, seconds=PATIENCE_SECONDS):
    """Whether `condition` came to hold."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def connect(port, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS,
                                    source_address=(source, 0))


def frame(operation, request_id, body=b"", payload=b"", payload_length=None, deadline=0):
    length = len(payload) if payload_length is None else payload_length
    checksum = wire.xxh3(payload) if operation == wire.PUT else 0
    return wire.HEADER.pack(wire.MAGIC, 1, operation, 0, 0, 0, 0, request_id, len(body), length,
                            checksum, deadline, 0, bytes(16)) + body + payload


def is_closed(peer, seconds):
    """Whether the server has closed `peer`, once what it sent before is read."""
    end = time.monotonic() + seconds
    poller = select.poll()
    poller.register(peer, select.POLLIN)
    while True:
        if not poller.poll(1000 * max(0, end - time.monotonic())):
            return False
        try:
            if not peer.recv(1 << 20):
                return True
        except ConnectionError:
            return True


def take(peer, count):
    """The next `count` bytes, or those before the end."""
    data = bytearray()
    while len(data) < count:
        arrived = peer.recv(count - len(data))
        if not arrived:
            break
        data += arrived
    return bytes(data)


def key_of(number):
    return struct.pack("<QQQQ", number, 0, 0, options.seed)


class Server:
    """A memkvd whose store is on tmpfs, and a client of it that behaves."""

    def __init__(self, stack, limits):
        directory = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="memkv-hostile-", dir="/dev/shm")))
        self.port = free_port()
        config = directory / "memkvd.yaml"
        config.write_text(json.dumps({
            "network": {"address": f"127.0.0.1:{self.port}", "limits": limits},
            "memory": {"block_size": f"{SLAB_BYTES} B", "max_size": f"{SLABS * SLAB_BYTES} B"},
            "storage": {"max_size": "512 MiB"},
        }))
        self.daemon = Daemon(stack, directory, self.port, "--config", config, "--data", directory / "store")
        self.daemon.start()
        self.client = wire.Connection(self.port)
        stack.callback(self.client.close)
        self.small, self.large = generator.randbytes(VALUE_BYTES), generator.randbytes(LARGE_BYTES)
        for number in range(16):
            self.client.put(key_of(number), self.small)
            self.client.put(key_of(100 + number), self.large)
        self.works("before")
        self.resident, self.descriptors = self.resident_bytes(), self.descriptor_count()

    def works(self, when, rounds=20):
        """The client that behaves puts and gets, and nothing is wrong."""
        wrong = []
        for number in range(rounds):
            value = generator.randbytes(generator.randrange(1, VALUE_BYTES))
            wrong += [status for status in [self.client.put(key_of(1000 + number), value)] if status != "ok"]
            if self.client.get(key_of(1000 + number)) != ("ok", value):
                wrong.append("another value")
            if self.client.get(key_of(100 + number % 16)) != ("ok", self.large):
                wrong.append("another large value")
        report.check(f"{when}, a client that behaves is served", not wrong, wrong)

    def newcomer_works(self, when):
        newcomer = wire.Connection(self.port)
        report.check(f"{when}, a new client is served", newcomer.get(key_of(1)) == ("ok", self.small))
        newcomer.close()

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))

    def free_slabs(self):
        memory = json.loads(self.daemon.admin("/v1/status")[1])["memory"]
        return memory["slabs_total"] - memory["slabs_allocated"]

    def is_as_before(self, when):
        report.check(f"{when}, every slab is free", eventually(lambda: self.free_slabs() == SLABS),
                     self.free_slabs())
        # The admin endpoint's own connections come and go.
        report.check(f"{when}, as many descriptors as before",
                     eventually(lambda: self.descriptor_count() <= self.descriptors),
                     f"{self.descriptor_count()}, before {self.descriptors}")
        resident = self.resident_bytes()
        report.check(f"{when}, as much memory as before", resident <= self.resident + RESIDENT_SLACK_BYTES,
                     f"{resident} bytes, before {self.resident}")

    def ends_with(self, **expected):
        """Stops the server; what it counted is exactly this."""
        code = self.daemon.terminate()
        lines = [line for line in self.daemon.log().splitlines() if 'msg="clients refused"' in line]
        counted = {name: int(number) for name, number in
                   re.findall(r"(refused_\w+|overdue_\w+|truncated_frames|failed_accepts)=(\d+)",
                              lines[-1] if lines else "")}
        report.check(f"counted: {expected}", code == 0 and counted == expected, f"exit {code}, {counted}")


@contextlib.contextmanager
def serving(**limits):
    with contextlib.ExitStack() as stack:
        yield Server(stack, LIMITS | limits)


def one_byte_a_second():
    """A header, a body and a payload that come at one byte a second."""
    with serving() as server, contextlib.ExitStack() as stack:
        put = frame(wire.PUT, 7, key_of(5), bytes(100))
        slow = []
        for name, count in (("header", 1), ("body", 64), ("payload", 64 + 32)):
            for _ in range(5):
                peer = wire.Connection(server.port)
                stack.callback(peer.close)
                peer.socket.sendall(put[:count])
                slow.append((name, peer.socket, count))
        stranger = stack.enter_context(connect(server.port))
        begun, sent = time.monotonic(), 0
        while time.monotonic() - begun < 12 and len(slow) > 0:
            sent += 1
            alive = []
            for name, peer, count in slow:
                try:
                    peer.sendall(put[count:count + 1])
                    alive.append((name, peer, count + 1))
                except ConnectionError:
                    pass
            slow = alive
            with contextlib.suppress(ConnectionError):
                stranger.sendall(frame(wire.CONNECT, 1, bytes(8))[sent:sent + 1])
            server.works(f"after {sent} s of one byte a second", rounds=3)
            time.sleep(1)
        report.check("they are ended though they never stop", not slow, [name for name, _, _ in slow])
        report.check("so is one that greets at one byte a second", is_closed(stranger, 2))
        server.is_as_before("after them")
        server.ends_with(overdue_headers=6, overdue_frames=10, truncated_frames=10)


def many_idle():
    """Thousands of connections that say nothing, greeted and not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 100:
        raise report.CannotTry(f"{hard} open descriptors are too few for {IDLE} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving() as server:
        peers = [connect(server.port) for _ in range(IDLE)]
        for peer in peers:
            peer.sendall(frame(wire.CONNECT, 1, struct.pack("<HHI", 1, 1, 0)))
        answers = [len(take(peer, 104)) for peer in peers]
        report.check(f"{IDLE} clients are greeted", answers == [104] * IDLE, set(answers))
        server.works(f"beside {IDLE} idle sessions")
        server.newcomer_works(f"beside {IDLE} idle sessions")
        time.sleep(8)
        poller = select.poll()
        for peer in peers:
            poller.register(peer, select.POLLIN)
        report.check("a greeted session may be silent for longer than any deadline", poller.poll(0) == [])
        late = 0
        for peer in generator.sample(peers, 100):
            peer.sendall(frame(wire.GET, 2, key_of(1)))
            answer = take(peer, 64 + VALUE_BYTES)
            late += answer[64:] == server.small
        report.check("and is served when it speaks again", late == 100, late)
        for peer in peers:
            peer.close()
        server.is_as_before("after idle sessions")
        peers = [connect(server.port) for _ in range(IDLE)]
        server.works(f"beside {IDLE} connections that never greet")
        server.newcomer_works(f"beside {IDLE} connections that never greet")
        ended = sum(is_closed(peer, PATIENCE_SECONDS) for peer in peers)
        report.check("those that never greet are ended", ended == IDLE, ended)
        server.is_as_before("after connections that never greet")
        for peer in peers:
            peer.close()
        server.ends_with(overdue_greetings=IDLE)


def too_many():
    """More sessions than there may be, in all and from one address."""
    with serving(sessions=8, sessions_per_address=3) as server, contextlib.ExitStack() as stack:
        def opened(source):
            peer = stack.enter_context(connect(server.port, source))
            with contextlib.suppress(ConnectionError):
                peer.sendall(frame(wire.CONNECT, 1, struct.pack("<HHI", 1, 1, 0)))
                if take(peer, 104):
                    return peer
            peer.close()
            return None

        # The client that behaves has one of 127.0.0.1's three, and one of the eight.
        first = [opened("127.0.0.2") for _ in range(5)]
        report.check("an address has three sessions", [peer is not None for peer in first]
                     == [True, True, True, False, False])
        second = [opened("127.0.0.3") for _ in range(4)]
        report.check("so has another", [peer is not None for peer in second] == [True, True, True, False])
        third = [opened("127.0.0.4") for _ in range(2)]
        report.check("and eight are all there are", [peer is not None for peer in third] == [True, False])
        server.works("beside refused connections")
        first[0].close()
        report.check("a place that is left can be had", eventually(lambda: opened("127.0.0.4") is not None, 5))
        stack.close()
        server.is_as_before("after refused connections")
        code = server.daemon.terminate()
        log = server.daemon.log()
        report.check("both reasons are counted", code == 0 and "refused_addresses=3" in log
                     and re.search(r"refused_connections=[1-9]", log), log[-500:])


def never_reads():
    """A client that asks and asks and takes no answer."""
    with serving() as server, contextlib.ExitStack() as stack:
        peers = []
        for _ in range(3):
            silent = wire.Connection(server.port)
            stack.callback(silent.close)
            silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            for number in range(200):
                with contextlib.suppress(BlockingIOError):
                    silent.socket.send(frame(wire.GET, number, key_of(100 + number % 16)),
                                       socket.MSG_DONTWAIT)
            peers.append(silent)
        least = SLABS
        for number in range(3):
            server.works(f"beside clients that never read ({number})", rounds=5)
            least = min(least, server.free_slabs())
        report.check("together they hold three quarters of the slabs at most", least >= SLABS // 4 - 1, least)
        report.note(f"{SLABS - least} of {SLABS} slabs held, 16 by one session at most")
        ended = [is_ended_without_reading(peer.socket) for peer in peers]
        report.check("they are ended", all(ended), ended)
        server.is_as_before("after clients that never read")
        server.ends_with(overdue_responses=3)


def never_reads_one_after_another():
    """Clients that come one after another, each with its share of what is left, and take no answer."""
    with serving(response_deadline="60 s") as server, contextlib.ExitStack() as stack:
        modest = wire.Connection(server.port)
        stack.callback(modest.close)
        peers = []
        for _ in range(20):
            silent = socket.create_connection(("127.0.0.1", server.port))
            stack.callback(silent.close)
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            frames = [frame(wire.CONNECT, 1, struct.pack("<HHI", 1, 1, 0))]
            frames += [frame(wire.GET, 2 + number, key_of(100 + number % 16)) for number in range(64)]
            silent.setblocking(False)
            silent.send(b"".join(frames))
            peers.append(silent)
            time.sleep(0.1)
        begun = time.monotonic()
        answers = [modest.get(key_of(1)) for _ in range(20)]
        took = time.monotonic() - begun
        report.check("an older client is served beside twenty that never read",
                     answers == [("ok", server.small)] * 20, [status for status, _ in answers])
        server.newcomer_works("beside twenty clients that never read")
        report.check("and waited a few seconds at most", took < 20, took)
        report.note(f"the first answers took {took:.1f} s")
        for peer in [modest, *peers]:
            peer.close()
        server.is_as_before("after twenty that never read")


def is_ended_without_reading(peer):
    """Whether the server ends a connection that nobody reads from."""
    poller = select.poll()
    poller.register(peer, select.POLLRDHUP)
    return bool(poller.poll(PATIENCE_SECONDS * 1000))


def asks_for_more():
    """A client that asks for more than its share, and gets what it may have."""
    with serving() as server:
        greedy = wire.Connection(server.port)
        report.check("Connect says the limits", (greedy.batch_limit, greedy.payload_limit, greedy.in_flight,
                                                 greedy.value_limit) == (100, 8 << 20, 64, 8 << 20))
        # Ten times as many requests as are allowed, and four times as many bytes, at once.
        for number in range(640):
            greedy.submit(wire.GET, key_of(number % 16))
        answers = [greedy.receive() for _ in range(640)]
        report.check("requests beyond the limit are answered in time",
                     all(answer.payload == server.small for answer in answers))
        for number in range(64):
            greedy.submit(wire.PUT, key_of(2000 + number % 8), server.large)
        statuses = {greedy.receive().status for _ in range(64)}
        report.check("puts beyond the share are taken in time", statuses == {"ok"}, statuses)
        statuses = greedy.call(wire.EXISTS, b"".join(key_of(n) for n in range(101))).status
        report.check("a batch of too many is refused", statuses == "tooLarge", statuses)
        report.check("and the session goes on", greedy.get(key_of(1)) == ("ok", server.small))
        greedy.socket.sendall(frame(wire.PUT, 9999, key_of(1), payload_length=(8 << 20) + 1))
        greedy.unanswered[9999] = wire.PUT
        report.check("a payload that is too long is refused", greedy.receive().status == "tooLarge")
        report.check("and ends the session", is_closed(greedy.socket, 5))
        greedy.close()
        server.works("after a greedy client")
        server.is_as_before("after a greedy client")
        server.ends_with(refused_too_large=1)


def counts_between_responses():
    """What a greedy client gets between request and response of a modest one, in bytes."""
    with serving() as server:
        greedy = connect(server.port)
        greedy.sendall(frame(wire.CONNECT, 1, struct.pack("<HHI", 1, 1, 0)))
        take(greedy, 104)
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        modest = server.client
        asked = taken = 0
        most, between, turns = 0, 0, 0
        request_id = None
        begun = time.monotonic()
        while turns < 300 and time.monotonic() - begun < PATIENCE_SECONDS:
            while asked - taken // (64 + LARGE_BYTES) < 60:
                greedy.sendall(frame(wire.GET, asked, key_of(100 + asked % 16)))
                asked += 1
            if request_id is None:
                request_id, between = modest.submit(wire.GET, key_of(turns % 16)), 0
            ready, _, _ = select.select([modest.socket, greedy], [], [])
            if modest.socket in ready:
                answer = modest.receive()
                if answer.payload != server.small:
                    report.check("the modest client's value", False)
                most, turns, request_id = max(most, between), turns + 1, None
            elif greedy in ready:
                got = len(greedy.recv(1 << 18))
                taken, between = taken + got, between + got
        # Its responses in the sockets' buffers, a piece or two, and what the engine was at.
        limit = 16 << 20
        report.check("at most 16 MiB for the greedy one while the modest one waits", turns == 300 and most <= limit,
                     f"{most} bytes, {turns} turns")
        report.note(f"at most {most / 2**20:.1f} MiB; the greedy one got {taken >> 20} MiB in all, "
                    f"{time.monotonic() - begun:.1f} s")
        greedy.close()
        server.is_as_before("after both")


report.run([
    ("one byte a second", one_byte_a_second),
    ("thousands of idle connections", many_idle),
    ("too many sessions", too_many),
    ("a client that never reads", never_reads),
    ("clients that never read, one after another", never_reads_one_after_another),
    ("a client that asks for more than its share", asks_for_more),
    ("a greedy client beside a modest one, in bytes", counts_between_responses),
])
