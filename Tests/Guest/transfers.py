"""memkv and memkvd over two Soft-RoCE endpoints: files by RDMA, a link that is cut under them, what is missing said.

TCP goes over the loopback interface, so that a cut of the link costs RDMA alone.
"""
import hashlib
import json
import random
import re
import subprocess

from harness import roce
from support import report
from support.daemon import PATIENCE_SECONDS, Daemon, clean_environment, free_port

SERVER, CLIENT = roce.ENDPOINTS
FILE_BYTES = 16 << 20
KEY = "5a" * 32


class Transfers:
    """A memkvd whose RDMA is on one endpoint, and memkv on the other."""

    def __init__(self, stack, directory):
        self.stack, self.directory = stack, directory
        self.port = free_port()
        self.content = random.Random(1).randbytes(FILE_BYTES)
        self.file = directory / "content"
        self.file.write_bytes(self.content)

    def start(self):
        """memkvd takes clients by RDMA."""
        self.daemon = self.served(self.port, f"rdma: {{ device: {SERVER.device} }}")

    def served(self, port, more=""):
        """A memkvd with a store in memory that asks for the key."""
        path = self.directory / f"transfers-{port}.yaml"
        path.write_text(f"""network: {{ address: "127.0.0.1:{port}", auth_key: "{KEY}" }}
storage: {{ mode: memory, max_size: 256 MiB, shards: 1 }}
{more}
""")
        daemon = Daemon(self.stack, self.directory, port, "--config", path)
        daemon.start()
        return daemon

    def memkv(self, *words, transport, device=CLIENT.device, timeout=PATIENCE_SECONDS):
        environment = clean_environment(MEMKV_AUTH_KEY=KEY, MEMKV_RDMA_DEVICES=device, SWIFT_BACKTRACE="enable=no")
        done = subprocess.run(
            [report.binaries() / "memkv", *map(str, words), "--server", f"127.0.0.1:{self.port}",
             "--transport", transport, "--timeout", str(timeout)],
            capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    def transfers(self):
        """What memkvd says of requests by RDMA so far: reads and writes of its device."""
        text = self.daemon.admin("/v1/metrics")[1]
        return [int(float(re.search(rf"^memkv_rdma_{name}_latency_us_count(?:{{.*}})? (\S+)$", text, re.M)[1]))
                for name in ("read", "write")]

    def round_trip(self, transport):
        """A file in and out; returns what it had to say."""
        manifest, copy = self.directory / "manifest", self.directory / "copy"
        first = self.memkv("import", self.file, "-o", manifest, "--block-size", "1 MiB", transport=transport)
        second = self.memkv("export", manifest, "-o", copy, transport=transport)
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
                   for path in (self.file, copy)]
        copy.unlink(missing_ok=True)
        return first[0] == 0 and second[0] == 0 and digests[0] == digests[1], (first, second, digests)

    def by_rdma(self):
        """Every byte goes by RDMA."""
        self.start()
        before = self.transfers()
        well, said = self.round_trip("rdma")
        report.check(f"{FILE_BYTES >> 20} MiB by RDMA, in and out, are the same", well, f"{said} {self.daemon.log()}")
        grown = [now - was for now, was in zip(self.transfers(), before)]
        report.check("memkvd has read and written the client's memory", min(grown) > 0, grown)
        self.batches()
        code, out, errors = self.memkv("stat", hashlib.sha256(self.content[:1 << 20]).hexdigest(), transport="rdma")
        report.check("stat goes by RDMA", code == 0, f"{code} {out} {errors}")

    def batches(self):
        """Tests/RDMATests/BatchTests.swift, by the program that `swift test` would run."""
        done = subprocess.run(
            [report.binaries() / "memkvPackageTests.xctest", "--testing-library", "swift-testing", "--filter",
             "RDMATests.BatchTests"], capture_output=True, text=True,
            env=clean_environment(MEMKV_TEST_RDMA_STORE=f"127.0.0.1:{self.port} {KEY} {CLIENT.device}",
                                  SWIFT_BACKTRACE="enable=no"))
        said = done.stdout + done.stderr
        report.check("batches travel by RDMA, item by item", done.returncode == 0 and "Suite BatchTests passed" in said,
                     f"exit {done.returncode}\n{said}")

    def what_is_missing(self):
        """`rdma` alone says what is missing."""
        code, _, errors = self.memkv("exists", "a", transport="rdma", device="rxe9")
        report.check("a device that isn't there is refused with those that are",
                     code == 2 and "rxe9" in errors and CLIENT.device in errors, f"{code} {errors}")
        plain = self.served(other := free_port())
        mine, self.port = self.port, other
        try:
            code, _, errors = self.memkv("exists", "a", transport="rdma")
            report.check("a server without RDMA says so", code != 0 and "no RDMA" in errors, f"{code} {errors}")
            code, _, errors = self.memkv("exists", "a", transport="auto")
            report.check("with auto it serves by TCP", code == 1, f"{code} {errors}")
        finally:
            self.port = mine
            plain.kill()

    def link_cut(self):
        """TCP carries on, and RDMA comes back with the link."""
        roce.down(SERVER)
        try:
            well, said = self.round_trip("auto")
            report.check("with auto files go by TCP while the link is down", well, said)
            code, _, errors = self.memkv("exists", "a", transport="rdma", timeout=10)
            report.check("rdma alone fails meanwhile, and says why", code not in (0, 1) and errors, f"{code} {errors}")
        finally:
            roce.up(SERVER)
        before = self.transfers()
        well, said = self.round_trip("rdma")
        report.check("by RDMA again after the link's return, nothing restarted", well, f"{said} {self.daemon.log()}")
        status = json.loads(self.daemon.admin("/v1/status")[1])
        report.check("no queue pair is left", status["rdma"]["active_connections"] == 0, status["rdma"])
        report.check("by RDMA indeed", max(now - was for now, was in zip(self.transfers(), before)) > 0, self.transfers())
        self.daemon.kill()


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    transfers = Transfers(stack, directory)
    return [("memkv and memkvd by RDMA", transfers.by_rdma), ("what is missing", transfers.what_is_missing),
            ("the link is cut under memkv", transfers.link_cut)]
