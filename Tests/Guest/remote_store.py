"""memkvd on two NVMe drives behind RDMA: a large file in and out, kill -9 in the middle of another, clients by TCP and
by RDMA on the same keys.

Used by softroce.py, on the drives that test.py gives it. TCP goes over the loopback interface, values by RDMA over
the link.
"""
import json
import subprocess
import time

from harness import roce
from harness.drives import LINKS
from support import report
from support.content import random_file, sha256
from support.daemon import Daemon, clean_environment, free_port, setup

SERVER, CLIENT = roce.ENDPOINTS
DRIVES = ["remote4096", "remote512"]
SEED = 20261125
LARGE_MEBIBYTES, SMALL_MEBIBYTES = 256, 32
KEY = "7b" * 32
# Without any progress: what got stuck is asked for anew after that.
PATIENCE_SECONDS = 60


class RemoteStore:
    def __init__(self, directory):
        self.directory = directory

    def start(self, stack):
        media = [LINKS / name for name in DRIVES]
        setup(*media)
        self.port = free_port()
        path = self.directory / "remote.yaml"
        listed = "\n".join(f'    - media: "{drive}"' for drive in media)
        path.write_text(f'network: {{ address: "127.0.0.1:{self.port}", auth_key: "{KEY}" }}\n'
                        f"memory: {{ max_size: 256 MiB }}\n"
                        f"storage:\n  mode: direct\n  eviction: {{ enabled: false }}\n  drives:\n{listed}\n"
                        f"rdma: {{ device: {SERVER.device} }}\n")
        self.daemon = Daemon(stack, self.directory, self.port, "--config", path)
        self.daemon.start()

    def command(self, transport, *words):
        return [report.binaries() / "memkv", words[0], "--transport", transport, "--server", f"127.0.0.1:{self.port}",
                "--timeout", str(PATIENCE_SECONDS), *map(str, words[1:])]

    def environment(self):
        return clean_environment(SWIFT_BACKTRACE="enable=no", MEMKV_RDMA_DEVICES=CLIENT.device, MEMKV_AUTH_KEY=KEY)

    def memkv(self, transport, *words):
        """Exit code and what it said."""
        done = subprocess.run(self.command(transport, *words), capture_output=True, text=True, env=self.environment())
        return done.returncode, done.stdout + done.stderr

    def comes_out(self, name, digest, transport):
        copy = self.directory / "copy"
        code, said = self.memkv(transport, "export", self.directory / f"{name}.manifest", "-o", copy)
        report.check(f"file {name} comes out by {transport} with its SHA-256", code == 0 and sha256(copy) == digest,
                     f"exit {code}, {said} {self.daemon.log()[-2000:]}")
        copy.unlink(missing_ok=True)

    def used_bytes(self):
        return json.loads(self.daemon.admin("/v1/status")[1])["storage"]["used_bytes_total"]

    def survives(self, stack):
        """Imports, a kill -9 in the middle of the second one, the next memkvd, exports."""
        self.start(stack)
        digests = {}
        for name, size in (("large", LARGE_MEBIBYTES), ("small", SMALL_MEBIBYTES)):
            digests[name] = random_file(self.directory / name, f"{SEED} {name}", size)
        code, said = self.memkv("rdma", "import", "--block-size", "1 MiB", self.directory / "large", "-o",
                                self.directory / "large.manifest")
        report.check(f"{LARGE_MEBIBYTES} MiB are imported by RDMA", code == 0, said)
        before = self.used_bytes()
        importing = subprocess.Popen(
            self.command("auto", "import", "--block-size", "1 MiB", self.directory / "small", "-o",
                         self.directory / "small.manifest"),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment())
        while importing.poll() is None and self.used_bytes() < before + (SMALL_MEBIBYTES << 20) // 8:
            time.sleep(0.2)
        self.daemon.kill()
        report.check("memkvd was killed in the middle of an import", importing.poll() is None, importing.poll())
        self.daemon.start()
        _, errors = importing.communicate()
        report.check("the import goes on with the memkvd that follows", importing.returncode == 0,
                     f"exit {importing.returncode}, {errors}")
        self.comes_out("large", digests["large"], "rdma")
        self.comes_out("small", digests["small"], "rdma")
        self.comes_out("small", digests["small"], "tcp")

    def mixed(self):
        """What one way puts the other gets, both at once."""
        for number, (first, second) in enumerate((("rdma", "tcp"), ("tcp", "rdma"))):
            values = [self.directory / f"value-{number}-{part}" for part in range(2)]
            for part, path in enumerate(values):
                random_file(path, f"{SEED} mixed {number} {part}", 1)
            putting = [subprocess.Popen(self.command(way, "put", f"mixed-{part}", path), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, env=self.environment())
                       for part, (way, path) in enumerate(zip((first, second), values))]
            ended = [(each.communicate()[1], each.returncode) for each in putting]
            report.check(f"a put by {first} beside one by {second}", all(code == 0 for _, code in ended), ended)
            for part, way in enumerate((second, first)):
                found = self.directory / "found"
                code, said = self.memkv(way, "get", f"mixed-{part}", "-o", found)
                report.check(f"what was put by {(first, second)[part]} is got by {way}",
                             code == 0 and found.read_bytes() == values[part].read_bytes(), f"{code} {said}")
                found.unlink(missing_ok=True)
        report.check("SIGTERM ends memkvd with 0", self.daemon.terminate() == 0, self.daemon.log()[-2000:])


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    store = RemoteStore(directory)
    return [("NVMe drives behind RDMA, and kill -9", lambda: store.survives(stack)),
            ("clients by RDMA and by TCP on the same keys", store.mixed)]
