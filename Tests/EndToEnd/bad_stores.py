#!/usr/bin/env python3
"""Stores that aren't as they should be: damaged, of another version or size, incomplete, absent, misnamed.

What can be served is served and repaired; what can't is refused with the exit code and the sentence that
Docs/configuration.md promises, and not a byte of it is changed.
"""
import hashlib
import json
import pathlib
import random
import shutil
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, memkv, memkvd_to_its_end, setup
from support.drives import loop_device, need, sparse_file, workshop
from support.ledger import Ledger
from support.load import Load, make_keys, read_back

SUPERBLOCK_BYTES = 4096
SUPERBLOCKS = (0, 1 << 20)  # where copies A and B lie
JOURNAL_START = 2 << 20
KEYS = 60
LARGEST_BYTES = 1 << 20
REFUSED, USAGE, IN_USE = 3, 2, 4

options = report.arguments(__doc__.splitlines()[0], 20261125)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_at(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def write_at(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def words(path, copy):
    """A superblock as 512 words."""
    return list(struct.unpack("<512Q", read_at(path, SUPERBLOCKS[copy], SUPERBLOCK_BYTES)))


def is_whole(path, copy):
    """A superblock has its magic and its checksum."""
    content = words(path, copy)
    stored, content[2] = content[2], 0
    return struct.pack("<Q", content[0]) == b"MKVSUPER" and wire.xxh3(struct.pack("<512Q", *content)) == stored


def write_words(path, copy, content):
    content[2] = 0
    content[2] = wire.xxh3(struct.pack("<512Q", *content))
    write_at(path, SUPERBLOCKS[copy], struct.pack("<512Q", *content))


class Store:
    """A store with blocks in it, and its ledger."""

    def __init__(self, stack, directory, name, drive_count=1, block_size="4 MiB", min_slot="64 KiB"):
        self.directory, self.name = directory, name
        self.drives = [directory / f"{name}-{number}" for number in range(drive_count)]
        self.port = free_port()
        setup(*self.drives, max_size="160 MiB", block_size=block_size, min_slot=min_slot)
        self.config = configuration(directory, self.port, self.drives, block_size=block_size, min_slot=min_slot,
                                    name=f"{name}.yaml")
        self.daemon = Daemon(stack, directory, self.port, "--config", self.config)
        self.ledger = Ledger(Contents(options.seed))
        make_keys(self.ledger, f"{options.seed} {name}", KEYS)
        self.daemon.start()
        self.loads = 0
        self.fill()

    @property
    def drive(self):
        return self.drives[0]

    def fill(self):
        connection = wire.Connection(self.port)
        generator = random.Random(f"{options.seed} {self.name}")
        for key in self.ledger.keys():
            state, value = self.ledger.begin_put(key, Contents.random_length(generator, LARGEST_BYTES))
            self.ledger.end_change(key, state, connection.put(key, value))
        connection.close()

    def load(self, seconds=0.5):
        """Some changes, and kill -9 in the middle of them."""
        self.loads += 1
        load = Load(self.ledger, self.port, f"{options.seed} {self.name} {self.loads}", LARGEST_BYTES)
        load.stop_event.wait(seconds)
        self.daemon.kill()
        load.join()

    def check_everything(self, what):
        verdicts = read_back(self.ledger, self.port)
        report.check(f"{what}: everything is there, {verdicts}", not self.ledger.violations,
                     "; ".join(self.ledger.violations[:5]))
        self.ledger.violations.clear()

    def stop(self):
        code = self.daemon.terminate()
        if code != 0:
            raise RuntimeError(f"SIGTERM: exit {code}: {self.daemon.log()}")

    def refused(self, what, code, *sentences, config=None):
        """memkvd refuses with that code and these words, and leaves the drives as they are."""
        before = [sha256(drive) for drive in self.drives if drive.exists()]
        got, errors = memkvd_to_its_end("--config", config or self.config)
        report.check(f"{what} is refused with exit code {code}", got == code
                     and all(sentence in errors for sentence in sentences), f"exit {got}, {errors}")
        for line in errors.splitlines():
            if line.startswith("memkvd: "):
                report.note(line)
        after = [sha256(drive) for drive in self.drives if drive.exists()]
        report.check(f"{what}: not a byte was changed", before == after)


def other_sizes():
    with workshop("sizes") as (stack, directory):
        store = Store(stack, directory, "sizes")
        store.stop()
        other = configuration(directory, store.port, store.drives, block_size="2 MiB", name="other-block.yaml")
        store.refused("another block size", REFUSED, str(store.drive), "was made with storage.block_size 4194304",
                      "memkv setup --force", config=other)
        other = configuration(directory, store.port, store.drives, min_slot="4 KiB", name="other-slot.yaml")
        store.refused("another smallest slot", REFUSED, "was made with storage.min_slot 65536", config=other)
        with open(store.drive, "r+b") as file:
            size = file.seek(0, 2)
            file.truncate(size - (32 << 20))
        store.refused("a file that was cut short", REFUSED, f"was formatted for {size} bytes")
        with open(store.drive, "r+b") as file:
            file.truncate(size)


def newer_version():
    with workshop("newer") as (stack, directory):
        store = Store(stack, directory, "newer")
        store.stop()
        older = [words(store.drive, copy) for copy in (0, 1)]
        for copies in ((0, 1), (0,), (1,)):
            for copy in copies:
                content = list(older[copy])
                content[1] = content[1] & ~0xFFFF | 3
                write_words(store.drive, copy, content)
            name = "both superblocks" if len(copies) == 2 else f"superblock {'AB'[copies[0]]}"
            store.refused(f"a newer format in {name}", REFUSED, "newer MemKV (format 3, this one reads up to 2)")
            for copy in (0, 1):
                content = list(older[copy])
                content[1] = content[1] & ~0xFFFF | 1
                write_words(store.drive, copy, content)
            store.refused("the format before epochs", REFUSED, "older MemKV (format 1, this one reads from 2 on)")
            for copy in (0, 1):
                write_words(store.drive, copy, list(older[copy]))
        code, _, errors = memkv("setup", "--drives", store.drive, "--max-size", "160 MiB")
        report.check("memkv setup doesn't format over a store", code == 4, f"exit {code}, {errors}")
        store.daemon.start()
        store.check_everything("with the old version put back")


def one_superblock():
    generator = random.Random(options.seed)
    damages = [
        ("zeros", lambda old: bytes(SUPERBLOCK_BYTES)),
        ("random bytes", lambda old: generator.randbytes(SUPERBLOCK_BYTES)),
        ("one flipped bit", lambda old: flipped(old, generator.randrange(8, SUPERBLOCK_BYTES * 8))),
        ("a torn sector", lambda old: old[:512] + generator.randbytes(512) + old[1024:]),
        ("an old end", lambda old: old[:2048] + bytes(2048)),
    ]

    def flipped(old, bit):
        data = bytearray(old)
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    with workshop("superblock") as (stack, directory):
        store = Store(stack, directory, "one")
        for number, (name, damage) in enumerate(damages):
            # Alternating, so that each copy has to stand in for the other soon after it was repaired.
            for copy in ((0, 1), (1, 0))[number % 2]:
                if number % 2:
                    store.stop()
                else:
                    store.load(0.3)
                old = read_at(store.drive, SUPERBLOCKS[copy], SUPERBLOCK_BYTES)
                new = damage(old)
                if new == old:
                    continue
                write_at(store.drive, SUPERBLOCKS[copy], new)
                store.daemon.start()
                store.check_everything(f"superblock {'AB'[copy]} with {name}")
                report.check(f"superblock {'AB'[copy]} with {name}: it is repaired",
                             is_whole(store.drive, 0) and is_whole(store.drive, 1))


def both_superblocks():
    with workshop("superblocks") as (stack, directory):
        store = Store(stack, directory, "both")
        store.stop()
        old = [read_at(store.drive, place, SUPERBLOCK_BYTES) for place in SUPERBLOCKS]
        for copy, place in enumerate(SUPERBLOCKS):
            write_at(store.drive, place + 100, bytes(byte ^ 0xFF for byte in old[copy][100:200]))
        store.refused("a store with both superblocks damaged", REFUSED, str(store.drive),
                      "has both superblocks damaged; nothing was changed", "Restore the first 2 MiB from a copy",
                      "memkv setup --force")
        before = sha256(store.drive)
        setup_words = ("setup", "--drives", store.drive, "--max-size", "160 MiB")
        code, _, errors = memkv(*setup_words)
        report.check("memkv setup doesn't format a damaged store by itself", code == 4 and "--force" in errors
                     and sha256(store.drive) == before, f"exit {code}, {errors}")
        # The first way out that the message names.
        for copy, place in enumerate(SUPERBLOCKS):
            write_at(store.drive, place, old[copy])
        store.daemon.start()
        store.check_everything("with the superblocks restored from a copy")
        store.stop()
        # And the second.
        for place in SUPERBLOCKS:
            write_at(store.drive, place + 100, b"damage")
        code, _, errors = memkv(*setup_words, "--force")
        report.check("memkv setup --force makes it anew", code == 0, f"exit {code}, {errors}")
        store.daemon.start()
        connection = wire.Connection(store.port)
        statuses = {connection.get(key)[0] for key in store.ledger.keys()}
        report.check("the store made anew is empty", statuses == {"notFound"}, statuses)


def damaged_journal():
    with workshop("journal") as (stack, directory):
        store = Store(stack, directory, "journal")
        for turn in range(2):
            for copy in "AB":
                store.load()
                content = words(store.drive, 0)
                capacity, length = content[7], (content[10] & 0xFFFFFFFF) * 4096
                start = JOURNAL_START if copy == "A" else (capacity - length) // 16384 * 16384
                write_at(store.drive, start, random.Random(f"{options.seed} {copy}").randbytes(length)
                         if turn else bytes(length))
                store.daemon.start()
                what = f"journal copy {copy} lost ({'random bytes' if turn else 'zeros'})"
                records, repairs = store.daemon.recovered("records"), store.daemon.recovered("repairs")
                report.check(f"{what}: {records} records replayed, {repairs} blocks repaired",
                             records > 0 and repairs > 0)
                store.check_everything(what)


def missing_drive():
    with workshop("missing") as (stack, directory):
        store = Store(stack, directory, "pair", drive_count=2)
        store.check_everything("two drives")
        store.stop()
        away = directory / "away"
        store.drives[1].rename(away)
        store.daemon.start()
        absent = [line for line in store.daemon.log().splitlines() if str(store.drives[1]) in line]
        report.check("the log names the absent drive, why, and doesn't call it recovered", any(
            'msg="drive absent"' in line and f" drive={store.drives[1]} " in line and "reason=" in line
            for line in absent) and not any("recovered" in line for line in absent), store.daemon.log())
        states = [drive["state"] for drive in json.loads(store.daemon.admin("/v1/status")[1])["storage"]["devices"]]
        report.check("/v1/status tells each drive's state", states == ["online", "absent"], states)
        _, output, _ = memkv("--server", f"127.0.0.1:{store.port}", "admin", "status")
        report.check("`memkv admin status` too", all(
            state in line.split() for state, line in zip(states, output.splitlines()[-2:])), output)
        health = store.daemon.health()
        report.check("health is degraded", (health["status"], health["drives_online"], health["drives_offline"],
                                            health["drives_total"]) == ("degraded", 1, 1, 2), health)
        connection = wire.Connection(store.port)
        here, gone, statuses = [], [], set()
        for key in store.ledger.keys():
            status, value = connection.get(key)
            statuses.add(status)
            if status == "ok":
                here.append(key)
                store.ledger.end_read(key, store.ledger.begin_read(), status, value)
            else:
                gone.append(key)
        report.check("keys of the absent drive miss", statuses == {"ok", "notFound"}, statuses)
        report.check(f"each drive has its share: {len(here)} and {len(gone)}", min(len(here), len(gone)) >= 10)

        def change(key, length):
            """A put, or a delete when `length` is None; returns its status."""
            if length is None:
                state = store.ledger.begin_delete(key)
                status = connection.delete(key)
            else:
                state, value = store.ledger.begin_put(key, length)
                status = connection.put(key, value)
            # A delete that finds nothing is remembered for the drive that is away.
            is_remembered = length is None and key in gone and status == "notFound"
            store.ledger.end_change(key, state, "ok" if is_remembered else status)
            return status

        statuses = [change(key, 5000) for key in gone[:5]] + [change(key, None) for key in gone[5:8]]
        report.check("puts of the absent drive's keys go to the other one, deletes are remembered",
                     statuses == ["ok"] * 5 + ["notFound"] * 3, statuses)
        statuses = {change(key, 5000) for key in here[:5]} | {change(key, None) for key in here[5:8]}
        report.check("the other drive's keys can be changed", statuses == {"ok"}, statuses)
        exists = connection.exists(gone)
        report.check("of the absent drive's keys those exist that were put since",
                     exists == ["ok"] * 5 + ["notFound"] * (len(gone) - 5), exists)
        connection.close()
        store.stop()
        away.rename(store.drives[1])
        store.daemon.start()
        report.check("health with the drive back", store.daemon.health()["status"] == "healthy",
                     store.daemon.health())
        store.check_everything("with the drive back")
        store.stop()
        one = configuration(directory, store.port, store.drives[:1], name="one.yaml")
        store.refused("a configuration that leaves a drive out", REFUSED,
                      "belongs to a store of 2 drives and the configuration names 1", config=one)
        other = Store(stack, directory, "stranger")
        other.stop()
        mixed = configuration(directory, store.port, [store.drives[0], other.drive], name="mixed.yaml")
        store.refused("a drive of another store", REFUSED, "belongs to another store", config=mixed)
        copy = directory / "copy"
        shutil.copyfile(store.drives[0], copy)
        twice = configuration(directory, store.port, [*store.drives, copy], name="twice.yaml")
        store.refused("a drive and its copy", REFUSED, f"{copy} is a copy of another drive", config=twice)
        for drive in store.drives:
            drive.rename(directory / f"moved-{drive.name}")
        store.refused("a store without any drive", REFUSED, "no drive of the store is there")


def addresses():
    with workshop("addresses") as (stack, directory):
        store = Store(stack, directory, "address")
        other = configuration(directory, store.port, store.drives, name="same-port.yaml")
        got, errors = memkvd_to_its_end("--config", other)
        report.check("the data port in use", got == IN_USE
                     and f"data port 127.0.0.1:{store.port} is in use" in errors, f"exit {got}, {errors}")
        other = configuration(directory, free_port(), store.drives, name="same-drive.yaml")
        got, errors = memkvd_to_its_end("--config", other)
        report.check("a drive that another memkvd has", got == REFUSED and "is in use" in errors,
                     f"exit {got}, {errors}")
        store.check_everything("the first memkvd noticed nothing")
        store.stop()
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", store.port + 1))
            taken.listen()
            got, errors = memkvd_to_its_end("--config", store.config)
            report.check("the admin port in use", got == IN_USE
                         and f"admin port 127.0.0.1:{store.port + 1} is in use" in errors, f"exit {got}, {errors}")
        store.daemon.start()
        store.check_everything("after both refusals")


def unformatted():
    with workshop("unformatted") as (stack, directory):
        blank = sparse_file(directory / "blank", 128 << 20)
        port = free_port()

        def refused(what, code, sentence, config):
            before = sha256(blank)
            got, errors = memkvd_to_its_end("--config", config)
            report.check(what, got == code and sentence in errors and sha256(blank) == before,
                         f"exit {got}, {errors}")

        refused("a file without a store", REFUSED, f"{blank} carries no MemKV store; run `memkv setup`",
                configuration(directory, port, [blank]))
        wrong = directory / "wrong.yaml"
        wrong.write_text("storage:\n  mode: file\n  blok_size: 4 MiB\n")
        refused("an unknown key names its line", USAGE,
                f"{wrong}:3: storage.blok_size: unknown key; did you mean storage.block_size?", wrong)
        need("losetup")
        device = loop_device(stack, blank)
        refused("a device without a store", REFUSED, f"{device} carries no MemKV store; run `memkv setup`",
                configuration(directory, port, [device], "direct"))
        tiny = sparse_file(directory / "tiny", 4 << 20)
        code, _, errors = memkv("setup", "--drives", loop_device(stack, tiny))
        report.check("a device too small for a store", code == 4 and "too few" in errors, f"exit {code}, {errors}")


report.run([
    ("another block size", other_sizes),
    ("a newer format", newer_version),
    ("one superblock damaged", one_superblock),
    ("both superblocks damaged", both_superblocks),
    ("one copy of the journal lost", damaged_journal),
    ("a drive missing at start", missing_drive),
    ("addresses and drives in use", addresses),
    ("drives without a store, and a wrong configuration", unformatted),
])
