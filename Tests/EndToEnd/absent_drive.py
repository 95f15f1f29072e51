#!/usr/bin/env python3
"""Three drives, one of them away at a start: puts, overwrites and deletes meanwhile, then it is back.

No stale value, no deleted one, and everything that was acknowledged is readable; then the same with a change list that
is too short for what was changed, and with the power cut (kill -9) while the drive is away and while it returns.
"""
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, memkv, setup
from support.drives import workshop
from support.ledger import Ledger
from support.load import make_keys, read_back

KEYS = 150
LARGEST_BYTES = 200 << 10
# A drive of 96 MiB has room for 408 changed keys.
LIST_KEYS = 408

options = report.arguments(__doc__.splitlines()[0], 20261122)


class Store:
    """Three file drives, what is in them by the ledger, and memkvd on them."""

    def __init__(self, stack, directory, shards):
        self.directory = directory
        self.drives = [directory / f"drive-{number}" for number in range(3)]
        self.port = free_port()
        setup(*self.drives, max_size="96 MiB", block_size="1 MiB", min_slot="64 KiB")
        config = configuration(directory, self.port, self.drives, block_size="1 MiB", shards=shards)
        self.daemon = Daemon(stack, directory, self.port, "--config", config)
        self.generator = random.Random(f"{options.seed} {shards}")
        self.ledger = Ledger(Contents(options.seed))
        make_keys(self.ledger, f"{options.seed} {shards}", KEYS)
        self.daemon.start()
        with_connection(self, lambda connection: [self.put(connection, key) for key in self.ledger.keys()])

    def put(self, connection, key):
        state, value = self.ledger.begin_put(key, Contents.random_length(self.generator, LARGEST_BYTES))
        status = connection.put(key, value)
        self.ledger.end_change(key, state, status)
        return status

    def delete(self, connection, key):
        """A delete of a key of the absent drive finds nothing, and is remembered all the same."""
        state = self.ledger.begin_delete(key)
        status = connection.delete(key)
        self.ledger.end_change(key, state, "ok" if status == "notFound" else status)
        return status

    def take_away(self, number):
        self.drives[number].rename(self.directory / "away")

    def bring_back(self, number):
        (self.directory / "away").rename(self.drives[number])

    def check_everything(self, what):
        verdicts = read_back(self.ledger, self.port)
        report.check(f"{what}: {verdicts}", not self.ledger.violations, "; ".join(self.ledger.violations[:5]))
        self.ledger.violations.clear()


def with_connection(store, body):
    connection = wire.Connection(store.port)
    try:
        return body(connection)
    finally:
        connection.close()


def change_some(store, connection, keys):
    """Overwrites a third of `keys`, deletes a third, deletes and puts anew some; returns all answers."""
    statuses = set()
    for place, key in enumerate(keys):
        if place % 3 == 0:
            statuses.add(store.put(connection, key))
        elif place % 3 == 1:
            statuses.add(store.delete(connection, key))
        if place % 9 == 4:
            statuses.add(store.put(connection, key))
    return statuses


def away_and_back(shards):
    with workshop("absent") as (stack, directory):
        store = Store(stack, directory, shards)
        what = f"{shards} shards"
        for number in (1, 0, 2):
            report.check(f"{what}: stops", store.daemon.terminate() == 0)
            store.take_away(number)
            store.daemon.start()
            report.check(f"{what}: health says that a drive is missing", store.daemon.health()["status"] == "degraded")
            statuses = with_connection(store, lambda c: change_some(store, c, store.ledger.keys()))
            report.check(f"{what}, without drive {number}: every change is taken", statuses <= {"ok", "notFound"},
                         statuses)
            store.ledger.misses_allowed = True
            gone = with_connection(store, lambda c: [
                key for key in store.ledger.present_keys() if c.get(key)[0] == "notFound"])
            store.ledger.misses_allowed = False
            report.check(f"{what}, without drive {number}: {len(gone)} of its keys miss", 0 < len(gone) < KEYS / 2)
            if number == 0:
                store.daemon.kill()
            else:
                store.daemon.terminate()
            store.bring_back(number)
            if number == 2:
                # The power fails at some moment of the return.
                store.daemon.launch()
                time.sleep(store.generator.random() * 0.3)
                store.daemon.kill()
            store.daemon.start()
            report.check(f"{what}: drive {number} is back and doesn't return empty",
                         store.daemon.recovered("returned_empty") == 0
                         and store.daemon.health()["status"] == "healthy", store.daemon.log())
            store.check_everything(f"{what}, drive {number} back: nothing stale, nothing lost")
        with_connection(store, lambda c: [store.put(c, key) for key in store.ledger.keys()])
        store.check_everything(f"{what}: all put anew")
        store.daemon.terminate()
        for drive in store.drives:
            code, output, errors = memkv("drive", "check", drive)
            report.check(f"{what}: {drive.name} is clean", code == 0, output + errors)


def too_much_for_the_list():
    with workshop("absent") as (stack, directory):
        store = Store(stack, directory, 2)
        store.daemon.terminate()
        store.take_away(1)
        store.daemon.start()
        extra = random.Random(f"{options.seed} extra")

        def many(connection):
            for key in store.ledger.keys()[::2]:
                store.put(connection, key)
            # Deletes of keys that nobody has must be remembered too: two drives' lists overflow.
            return {connection.delete(extra.randbytes(32)) for _ in range(LIST_KEYS * 6)}

        report.check("deletes of unknown keys find nothing", with_connection(store, many) == {"notFound"})
        store.daemon.terminate()
        store.bring_back(1)
        store.daemon.start()
        report.check("the drive returns empty, and the log says so", store.daemon.recovered("returned_empty") == 1,
                     store.daemon.log())
        lost = 0
        connection = wire.Connection(store.port)
        for key in store.ledger.keys():
            began = store.ledger.begin_read()
            status, value = connection.get(key)
            if status == "notFound":
                lost += 1
            else:
                store.ledger.end_read(key, began, status, value)
        connection.close()
        report.check(f"no stale value; {lost} of {KEYS} keys miss", not store.ledger.violations and lost < KEYS / 2,
                     "; ".join(store.ledger.violations[:5]))


report.run([
    ("a drive is away and returns, one shard", lambda: away_and_back(1)),
    ("a drive is away and returns, two shards", lambda: away_and_back(2)),
    ("more is changed than is remembered", too_much_for_the_list),
])
