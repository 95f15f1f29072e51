"""One memkvd with a store in memory on one Soft-RoCE endpoint and clients on the other: files, leases, clients that do
wrong, a link that fails, clients that are killed.

Used by softroce.py. All of it is done to one process, which must be as it was at the end.
"""
import hashlib

import leases
from harness import roce
from link import Link
from rdma_metrics import RDMAMetrics
from remote import CLIENT, SERVER, Remote, finished, start_tests
from support import report

FILE_MEBIBYTES = 16


class Served:
    def __init__(self, stack, directory):
        self.remote = Remote(stack, directory, "served", f"device: {SERVER.device}")
        self.metrics = RDMAMetrics(self.remote)
        self.link = Link(self.remote, self.metrics)

    def start(self):
        self.remote.daemon.start()
        self.remote.wait_for_rdma()
        self.metrics.look()

    def files(self):
        """In by RDMA, out by RDMA and by TCP."""
        remote = self.remote
        before = SERVER.sent_bytes(), CLIENT.sent_bytes(), remote.transferred()
        failed = remote.metrics().sum("memkv_rdma_errors_total")
        digest = remote.file("file", FILE_MEBIBYTES)
        remote.goes_in("file", "rdma")
        for transport in ("rdma", "tcp"):
            remote.comes_out("file", digest, transport)
        grown = SERVER.sent_bytes() - before[0], CLIENT.sent_bytes() - before[1]
        report.check("the values have crossed the link in both directions", min(grown) > FILE_MEBIBYTES << 20, grown)
        # The file has an end that is no whole block.
        moved = [now - was for now, was in zip(remote.transferred(), before[2])]
        report.check("each value was moved once", moved == [FILE_MEBIBYTES + 1] * 2, moved)
        first = hashlib.sha256((remote.directory / "file").read_bytes()[:1 << 20]).hexdigest()
        code, said = remote.memkv("rdma", "stat", first)
        report.check("stat goes by RDMA", code == 0, f"{code} {said}")
        code, said = remote.memkv("rdma", "exists", "a", device="rxe9")
        report.check("a client's device that isn't there is refused, and those that are named",
                     code == 2 and "rxe9" in said and CLIENT.device in said, f"{code} {said}")
        roce.wait("no queue pair is left", lambda: remote.status()["active_connections"] == 0)
        report.check("nothing went wrong", remote.metrics().sum("memkv_rdma_errors_total") == failed)

    def batches(self):
        """Tests/RDMATests/BatchTests.swift, by the program that `swift test` would run."""
        code, said = finished(
            start_tests("RDMATests.BatchTests", MEMKV_TEST_RDMA_STORE=f"{self.remote.server} {CLIENT.device}"))
        report.check("batches travel by RDMA, item by item", code == 0 and "Suite BatchTests passed" in said, said)


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    served = Served(stack, directory)
    return [("a memkvd in memory", served.start),
            ("clients that do right and wrong", served.metrics.strangers),
            ("files travel by RDMA", served.files),
            ("values through leases, and by TCP", lambda: leases.both_ways(served.remote)),
            ("the link is lost", served.link.lost),
            ("the address is lost", served.link.without_address),
            ("every RDMA metric has moved", served.metrics.complete),
            ("batches travel by RDMA", served.batches),
            ("transfers over a bad link", served.link.bad),
            ("clients with leases are killed", lambda: leases.killed(served.remote)),
            ("the end of that memkvd", served.remote.ends)]
