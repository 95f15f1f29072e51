#!/usr/bin/env python3
"""`memkv drive check`: clean on whole stores, also after kill -9; and for damage to each structure in turn, what it
says a start would lose is what memkvd then misses.

It never writes: every drive is compared before and after. Damage that leaves all checksums right (two owners of a
slot, a map that disagrees) is made with the checksums mended.
"""
import hashlib
import json
import os
import pathlib
import random
import shutil
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, memkv, memkvd_to_its_end, setup
from support.drives import loop_device, need, sparse_file, workshop
from support.image import Image
from support.ledger import Ledger
from support.load import Load, make_keys

BLOCKS = 13000
BATCH = 60
DAMAGED, REFUSED, USAGE = 5, 4, 2
SIZES = {"block_size": "64 KiB", "min_slot": "4 KiB"}

options = report.arguments(__doc__.splitlines()[0], 20261126)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(drive, *more):
    """(exit code, the drive's part of the JSON)"""
    before = sha256(drive)
    code, output, errors = memkv("drive", "check", "--json", *more, drive)
    if sha256(drive) != before:
        report.check(f"drive check of {drive} writes nothing", False, "it changed the drive")
    if not output:
        raise RuntimeError(f"drive check: exit {code}, {errors}")
    return code, json.loads(output)["drives"][0]


class Store:
    """A store of many small blocks, stopped, and copies of it to damage."""

    def __init__(self, stack, directory, name="store"):
        self.stack, self.directory, self.name = stack, directory, name
        self.drive = directory / name
        setup(self.drive, max_size="128 MiB", **SIZES)
        self.port = free_port()
        self.daemon = self.server(self.drive)
        self.keys = []
        self.copies = 0

    def server(self, drive):
        config = configuration(self.directory, self.port, [drive], name=f"{drive.name}.yaml", **SIZES)
        return Daemon(self.stack, self.directory, self.port, "--config", config)

    def fill(self, count, label="block"):
        connection = wire.Connection(self.port)
        generator = random.Random(f"{options.seed} {label}")
        for start in range(0, count, BATCH):
            items = []
            for number in range(start, min(start + BATCH, count)):
                key = hashlib.sha256(f"{label} {number}".encode()).digest()
                items.append((key, generator.randbytes(generator.choice((17, 900, 4096, 4097, 9000)))))
            body, payload = wire.batch_put_parts(items)
            answer = connection.call(wire.BATCH_PUT, body, payload)
            if answer.status != "ok":
                raise RuntimeError(f"batch put: {answer.status}")
            statuses = set(wire.item_statuses(answer.body, len(items)))
            if statuses != {"ok"}:
                raise RuntimeError(f"batch put: {statuses}")
            self.keys += [key for key, _ in items]
        connection.close()

    def copy(self):
        self.copies += 1
        path = self.directory / f"{self.name}-{self.copies}"
        shutil.copyfile(self.drive, path)
        return path

    def present(self, drive):
        """What memkvd serves of `drive`: the keys that it has, blocks and bytes by its own count, its log."""
        daemon = self.server(drive)
        daemon.start()
        connection = wire.Connection(self.port)
        status = json.loads(daemon.admin("/v1/status")[1])
        present = set()
        under_way = {}
        keys = iter(self.keys)
        while True:
            while len(under_way) < 16 and (key := next(keys, None)) is not None:
                under_way[connection.submit(wire.GET, key)] = key
            if not under_way:
                break
            answer = connection.receive()
            key = under_way.pop(answer.request_id)
            if answer.status == "ok":
                present.add(key)
        connection.close()
        log = daemon.log()
        daemon.kill()
        return present, status, log


def matrix(store, damages):
    """Each damage to a copy of the store: the check's word against what memkvd serves."""
    whole, _, _ = store.present(store.copy())
    for name, expected_structure, damage in damages:
        drive = store.copy()
        damage(Image(drive))
        code, result = check(drive, "--payloads")
        structures = {finding["structure"] for finding in result["findings"]}
        report.check(f"{name}: exit 5, found in {sorted(structures)}", code == DAMAGED
                     and result["verdict"] == "damaged" and expected_structure in structures, result)
        present, _, log = store.present(drive)
        lost, missed = result["lost"], len(whole - present)
        close = lost["blocks"] == missed if lost["exact"] else abs(lost["blocks"] - missed) <= len(whole) // 50
        report.check(f"{name}: {lost['blocks']} blocks to be lost"
                     f"{'' if lost['exact'] else ' (about)'}, memkvd misses {missed}", close, result)
        emptied = any("comes back empty" in finding["consequence"] for finding in result["findings"])
        report.check(f"{name}: the drive {'comes back empty' if emptied else 'keeps the rest'}",
                     emptied == ("returned_empty=1" in log) and (not emptied or not present), log)
        drive.unlink()


def flip_page(pointers):
    """Damage to one of the pages, the same one for a seed."""
    def damage(image):
        pages = pointers(image)
        generator = random.Random(options.seed)
        page = generator.choice(pages)
        image.flip(image.page_offset(page.page) + generator.randrange(64, 2000), generator.randrange(8))
    return damage


def some_entries(image, count):
    generator = random.Random(options.seed)
    return generator.sample([(leaf, entry) for leaf in image.leaves() for entry in image.entries(leaf)], count)


def flip_values(image):
    for _, (_, length, slot, _) in some_entries(image, 5):
        image.flip(image.slot_offset(slot) + length // 2)


def share_a_slot(image):
    """Two entries of one leaf and of one size name the same slot."""
    leaf = image.leaves()[0]
    entries = list(image.entries(leaf))
    first = entries[0]
    other = next(entry for entry in entries[1:] if (entry[1] > 4096) == (first[1] > 4096))
    data = image.page(leaf)
    data[other[3] + 60:other[3] + 64] = struct.pack("<I", first[2])
    image.reseal(leaf, data)


def swap_entries(image):
    """Two neighbours of a leaf in the wrong order."""
    leaf = image.leaves()[1]
    data = image.page(leaf)
    data[64 + 640:64 + 768] = data[64 + 704:64 + 768] + data[64 + 640:64 + 704]
    image.reseal(leaf, data)


def change_map(is_set):
    """Frees an owned slot in the map, or takes a free one."""
    def damage(image):
        owned = {slot for leaf in image.leaves() for _, _, slot, _ in image.entries(leaf)}
        _, (_, _, slot, _) = some_entries(image, 1)[0]
        if is_set:
            # Beside an owned slot of the smallest class, so that the segment has that class.
            smallest = [entry[2] for leaf in image.leaves() for entry in image.entries(leaf) if entry[1] <= 4096]
            slot = next(s + 1 for s in smallest if s + 1 not in owned and (s + 1) % image.units
                        and not bit_is_set(image, s + 1))
        page, byte, bit = image.map_bit(slot)
        data = image.page(page)
        data[byte] ^= 1 << bit
        image.reseal(page, data)
    return damage


def bit_is_set(image, slot):
    page, byte, bit = image.map_bit(slot)
    return image.page(page)[byte] >> bit & 1


def clean_and_damaged():
    with workshop("check") as (stack, directory):
        store = Store(stack, directory)
        code, result = check(store.drive)
        report.check("a new store is clean", code == 0 and result["verdict"] == "clean" and result["blocks"] == 0,
                     result)
        store.daemon.start()
        code, _, errors = memkv("drive", "check", store.drive)
        report.check("a drive that memkvd has is refused with exit code 4", code == REFUSED, f"exit {code} {errors}")
        store.fill(BLOCKS)
        connection = wire.Connection(store.port)
        for key in store.keys[::7]:
            connection.delete(key)
        connection.close()
        if store.daemon.terminate() != 0:
            raise RuntimeError(store.daemon.log())
        image = Image(store.drive)
        report.note(f"{len(image.inners())} inner pages, {len(image.leaves())} leaves, {len(image.maps())} map pages")
        code, result = check(store.drive, "--payloads")
        present, status, _ = store.present(store.copy())
        report.check(f"a drained store is clean: {result['blocks']} blocks, all values compared",
                     code == 0 and not result["findings"] and result["blocks"] == len(present)
                     == status["blocks_total"] == result["verified_values"] and result["replayed_records"] == 0
                     and result["used_bytes"] == status["storage"]["used_bytes_total"], (result, status))
        matrix(store, [
            ("superblock A", "superblock", lambda image: image.flip(100)),
            ("superblock B", "superblock", lambda image: image.flip((1 << 20) + 4000)),
            ("a root page", "root page", flip_page(Image.roots)),
            ("an inner page", "inner page", flip_page(Image.inners)),
            ("a leaf page", "leaf page", flip_page(Image.leaves)),
            ("every third leaf page", "leaf page",
             lambda image: [image.flip(image.page_offset(leaf.page) + 70) for leaf in image.leaves()[::3]]),
            ("a map directory page", "map directory page", flip_page(Image.directories)),
            ("a map page", "map page", flip_page(Image.maps)),
            ("five values", "value", flip_values),
            ("one slot with two owners", "slot", share_a_slot),
            ("two entries in the wrong order", "leaf page", swap_entries),
            ("an owned slot that the map calls free", "slot", change_map(False)),
            ("a taken slot without an owner", "slot", change_map(True)),
        ])
        both = store.copy()
        Image(both).flip(100)
        Image(both).write((1 << 20) + 64, bytes(8))
        code, result = check(both)
        report.check("both superblocks: exit 5, memkvd refuses the drive", code == DAMAGED
                     and "both superblocks damaged" in result["reason"], result)
        report.check("… and how much is lost, nobody can tell", result["lost"] == dict(blocks=None, slot_bytes=None,
                                                                                 exact=False), result["lost"])
        config = configuration(directory, store.port, [both], name="both.yaml", **SIZES)
        code, errors = memkvd_to_its_end("--config", config)
        report.check("… and so it does", code == 3 and "both superblocks damaged" in errors, errors)
        overwritten(store)
        cut(store)
        copies(store)


def overwritten(store):
    """Both superblocks, marks and all, by what is no superblock."""
    drive = store.copy()
    noise = random.Random(options.seed)
    for place in (0, 1 << 20):
        Image(drive).write(place, noise.randbytes(4096))
    code, result = check(drive)
    report.check("superblocks overwritten with noise: exit 5, the journal tells that a store is there", code == DAMAGED
                 and "both superblocks damaged" in result["reason"] and result["lost"]["blocks"] is None, result)
    code, output, _ = memkv("drive", "list", drive)
    report.check("drive list knows it, too", code == 0 and "both superblocks damaged" in output, output)


def cut(store):
    for length in (100 << 20, 2 << 20, 1 << 20, 8192):
        drive = store.copy()
        os.truncate(drive, length)
        code, result = check(drive)
        report.check(f"cut to {length} bytes: exit 5 and how long it was", code == DAMAGED and "was cut short"
                     in result["reason"] and f"truncate -s {store.drive.stat().st_size}" in result["reason"]
                     and result["store"], result)
        code, output, _ = memkv("drive", "list", drive)
        report.check("… and drive list sees a store", code == 0 and "MemKV store" in output, output)


def copies(store):
    drive, copied = store.drive, store.copy()
    code, output, _ = memkv("drive", "check", drive, copied)
    report.check("a drive and its copy: exit 4, which names both", code == REFUSED
                 and f"it and {drive} are copies of one drive" in output, output)
    code, output, _ = memkv("drive", "check", "--json", drive, copied)
    results = json.loads(output)["drives"]
    report.check("… in JSON, too", [result.get("copy_of") for result in results] == [None, str(drive)]
                 and [result["verdict"] for result in results] == ["clean", "clean"], results)


def killed():
    with workshop("check-killed") as (stack, directory):
        store = Store(stack, directory, "killed")
        store.daemon.start()
        store.fill(600)
        for turn in range(4):
            ledger = Ledger(Contents(options.seed))
            make_keys(ledger, f"{options.seed} {turn}", 60)
            load = Load(ledger, store.port, f"{options.seed} {turn}", 60000)
            load.stop_event.wait(0.7)
            store.daemon.kill()
            load.join()
            store.keys += ledger.keys()
            code, result = check(store.drive, "--payloads")
            _, status, log = store.present(store.copy())
            report.check(f"killed under load, turn {turn}: clean, {result['replayed_records']} records to replay, "
                         f"{result['blocks']} blocks", code == 0 and not result["findings"]
                         and result["replayed_records"] > 0
                         and f"records={result['replayed_records']}" in log
                         and f"torn={result['unlanded_puts']}" in log
                         and result["blocks"] == status["blocks_total"]
                         and result["used_bytes"] == status["storage"]["used_bytes_total"], (result, status, log))
            store.daemon.start()
        store.fill(1200, "late")
        store.daemon.kill()

        def one_copy(image):
            blocks = image.journal()
            durable = max(mark for _, mark in blocks)
            chosen = [sequence for sequence, _ in blocks if sequence <= durable][:4][-1]
            image.flip(image.journal_offsets(chosen)[1] + 700)

        def both_copies(image):
            blocks = image.journal()
            durable = max(mark for _, mark in blocks)
            chosen = [sequence for sequence, _ in blocks if sequence <= durable][-3:][0]
            for offset in image.journal_offsets(chosen):
                image.flip(offset + 700)

        matrix(store, [
            ("one copy of a journal block", "journal", one_copy),
            ("both copies of a journal block", "journal", both_copies),
            ("an inner page under a journal to replay", "inner page", flip_page(Image.inners)),
            ("a leaf page under a journal to replay", "leaf page", flip_page(Image.leaves)),
        ])


def what_is_no_store():
    with workshop("check-none") as (stack, directory):
        blank = sparse_file(directory / "blank", 64 << 20)
        code, result = check(blank)
        report.check("a blank file: exit 4", code == REFUSED and "no store" in result["reason"], result)
        code, output, _ = memkv("drive", "check", directory / "nothing")
        report.check("a path that leads nowhere: exit 2", code == USAGE and "isn't there" in output, output)
        short = directory / "short"
        short.write_bytes(b"x" * 100)
        code, result = check(short)
        report.check("a file of 100 bytes: too short", code in (USAGE, REFUSED) and "shorter than 4096" in result["reason"],
                     (code, result))
        pipe = directory / "pipe"
        os.mkfifo(pipe)
        for command in ("check", "list"):
            code, output, _ = memkv("drive", command, pipe)
            report.check(f"drive {command} of a FIFO: exit 2, what it is", code == USAGE
                         and "neither a file nor a block device" in output, (code, output))
        link = directory / "link"
        link.symlink_to(blank)
        code, _, errors = memkv("drive", "check", blank, link)
        report.check("one drive under two names: exit 2", code == USAGE and "one drive" in errors, errors)


def on_a_block_device():
    need("losetup")
    with workshop("check-device") as (stack, directory):
        device = loop_device(stack, sparse_file(directory / "image", 128 << 20))
        setup(device, **SIZES)
        code, output, _ = memkv("drive", "check", "--payloads", device)
        report.check("a block device is checked", code == 0 and "clean" in output, output)


report.run([
    ("whole, and damaged structure by structure", clean_and_damaged),
    ("killed", killed),
    ("what is no store", what_is_no_store),
    ("a block device", on_a_block_device),
])
