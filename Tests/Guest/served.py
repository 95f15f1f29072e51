"""memkvd on one Soft-RoCE endpoint and memkv on the other: a file goes in and comes out by RDMA.

Used by softroce.py. The TCP part of the conversation is on the loopback interface; values cross the link.
"""
import json
import subprocess

from harness import roce
from support import report
from support.content import random_file, sha256
from support.daemon import Daemon, clean_environment, free_port

SERVER, CLIENT = roce.ENDPOINTS
SEED = 20261124
FILE_MEBIBYTES = 16
# Without any progress: what got stuck is asked for anew after that.
PATIENCE_SECONDS = 60


class Served:
    """A store in memory, served over TCP and by `device`."""

    def __init__(self, stack, directory, device):
        self.port = free_port()
        path = directory / f"{device}.yaml"
        path.write_text(f"network: {{ address: \"127.0.0.1:{self.port}\" }}\n"
                        f"storage: {{ mode: memory, max_size: 256 MiB }}\n"
                        f"rdma: {{ device: {device} }}\n")
        self.daemon = Daemon(stack, directory, self.port, "--config", path)
        self.daemon.start()

    def told(self):
        """What health and status say of RDMA."""
        return (json.loads(self.daemon.admin("/v1/health")[1]),
                json.loads(self.daemon.admin("/v1/status")[1])["rdma"])

    def metric(self, name):
        """A metric's value."""
        lines = self.daemon.admin("/v1/metrics")[1].splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))

    def memkv(self, transport, *words, timeout=PATIENCE_SECONDS):
        """Exit code and what it said."""
        done = subprocess.run(
            [report.binaries() / "memkv", words[0], "--transport", transport, "--server",
             f"127.0.0.1:{self.port}", "--timeout", str(timeout), *map(str, words[1:])], capture_output=True,
            text=True, env=clean_environment(SWIFT_BACKTRACE="enable=no", MEMKV_RDMA_DEVICES=CLIENT.device))
        return done.returncode, done.stdout + done.stderr


def files(stack, directory):
    """In by RDMA, out by RDMA and by TCP."""
    served = Served(stack, directory, SERVER.device)
    roce.wait("RDMA is active", lambda: served.told()[0]["rdma_active"])
    health, rdma = served.told()
    report.check("health says healthy, and that RDMA is active",
                 health["status"] == "healthy" and rdma["problems"] == [], (health, rdma))
    before = SERVER.sent_bytes(), CLIENT.sent_bytes()
    path, manifest = directory / "file", directory / "file.manifest"
    digest = random_file(path, f"{SEED}", FILE_MEBIBYTES)
    code, said = served.memkv("rdma", "import", "--block-size", "1 MiB", path, "-o", manifest)
    report.check(f"{FILE_MEBIBYTES} MiB are imported by RDMA", code == 0, said)
    for transport in ("rdma", "tcp"):
        copy = directory / f"{transport}.copy"
        code, said = served.memkv(transport, "export", manifest, "-o", copy)
        report.check(f"they are exported by {transport}, with the same digest",
                     code == 0 and sha256(copy) == digest, said)
    grown = SERVER.sent_bytes() - before[0], CLIENT.sent_bytes() - before[1]
    report.check("the values have crossed the link in both directions", min(grown) > FILE_MEBIBYTES << 20, grown)
    counts = {name: served.metric(name) for name in (
        "memkv_rdma_active", "memkv_rdma_errors_total", "memkv_rdma_read_latency_us_count",
        "memkv_rdma_write_latency_us_count")}
    report.check("the RDMA metrics say so",
                 counts["memkv_rdma_active"] == 1 and counts["memkv_rdma_errors_total"] == 0
                 and min(counts["memkv_rdma_read_latency_us_count"],
                         counts["memkv_rdma_write_latency_us_count"]) >= FILE_MEBIBYTES, counts)
    roce.wait("no queue pair is left", lambda: served.told()[1]["active_connections"] == 0)
    served.daemon.terminate()


def without_device(stack, directory):
    """A device that isn't there costs RDMA and nothing else."""
    served = Served(stack, directory, "rxe9")
    health, rdma = served.told()
    report.check("health says degraded, and status why",
                 health["status"] == "degraded" and not health["rdma_active"]
                 and "no RDMA device rxe9; there are: rxe0, rxe1" in rdma["problems"][0], (health, rdma))
    path, manifest = directory / "small", directory / "small.manifest"
    random_file(path, f"{SEED} small", 1)
    code, said = served.memkv("auto", "import", path, "-o", manifest)
    report.check("clients go over TCP", code == 0, said)
    code, said = served.memkv("rdma", "export", manifest, "-o", directory / "never", timeout=5)
    report.check("those that insist on RDMA are told why not", code != 0 and "rxe9" in said, (code, said))
    served.daemon.terminate()
