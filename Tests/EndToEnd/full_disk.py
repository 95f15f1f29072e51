#!/usr/bin/env python3
"""No space: a file system that fills up under a sparse store, and a store that is full without eviction.

Puts are refused and told which of the two is full, everything acknowledged stays, deletes work and make room, the drive is not fenced, and neither
kill -9 nor SIGTERM at that moment loses anything.
"""
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, memkv, setup
from support.drives import file_system, need, workshop
from support.ledger import Ledger
from support.load import Load, make_keys, read_back

KEYS = 320
VALUE_BYTES = 1 << 20
MIN_SLOT_BLOCKS = 16  # of 4 KiB
PATIENCE_SECONDS = 20

options = report.arguments(__doc__.splitlines()[0], 20261124)


class Filling:
    """A store that gets full, and its ledger."""

    def __init__(self, name, stack, directory, store, max_size, refusal):
        self.name, self.refusal = name, refusal
        setup(store, max_size=max_size)
        self.port = free_port()
        config = configuration(directory, self.port, [store])
        self.daemon = Daemon(stack, directory, self.port, "--config", config)
        self.daemon.start()
        self.ledger = Ledger(Contents(options.seed))
        make_keys(self.ledger, f"{options.seed} {name}", KEYS)
        self.connection = wire.Connection(self.port)

    def put(self, key, length=VALUE_BYTES):
        state, value = self.ledger.begin_put(key, length)
        status = self.connection.put(key, value)
        self.ledger.end_change(key, state, status)
        return status

    def delete(self, key):
        state = self.ledger.begin_delete(key)
        status = self.connection.delete(key)
        self.ledger.end_change(key, state, status)
        return status

    def restart(self, how):
        """Ends memkvd by `how`, starts it again, reads every key."""
        self.connection.close()
        if how == "SIGTERM":
            code = self.daemon.terminate()
            self.check("SIGTERM ends with exit code 0", code == 0, f"{code}: {self.daemon.log()}")
            self.daemon.kill()
        else:
            self.daemon.kill()
        self.daemon.start()
        self.everything_is_there(f"after {how}")
        self.connection = wire.Connection(self.port)

    def everything_is_there(self, when):
        verdicts = read_back(self.ledger, self.port)
        self.check(f"{when} everything acknowledged is there, {verdicts}",
                   not self.ledger.violations, "; ".join(self.ledger.violations[:5]))
        self.ledger.violations.clear()

    def healthy(self, when):
        health = self.daemon.health()
        self.check(f"{when} the drive is in service", health["status"] == "healthy"
                   and health["drives_online"] == 1, health)

    def check(self, what, condition, detail=""):
        report.check(f"{self.name}: {what}", condition, detail)

    def puts_work_again(self, what, keys):
        """Room comes when what was freed has been given back to the file system, which takes a moment."""
        end = time.monotonic() + PATIENCE_SECONDS
        waiting = list(keys)
        statuses = set()
        while waiting and time.monotonic() < end:
            statuses = {key: self.put(key) for key in waiting}
            waiting = [key for key in waiting if statuses[key] != "ok"]
        self.check(what, not waiting, f"{len(waiting)} of {len(keys)} still refused: {statuses}")


def fill(filling, directory):
    """Fills the store, and does everything that one does with a full one."""
    keys = filling.ledger.keys()
    statuses = [filling.put(key) for key in keys]
    stored = [key for key, status in zip(keys, statuses) if status == "ok"]
    refused = [key for key, status in zip(keys, statuses) if status != "ok"]
    kinds = {status: statuses.count(status) for status in set(statuses)}
    filling.check(f"it gets full: {kinds}", set(kinds) == {"ok", filling.refusal} and kinds["ok"] > 20, kinds)
    filling.healthy("full,")
    filling.check("the log says when it is the file system", ('msg="file system full"' in filling.daemon.log())
                  == (filling.refusal == "fileSystemFull"), filling.daemon.log())
    filling.everything_is_there("full,")

    value = directory / "value"
    value.write_bytes(bytes(8 << 20))
    code, _, errors = memkv("--server", f"127.0.0.1:{filling.port}", "put", "one too many", value)
    filling.check("`memkv put` ends with exit code 4 and says so", code == 4 and filling.name.removeprefix("full ") in errors and "full" in errors,
                  f"exit {code}, {errors}")
    larger = [filling.put(key, 4 * VALUE_BYTES) for key in stored[:4]]
    filling.check("an overwrite without room is refused", set(larger) == {filling.refusal}, larger)
    filling.everything_is_there("after refused overwrites")

    half = stored[::2]
    deleted = {filling.delete(key) for key in half}
    filling.check("deletes work", deleted == {"ok"}, deleted)
    filling.puts_work_again("deletes make room", refused[:len(half) // 2])
    filling.restart("kill -9")
    filling.healthy("after kill -9")

    load = Load(filling.ledger, filling.port, f"{options.seed} {filling.name}", 4 * VALUE_BYTES)
    time.sleep(3)
    filling.connection.close()
    filling.daemon.kill()
    load.join()
    filling.check(f"a load on a full store is refused at times: {load.statuses()}",
                  load.statuses().get(filling.refusal, 0) > 0 and load.statuses().get("ok", 0) > 0)
    filling.daemon.start()
    filling.everything_is_there("after kill -9 under that load")
    filling.connection = wire.Connection(filling.port)


def take_all_space(mounted):
    """Somebody else's file takes what is free; returns the blocks that are free all the same.

    What the store has given back just now can come late.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    with open(mounted / "somebody else's", "wb", buffering=0) as other:
        while time.monotonic() < end:
            try:
                while True:
                    other.write(bytes(4096))
            except OSError:
                os.fsync(other.fileno())
            time.sleep(0.5)
            if os.statvfs(mounted).f_bavail < MIN_SLOT_BLOCKS:
                break
    return os.statvfs(mounted).f_bavail


def full_file_system():
    need("losetup", "mkfs.ext4", "mount")
    with workshop("full-disk") as (stack, directory):
        mounted = file_system(stack, directory, 96 << 20)
        filling = Filling("full file system", stack, directory, mounted / "drive", "512 MiB",
                          "fileSystemFull")
        fill(filling, directory)
        # The store's own metadata must have its place already.
        free = take_all_space(mounted)
        filling.check("the file system has no room for a slot", free < MIN_SLOT_BLOCKS, f"{free} blocks")
        present = filling.ledger.present_keys()
        for key in present:
            filling.put(key, random.Random(key).randint(1, 4 * VALUE_BYTES))
        filling.healthy("with no block free")
        filling.everything_is_there("with no block free")
        deleted = {filling.delete(key) for key in filling.ledger.present_keys()[::3]}
        filling.check("deletes work with no block free", deleted == {"ok"}, deleted)
        filling.restart("kill -9")
        filling.restart("SIGTERM")


def full_store():
    with workshop("full-store") as (stack, directory):
        filling = Filling("full store", stack, directory, directory / "drive", "128 MiB", "noSpace")
        fill(filling, directory)
        # To the very last slot.
        for length in (VALUE_BYTES, 65536, 1):
            for key in filling.ledger.keys():
                if filling.ledger.live(key)[0].version == 0:
                    filling.put(key, length)
        for _ in range(3):
            for key in filling.ledger.present_keys():
                filling.delete(key)
            statuses = {filling.put(key, 65536) for key in filling.ledger.keys()}
            filling.check("emptied, it takes blocks again", statuses == {"ok"}, statuses)
        filling.healthy("emptied and filled,")
        filling.restart("kill -9")
        filling.restart("SIGTERM")


report.run([
    ("a file system that fills up", full_file_system),
    ("a full store without eviction", full_store),
])
