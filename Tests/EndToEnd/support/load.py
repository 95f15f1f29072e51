"""Four connections that do a bit of everything at once, and the reading back of every key."""
import random
import struct
import threading

from . import wire
from .content import Contents

CONNECTIONS = 4
IN_FLIGHT = 6


class Worker(threading.Thread):
    """One connection. Changes only its own keys, one change a key at a time; reads everybody's."""

    def __init__(self, ledger, keys, port, seed, stop, largest):
        super().__init__(daemon=True)
        self.ledger, self.keys, self.port, self.stop_event = ledger, keys, port, stop
        self.everybody = ledger.keys()
        self.generator = random.Random(seed)
        self.largest = largest
        self.changing = set()
        self.under_way = {}
        self.requests = 0
        self.statuses = {}
        self.error = None

    def run(self):
        try:
            connection = wire.Connection(self.port)
            try:
                self.work(connection)
            finally:
                connection.close()
        except wire.Lost:
            pass
        except Exception as error:  # told by `Load.join`
            self.error = error
        for entry in self.under_way.values():
            self.abandon(entry)

    def work(self, connection):
        depth = min(IN_FLIGHT, connection.in_flight)
        while not self.stop_event.is_set():
            while len(self.under_way) < depth:
                self.begin(connection)
            self.take(connection.receive())
        while self.under_way:
            self.take(connection.receive())

    def own_keys(self, count):
        free = [key for key in self.keys if key not in self.changing]
        chosen = self.generator.sample(free, min(count, len(free)))
        self.changing.update(chosen)
        return chosen

    # Every change is in the ledger, and in `under_way`, before the first byte of it is sent.
    def begin(self, connection):
        self.requests += 1
        dice = self.generator.random()
        if dice < 0.40:
            self.begin_puts(connection, 1, self.largest)
        elif dice < 0.50:
            self.begin_puts(connection, self.generator.randint(2, 6), min(1 << 20, self.largest))
        elif dice < 0.62:
            for key in self.own_keys(1):
                state = self.ledger.begin_delete(key)
                self.send(connection, ("change", [(key, state)]), wire.DELETE, key)
        elif dice < 0.92:
            key = self.generator.choice(self.everybody)
            self.send(connection, ("get", key, self.ledger.begin_read()), wire.GET, key)
        else:
            keys = self.generator.sample(self.everybody, min(8, len(self.everybody)))
            self.send(connection, ("exists", keys, self.ledger.begin_read()), wire.EXISTS, b"".join(keys))

    def begin_puts(self, connection, count, largest):
        items, changes = [], []
        for key in self.own_keys(count):
            state, value = self.ledger.begin_put(key, Contents.random_length(self.generator, largest))
            changes.append((key, state))
            items.append((key, value))
        if len(items) == 1:
            self.send(connection, ("change", changes), wire.PUT, items[0][0], items[0][1])
        elif items:
            self.send(connection, ("batch", changes), wire.BATCH_PUT, *wire.batch_put_parts(items))

    def send(self, connection, entry, operation, body, payload=b""):
        self.under_way[connection.last_id + 1] = entry
        connection.submit(operation, body, payload)

    def take(self, answer):
        kind, *entry = self.under_way.pop(answer.request_id)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if kind == "get":
            key, began = entry
            self.ledger.end_read(key, began, answer.status, answer.payload)
        elif kind == "exists":
            keys, began = entry
            whole = answer.status == "ok"
            statuses = wire.item_statuses(answer.body, len(keys)) if whole else [answer.status] * len(keys)
            for key, status in zip(keys, statuses):
                self.ledger.end_exists(key, began, status)
        else:
            changes = entry[0]
            whole = kind == "batch" and answer.status == "ok"
            statuses = wire.item_statuses(answer.body, len(changes)) if whole else [answer.status] * len(changes)
            for (key, state), status in zip(changes, statuses):
                self.ledger.end_change(key, state, status)
                self.changing.discard(key)

    def abandon(self, entry):
        if entry[0] in ("change", "batch"):
            for key, state in entry[1]:
                self.ledger.end_change(key, state, None)


class Load:
    """The workers of one round."""

    def __init__(self, ledger, port, seed, largest, connections=CONNECTIONS):
        self.stop_event = threading.Event()
        keys = ledger.keys()
        self.workers = [
            Worker(ledger, keys[number::connections], port, f"{seed}/{number}", self.stop_event, largest)
            for number in range(connections)]
        for worker in self.workers:
            worker.start()

    def join(self):
        """Waits for the end of all connections, lost or stopped; returns the number of requests."""
        for worker in self.workers:
            worker.join(wire.PATIENCE_SECONDS)
            if worker.is_alive():
                raise RuntimeError("a request had no answer within its time")
            if worker.error:
                raise worker.error
        return sum(worker.requests for worker in self.workers)

    def stop(self):
        """Lets every request under way be answered; returns the number of requests."""
        self.stop_event.set()
        return self.join()

    def statuses(self):
        total = {}
        for worker in self.workers:
            for status, count in worker.statuses.items():
                total[status] = total.get(status, 0) + count
        return total


def make_keys(ledger, seed, count):
    generator = random.Random(f"keys {seed}")
    for _ in range(count):
        ledger.add_key(generator.randbytes(32))


def read_back(ledger, port):
    """Reads every key of the ledger, by itself, in a batch and by Exists, which must agree; counts the verdicts."""
    connection = wire.Connection(port)
    verdicts = {"kept": 0, "decided": 0, "wrong": 0}
    keys = ledger.keys()
    for first in range(0, len(keys), 16):
        some = keys[first:first + 16]
        exist = connection.exists(some)
        for key, exists in zip(some, exist):
            status, value = connection.get(key)
            if exists != status:
                ledger.complain(key, f"exists says {exists}, get says {status}")
            verdicts[ledger.settle(key, status, value)] += 1
            if status == "ok":
                stat = connection.call(wire.STAT, key)
                if stat.status != "ok" or struct.unpack_from("<IIQ", stat.body) != (
                        len(value), 0, wire.xxh3(value)):
                    ledger.complain(key, f"stat says {stat.status} {stat.body.hex()}")
        batch = connection.call(wire.BATCH_GET, b"".join(some))
        began = ledger.begin_read()
        for key, (status, value) in zip(some, wire.batch_get_items(batch.body, batch.payload, len(some))):
            if status != "tooLarge":
                ledger.end_read(key, began, status, value)
    connection.close()
    return verdicts
