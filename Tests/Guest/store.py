"""A store on two drives of the guest and its memkvd; which keys belong to which drive.

Which drive a key belongs to is found out by putting a block and looking which drive has grown: this knows nothing
of how keys are placed.
"""
import json
import pathlib
import random

from harness.drives import LINKS
from support import wire
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, setup
from support.ledger import Ledger

# The drives, one with blocks of 4096 bytes and one of 512.
FIRST, SECOND = "first", "second"


class Store:
    """Freshly formatted, and served."""

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

    def drive_of(self, connection, key, value):
        """Puts a new block and sees which drive has taken it; None where what was freed meanwhile hides that."""
        before = self.used_bytes()
        status = connection.put(key, value)
        if status != "ok":
            raise RuntimeError(f"a put says {status}")
        after = self.used_bytes()
        grown = [name for name in after if after[name] > before[name]]
        return grown[0] if len(grown) == 1 else None

    def keys_on(self, name, count, seed):
        """Keys with values of 64 KiB on one drive: (key, value) each."""
        generator, found = random.Random(seed), []
        connection = wire.Connection(self.port)
        while len(found) < count:
            key, value = generator.randbytes(32), generator.randbytes(64 << 10)
            if self.drive_of(connection, key, value) == name:
                found.append((key, value))
        connection.close()
        return found

    def ledgers(self, seed, count):
        """For each drive a ledger of at least `count` keys that belong to it and aren't there."""
        contents, generator = Contents(seed), random.Random(f"keys {seed}")
        found = {FIRST: Ledger(contents), SECOND: Ledger(contents), None: Ledger(contents)}
        connection = wire.Connection(self.port)
        while min(len(found[name].keys()) for name in (FIRST, SECOND)) < count:
            key = generator.randbytes(32)
            found[self.drive_of(connection, key, b"whose is it")].add_key(key)
        del found[None]
        for ledger in found.values():
            for key in ledger.keys():
                connection.delete(key)
        connection.close()
        return found
