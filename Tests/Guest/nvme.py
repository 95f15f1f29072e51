#!/usr/bin/env python3
"""memkvd on NVMe drives by the kernel's NVMe driver: contract, kill and restart, unplugging, bad and slow media.

Runs inside the guest that test.py boots, as root, on the drives that test.py gives it. It waits for states, never
for a time, and asserts no time: an emulated machine is slow, and at times very slow.
"""
import errno
import hashlib
import json
import mmap
import os
import pathlib
import random
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "EndToEnd")]
from harness.drives import LINKS, Drives
from support import daemon, report, wire
from support.content import Contents
from support.daemon import Daemon, clean_environment, configuration, free_port, memkv, setup
from support.drives import workshop
from support.ledger import Ledger
from support.load import Load, read_back

SEED = 20261123
PATIENCE_SECONDS = 180
FILE_MEBIBYTES = 24
LARGEST_BYTES = 256 << 10
KEYS_OF_A_DRIVE = 24
# Of requests to a drive that needs a multiple of it.
DEADLINE_MICROSECONDS = 3_000_000
# Drives of the store, and those that the contract may write all over.
FIRST, SECOND = "first", "second"
CONTRACT_DRIVES = {"bare512": 512, "bare4096": 4096}

daemon.PATIENCE_SECONDS = PATIENCE_SECONDS
drives = Drives()


def wait(what, holds):
    """Waits for a state, without taking the processor from those that bring it about."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {PATIENCE_SECONDS} seconds in vain: {what}")
        time.sleep(0.3)


def contract():
    """What every BlockDevice promises, Tests/Contracts, by the program that `swift test` would run."""
    named = " ".join(f"{LINKS / name}={block}" for name, block in CONTRACT_DRIVES.items())
    done = subprocess.run(
        [report.binaries() / "memkvPackageTests.xctest", "--testing-library", "swift-testing", "--filter",
         "DeviceTests.blockDevicesKeepTheContract"], capture_output=True, text=True,
        env=clean_environment(MEMKV_TEST_DRIVES=named, SWIFT_BACKTRACE="enable=no"))
    said = done.stdout + done.stderr
    report.check("NVMe drives of 512 and 4096 byte blocks keep the drive contract",
                 done.returncode == 0 and "with 2 test cases passed" in said, f"exit {done.returncode}\n{said}")


class Store:
    """A store on both drives, and its memkvd."""

    def __init__(self, stack, directory):
        self.directory = directory
        media = [LINKS / FIRST, LINKS / SECOND]
        setup(*media)
        self.port = free_port()
        self.daemon = Daemon(stack, directory, self.port, "--config",
                             configuration(directory, self.port, media, "direct"))
        self.server = f"127.0.0.1:{self.port}"
        self.daemon.start()

    def used_bytes(self):
        """Of each drive, by its name."""
        devices = json.loads(self.daemon.admin("/v1/status")[1])["storage"]["devices"]
        return {pathlib.Path(device["path"]).name: device["used_bytes"] for device in devices}

    def drive_of(self, key, value):
        """Puts a new block and sees which drive has taken it; None where what was freed meanwhile hides that."""
        before = self.used_bytes()
        connection = wire.Connection(self.port)
        status = connection.put(key, value)
        connection.close()
        after = self.used_bytes()
        if status != "ok":
            raise RuntimeError(f"a put says {status}")
        grown = [name for name in after if after[name] > before[name]]
        return grown[0] if len(grown) == 1 else None


def random_file(path):
    """Its SHA-256."""
    generator, digest = random.Random(f"{SEED} {path.name}"), hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(FILE_MEBIBYTES):
            piece = generator.randbytes(1 << 20)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(store):
    """A file goes in; kill -9 in the middle of another; both come out."""
    paths = [store.directory / name for name in ("one", "two")]
    digests = [random_file(path) for path in paths]
    manifests = [path.with_suffix(".manifest") for path in paths]
    code, _, errors = memkv("import", "--server", store.server, paths[0], "-o", manifests[0])
    report.check(f"{FILE_MEBIBYTES} MiB are imported", code == 0, errors)
    taken = store.used_bytes()
    report.check("both drives took a part", min(taken.values()) > 0, taken)
    importing = subprocess.Popen(
        [report.binaries() / "memkv", "import", "--server", store.server, paths[1], "-o", manifests[1]],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean_environment())
    wait("an import is under way", lambda: importing.poll() is not None
         or sum(store.used_bytes().values()) > sum(taken.values()) + (FILE_MEBIBYTES << 20) // 8)
    store.daemon.kill()
    report.check("memkvd was killed in the middle of an import", importing.poll() is None, importing.poll())
    store.daemon.start()
    _, errors = importing.communicate(timeout=PATIENCE_SECONDS)
    report.check("the import goes on with the memkvd that follows", importing.returncode == 0,
                 f"exit {importing.returncode}, {errors}")
    for path, manifest, digest in zip(paths, manifests, digests):
        copy = store.directory / "copy"
        code, _, errors = memkv("export", "--server", store.server, manifest, "-o", copy)
        report.check(f"file {path.name} comes out with its SHA-256", code == 0 and sha256(copy) == digest,
                     f"exit {code}, {errors}")
        copy.unlink(missing_ok=True)


def ledgers(store):
    """A ledger for each drive, of keys that belong to it and aren't there."""
    contents, generator = Contents(SEED), random.Random(f"keys {SEED}")
    found = {FIRST: Ledger(contents), SECOND: Ledger(contents), None: Ledger(contents)}
    while min(len(found[name].keys()) for name in (FIRST, SECOND)) < KEYS_OF_A_DRIVE:
        key = generator.randbytes(32)
        found[store.drive_of(key, b"whose is it")].add_key(key)
    del found[None]
    connection = wire.Connection(store.port)
    for ledger in found.values():
        for key in ledger.keys():
            connection.delete(key)
    connection.close()
    return found


def unplug(store):
    """One drive of two is pulled out under load, and comes back."""
    books = ledgers(store)
    gone, other = books[FIRST], books[SECOND]
    loads = [Load(book, store.port, f"{SEED} {name}", LARGEST_BYTES, connections=2) for name, book in books.items()]
    wait("both drives are busy", lambda: min(gone.acknowledged, other.acknowledged) > 20)
    gone.misses_allowed = True
    drives.unplug(FIRST)
    wait("memkvd has noticed", lambda: store.daemon.health()["drives_offline"] == 1)
    before = other.acknowledged
    wait("the other drive serves on", lambda: other.acknowledged > before + 20)
    for load in loads:
        load.stop()
    health = store.daemon.health()
    report.check("health says degraded, with one drive of two",
                 (health["status"], health["drives_online"], health["drives_offline"]) == ("degraded", 1, 1), health)
    report.check("the log says which drive is offline",
                 any('msg="drive offline"' in line and f"/{FIRST}" in line
                     for line in store.daemon.log().splitlines()), store.daemon.log())
    statuses = loads[1].statuses()
    report.check("the other drive's keys never noticed",
                 not other.violations and set(statuses) <= {"ok", "notFound"}, f"{statuses}, {other.violations[:5]}")
    statuses = loads[0].statuses()
    report.check("the gone drive's keys miss or are refused, and never lie",
                 not gone.violations and statuses.get("driveUnavailable", 0) > 0, f"{statuses}, {gone.violations[:5]}")
    report.note(f"{gone.acknowledged} and {other.acknowledged} changes acknowledged, {gone.unknown} unanswered")
    connection = wire.Connection(store.port)
    answers = {connection.get(key)[0] for key in gone.keys()}
    refusals = {connection.put(key, b"no") for key in gone.keys()}
    connection.close()
    report.check("while it is gone, gets miss and puts say so",
                 (answers, refusals) == ({"notFound"}, {"driveUnavailable"}), f"{answers}, {refusals}")

    drives.plug(FIRST)
    report.check("a drive that is back isn't taken by a memkvd that runs", store.daemon.health() == health,
                 store.daemon.health())
    code = store.daemon.terminate()
    report.check("SIGTERM ends memkvd with exit code 0, a drive offline", code == 0,
                 f"{code}: {store.daemon.log()}")
    store.daemon.start()
    report.check("the next memkvd takes it", store.daemon.health()["status"] == "healthy", store.daemon.health())
    gone.misses_allowed = False
    for name, book in books.items():
        verdicts = read_back(book, store.port)
        report.check(f"everything acknowledged on drive {name} is there: {verdicts}",
                     not book.violations and verdicts["wrong"] == 0 and verdicts["kept"] > 0,
                     "; ".join(book.violations[:5]))
    return books


def place_of(name, value):
    """Where a drive holds `value`, in bytes."""
    step = 4 << 20
    with open(LINKS / name, "rb", buffering=0) as device:
        offset, before = 0, b""
        while piece := device.read(step):
            found = (before + piece).find(value[:512])
            if found >= 0:
                return offset - len(before) + found
            offset += len(piece)
            before = piece[-512:]
    raise RuntimeError(f"drive {name} doesn't hold the value")


def read_error(name, offset):
    """The errno of reading 4 KiB there, past the page cache; 0 when it succeeds."""
    descriptor = os.open(LINKS / name, os.O_RDONLY | os.O_DIRECT)
    try:
        os.preadv(descriptor, [mmap.mmap(-1, 4096)], offset)
        return 0
    except OSError as failure:
        return failure.errno
    finally:
        os.close(descriptor)


def keys_on(store, name, count, seed):
    """Keys with values of 64 KiB on one drive: (key, value) each."""
    generator, found = random.Random(f"{seed} {SEED}"), []
    while len(found) < count:
        key, value = generator.randbytes(32), generator.randbytes(64 << 10)
        if store.drive_of(key, value) == name:
            found.append((key, value))
    return found


def bad_medium(store):
    """Sectors that can't be read cost their block and nothing else."""
    (bad, value), (good, good_value) = keys_on(store, FIRST, 2, "bad medium")
    place = place_of(FIRST, value)
    drives.fail_reads(FIRST, place + 4096)
    try:
        error = read_error(FIRST, place + 4096)
        report.check("the kernel says ENODATA of sectors that can't be read", error == errno.ENODATA,
                     os.strerror(error))
        connection = wire.Connection(store.port)
        status, _ = connection.get(bad)
        report.check("a block on them is a miss", status == "notFound", status)
        report.check("another block of the drive is served", connection.get(good) == ("ok", good_value))
        report.check("the drive stays online", store.daemon.health()["status"] == "healthy", store.daemon.health())
        report.check("the block can be put again", connection.put(bad, value) == "ok"
                     and connection.get(bad) == ("ok", value), connection.get(bad)[0])
        connection.close()
    finally:
        drives.heal(FIRST)


def slow_drive(store):
    """A drive of two operations a second: answers by the deadline, and the other drive's keys as ever."""
    slow, quick = keys_on(store, SECOND, 12, "slow"), keys_on(store, FIRST, 4, "quick")
    generator = random.Random(f"more {SEED}")
    drives.slow_down(SECOND, 2)
    try:
        waiting = wire.Connection(store.port)
        values = {waiting.submit(wire.GET, key, deadline=DEADLINE_MICROSECONDS): value for key, value in slow}
        for key, _ in slow[:2]:
            waiting.submit(wire.PUT, key, generator.randbytes(64 << 10), deadline=DEADLINE_MICROSECONDS)
        connection = wire.Connection(store.port)
        statuses = set()
        for key, value in quick:
            statuses.add(connection.get(key) == ("ok", value))
            statuses.add(connection.put(key, value[::-1]) == "ok" and connection.get(key) == ("ok", value[::-1]))
        report.check("the other drive's keys are served meanwhile", statuses == {True}, statuses)
        answers, wrong = {}, 0
        while waiting.unanswered:
            answer = waiting.receive()
            answers[answer.status] = answers.get(answer.status, 0) + 1
            if answer.operation == wire.GET and answer.status == "ok":
                wrong += answer.payload != values[answer.request_id]
        report.check("requests to the slow drive are answered: data, or that the deadline has passed",
                     set(answers) <= {"ok", "deadlineExceeded", "outcomeUnknown"} and wrong == 0
                     and answers.get("deadlineExceeded", 0) > 0, f"{answers}, {wrong} of them wrong")
        report.note(f"{answers}")
        report.check("no drive was given up", store.daemon.health()["status"] == "healthy", store.daemon.health())
        waiting.close()
    finally:
        drives.slow_down(SECOND, 0)
    wait("the drive is quick again", lambda: connection.get(slow[-1][0]) == ("ok", slow[-1][1]))
    report.check("it serves again once it is quick", True)
    connection.close()


def end(store, books):
    """After all that: a proper end, and everything as it was."""
    code = store.daemon.terminate()
    report.check("SIGTERM ends memkvd with exit code 0", code == 0, f"{code}: {store.daemon.log()}")
    store.daemon.start()
    for name, book in books.items():
        verdicts = read_back(book, store.port)
        report.check(f"drive {name} still has everything: {verdicts}", not book.violations and verdicts["wrong"] == 0,
                     "; ".join(book.violations[:5]))


def timed(name, function):
    """A part, which says how long it took."""
    def part():
        began = time.monotonic()
        try:
            return function()
        finally:
            report.note(f"{name}: {time.monotonic() - began:.1f} s")
    return name, part


def main():
    with workshop("nvme") as (stack, directory):
        state = {}

        def make_store():
            state["store"] = Store(stack, directory)

        def unplugged():
            state["books"] = unplug(state["store"])

        report.run([timed(*part) for part in (
            ("drive contract", contract),
            ("a store on two drives", make_store),
            ("import, kill -9, export", lambda: files(state["store"])),
            ("a drive is unplugged and returns", unplugged),
            ("a bad medium", lambda: bad_medium(state["store"])),
            ("a slow drive", lambda: slow_drive(state["store"])),
            ("the end", lambda: end(state["store"], state["books"])),
        )])


main()
