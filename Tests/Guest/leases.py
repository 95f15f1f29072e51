"""Values that memkv moves by itself, by RDMA, into and out of memory that memkvd leases; clients killed in the middle.

Used by softroce.py. Run with `Tests/Guest/run --soft-roce -- python3 Tests/Guest/leases.py KILLS` it kills so many.
"""
import pathlib
import random
import subprocess
import sys
import time

if __name__ == "__main__":
    sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / "EndToEnd")]

from harness import roce
from served import CLIENT, SERVER, Served
from support import report
from support.content import random_file
from support.daemon import clean_environment
from support.drives import workshop

SEED = 20261126
MEBIBYTES = 8
KILLS, AT_ONCE = 20, 5


class Leases:
    def __init__(self, stack, directory, kills=KILLS):
        self.stack, self.directory, self.kills = stack, directory, kills
        self.value = directory / "leased"
        random_file(self.value, f"{SEED}", MEBIBYTES)

    def start(self):
        self.served = Served(self.stack, self.directory, SERVER.device)
        roce.wait("RDMA is active", lambda: self.served.told()[0]["rdma_active"])
        self.before = self.held()

    def held(self):
        """What clients hold: slabs, leases, queue pairs."""
        rdma = self.served.told()[1]
        return self.served.metric("memkv_slabs_allocated"), rdma["active_leases"], rdma["active_connections"]

    def both_ways(self):
        """Leases and TCP on the same keys."""
        self.start()
        sent = CLIENT.sent_bytes(), SERVER.sent_bytes()
        for putting, getting in ((["--lease"], []), ([], ["--lease"])):
            key, found = f"by{putting}", self.directory / "found"
            code, said = self.served.memkv("tcp", "put", key, self.value, *putting)
            report.check(f"put {putting}", code == 0, f"{code} {said}")
            code, said = self.served.memkv("tcp", "get", key, "-o", found, *getting)
            report.check(f"is got {getting}, byte for byte",
                         code == 0 and found.read_bytes() == self.value.read_bytes(), f"{code} {said}")
            found.unlink(missing_ok=True)
        grown = CLIENT.sent_bytes() - sent[0], SERVER.sent_bytes() - sent[1]
        report.check("the leased values have crossed the link", min(grown) > MEBIBYTES << 20, grown)
        code, said = self.served.memkv("tcp", "get", "nothing", "--lease", "-o", self.directory / "never")
        report.check("a key that isn't there is not found", code == 1, f"{code} {said}")
        roce.wait("nothing is held any more", lambda: self.held() == self.before)

    def killed(self):
        """SIGKILL in mid-write, again and again: nothing of theirs stays, and nothing half is served."""
        choice = random.Random(SEED)
        keys, held = [], 0
        while len(keys) < self.kills:
            names = [f"killed-{len(keys) + number}" for number in range(min(AT_ONCE, self.kills - len(keys)))]
            keys += names
            writers = [self.putting(name) for name in names]
            try:
                roce.wait("a lease is granted", lambda: self.held()[1] > 0 or all(w.poll() is not None for w in writers))
                time.sleep(choice.random() * 0.1)
                held += self.held()[1]
            finally:
                for writer in writers:
                    writer.kill()
                    writer.wait()
        roce.wait("slabs, leases and queue pairs are as at the start", lambda: self.held() == self.before)
        report.check(f"slabs, leases and queue pairs are back after {self.kills} clients were killed",
                     self.held() == self.before, (self.held(), self.before))
        report.check("some of them had a lease at that moment", held > 0, held)
        whole = 0
        for key in keys[-2:]:
            found = self.directory / "found"
            code, said = self.served.memkv("tcp", "get", key, "-o", found)
            report.check("a key is absent or whole", code == 1 or
                         code == 0 and found.read_bytes() == self.value.read_bytes(), f"{code} {said}")
            whole += code == 0
            found.unlink(missing_ok=True)
        report.note(f"{held} leases seen when clients were killed; of the last two keys {whole} are there")
        code, said = self.served.memkv("tcp", "put", "after", self.value, "--lease")
        report.check("leases work afterwards", code == 0, f"{code} {said} {self.served.daemon.log()[-2000:]}")
        report.check("SIGTERM ends memkvd with 0", self.served.daemon.terminate() == 0,
                     self.served.daemon.log()[-2000:])

    def putting(self, key):
        return subprocess.Popen(
            [report.binaries() / "memkv", "put", "--lease", "--server", f"127.0.0.1:{self.served.port}", "--transport",
             "tcp", key, self.value], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=clean_environment(SWIFT_BACKTRACE="enable=no", MEMKV_RDMA_DEVICES=CLIENT.device))


def parts(stack, directory, kills=KILLS):
    """(name, function) of each part, in their order."""
    leases = Leases(stack, directory, kills)
    return [("values through leases, and by TCP", leases.both_ways),
            ("clients with leases are killed", leases.killed)]


if __name__ == "__main__":
    with workshop("guest") as (the_stack, the_directory):
        report.run(parts(the_stack, the_directory, int(sys.argv[1]) if len(sys.argv) > 1 else KILLS))
