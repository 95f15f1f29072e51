"""A memkvd with RDMA in the guest, and memkv as its clients: what the suites on Soft-RoCE share.

TCP goes over the loopback interface and values by RDMA over the link, so that a cut of the link costs RDMA alone.
"""
import json
import subprocess

from harness import roce
from support import report
from support.content import random_file, sha256
from support.daemon import Daemon, clean_environment, free_port, memkv
from support.metrics import Exposition

SERVER, CLIENT = roce.ENDPOINTS
# Without any progress: what got stuck is asked for anew after that.
PATIENCE_SECONDS = 60
IN_MEMORY = "{ mode: memory, max_size: 256 MiB, shards: 1 }"


class Remote:
    """One memkvd, which may be started many times, and what is asked of it."""

    def __init__(self, stack, directory, name, rdma, storage=IN_MEMORY, key=None):
        """`rdma` is that section of the configuration; None for none."""
        self.directory, self.key = directory, key
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        self.path = directory / f"{name}.yaml"
        auth = f', auth_key: "{key}"' if key else ""
        self.path.write_text(f"network: {{ address: \"{self.server}\"{auth} }}\n"
                             f"memory: {{ max_size: 256 MiB }}\nstorage: {storage}\n"
                             + (f"rdma: {{ {rdma} }}\n" if rdma else ""))
        self.daemon = Daemon(stack, directory, self.port, "--config", self.path)

    # What it says of itself.

    def health(self):
        return self.daemon.health()

    def status(self):
        """The part of the status about RDMA."""
        return json.loads(self.daemon.admin("/v1/status")[1])["rdma"]

    def metrics(self):
        return Exposition(self.daemon.admin("/v1/metrics")[1])

    def is_active(self):
        return self.health()["rdma_active"]

    def wait_for_rdma(self):
        roce.wait("RDMA is active", self.is_active)

    def wait_for_no_rdma(self):
        roce.wait("RDMA isn't active", lambda: not self.is_active())

    def transferred(self):
        """How many values it has fetched from its clients' memory, and has brought there."""
        now = self.metrics()
        return [int(now.sum(f"memkv_rdma_{way}_latency_us")) for way in ("read", "write")]

    def log(self):
        return self.daemon.log()[-3000:]

    def ends(self):
        code = self.daemon.terminate()
        report.check("SIGTERM ends memkvd with 0", code == 0, f"{code} {self.log()}")

    # Its clients.

    def start_memkv(self, transport, *words, device=CLIENT.device, timeout=PATIENCE_SECONDS):
        """A client that goes on while this returns; its output is one text."""
        environment = clean_environment(SWIFT_BACKTRACE="enable=no", MEMKV_RDMA_DEVICES=device)
        if self.key:
            environment["MEMKV_AUTH_KEY"] = self.key
        return subprocess.Popen(
            [report.binaries() / "memkv", words[0], "--transport", transport, "--server", self.server, "--timeout",
             str(timeout), *map(str, words[1:])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=environment)

    def memkv(self, transport, *words, **more):
        """Exit code of a client, and what it said."""
        return finished(self.start_memkv(transport, *words, **more))

    def admin(self, *words):
        """Exit code of `memkv admin`, and what it said."""
        code, said, errors = memkv("admin", *words, "--server", self.server)
        return code, said + errors

    # Files.

    def manifest(self, name):
        return self.directory / f"{name}.manifest"

    def start_import(self, name, transport, **more):
        """File `name` of the directory goes in."""
        return self.start_memkv(transport, "import", "--block-size", "1 MiB", self.directory / name, "-o",
                                self.manifest(name), **more)

    def goes_in(self, name, transport, **more):
        code, said = finished(self.start_import(name, transport, **more))
        report.check(f"file {name} goes in by {transport}", code == 0, f"exit {code}: {said} {self.log()}")

    def comes_out(self, name, digest, transport, **more):
        copy = self.directory / f"{name}.{transport}.copy"
        code, said = self.memkv(transport, "export", self.manifest(name), "-o", copy, **more)
        report.check(f"file {name} comes out by {transport} with its SHA-256",
                     code == 0 and sha256(copy) == digest, f"exit {code}: {said} {self.log()}")
        copy.unlink(missing_ok=True)

    def file(self, name, mebibytes):
        """Makes file `name`; returns its SHA-256."""
        return random_file(self.directory / name, name, mebibytes)


def start_tests(name, **environment):
    """Suites of Tests/RDMATests, by the program that `swift test` would run; its output is one text."""
    return subprocess.Popen(
        [report.binaries() / "memkvPackageTests.xctest", "--testing-library", "swift-testing", "--filter", name],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=clean_environment(SWIFT_BACKTRACE="enable=no", **environment))


def finished(client):
    """Exit code of a client that was started, and what it said."""
    said, _ = client.communicate()
    return client.returncode, said
