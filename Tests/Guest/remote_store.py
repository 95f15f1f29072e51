"""memkvd on two NVMe drives behind RDMA: a large file in and out, kill -9 in the middle of another, clients by TCP and
by RDMA on the same keys.

Used by softroce.py, on the drives that test.py gives it.
"""
import json
import time

from harness.drives import LINKS
from remote import SERVER, Remote, finished
from support import report
from support.daemon import setup

DRIVES = ["remote4096", "remote512"]
LARGE_MEBIBYTES, SMALL_MEBIBYTES = 256, 64
KEY = "7b" * 32


class RemoteStore:
    def __init__(self, directory):
        self.directory = directory

    def start(self, stack):
        media = [LINKS / name for name in DRIVES]
        setup(*media)
        listed = ", ".join(f'{{ media: "{drive}" }}' for drive in media)
        self.remote = Remote(stack, self.directory, "remote", f"device: {SERVER.device}",
                             f"{{ mode: direct, eviction: {{ enabled: false }}, drives: [ {listed} ] }}", KEY)
        self.remote.daemon.start()

    def used_bytes(self):
        return json.loads(self.remote.daemon.admin("/v1/status")[1])["storage"]["used_bytes_total"]

    def survives(self, stack):
        """Imports, a kill -9 in the middle of the second one, the next memkvd, exports."""
        self.start(stack)
        remote = self.remote
        digests = {name: remote.file(name, size) for name, size in (
            ("large", LARGE_MEBIBYTES), ("small", SMALL_MEBIBYTES))}
        remote.goes_in("large", "rdma")
        before = self.used_bytes()
        importing = remote.start_import("small", "auto")
        while importing.poll() is None and self.used_bytes() < before + (SMALL_MEBIBYTES << 20) // 8:
            time.sleep(0.1)
        remote.daemon.kill()
        report.check("memkvd was killed in the middle of an import", importing.poll() is None, importing.poll())
        remote.daemon.start()
        code, said = finished(importing)
        report.check("the import goes on with the memkvd that follows", code == 0, f"exit {code}, {said}")
        remote.comes_out("large", digests["large"], "rdma")
        remote.comes_out("small", digests["small"], "rdma")
        remote.comes_out("small", digests["small"], "tcp")

    def mixed(self):
        """What one way puts the other gets, both at once; then the other way round on the same keys."""
        remote = self.remote
        for number, ways in enumerate((("rdma", "tcp"), ("tcp", "rdma"))):
            values = [self.directory / f"value-{number}-{part}" for part in range(2)]
            for path in values:
                remote.file(path.name, 1)
            ended = [finished(each) for each in [remote.start_memkv(way, "put", f"mixed-{part}", path)
                                                 for part, (way, path) in enumerate(zip(ways, values))]]
            report.check(f"a put by {ways[0]} beside one by {ways[1]}", all(code == 0 for code, _ in ended), ended)
            copies = [self.directory / f"found-{part}" for part in range(2)]
            ended = [finished(each) for each in [
                remote.start_memkv(way, "get", f"mixed-{part}", "-o", copy)
                for part, (way, copy) in enumerate(zip(reversed(ways), copies))]]
            for way, other, path, copy, (code, said) in zip(ways, reversed(ways), values, copies, ended):
                report.check(f"what was put by {way} is got by {other}",
                             code == 0 and copy.read_bytes() == path.read_bytes(), f"{code} {said}")
                copy.unlink(missing_ok=True)
        remote.ends()


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    store = RemoteStore(directory)
    return [("NVMe drives behind RDMA, and kill -9", lambda: store.survives(stack)),
            ("clients by RDMA and by TCP on the same keys", store.mixed)]
