"""Values that memkv moves by itself, by RDMA, into and out of memory that memkvd leases; clients killed in the middle.

Used by served.py. Run with `Tests/Guest/run --soft-roce -- python3 Tests/Guest/leases.py KILLS` it kills so many.
"""
import pathlib
import random
import sys
import time

if __name__ == "__main__":
    sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / "EndToEnd")]

from harness import roce
from remote import CLIENT, SERVER, Remote
from support import report
from support.drives import workshop

SEED = 20261126
MEBIBYTES = 8
KILLS, AT_ONCE = 20, 5


def value(remote):
    """The file that is put again and again."""
    path = remote.directory / "leased"
    if not path.exists():
        remote.file("leased", MEBIBYTES)
    return path


def held(remote):
    """What clients hold: slabs, leases, queue pairs."""
    status = remote.status()
    return (remote.metrics().sum("memkv_slabs_allocated"), status["active_leases"], status["active_connections"])


def both_ways(remote):
    """Leases and TCP on the same keys."""
    path, before = value(remote), held(remote)
    sent = CLIENT.sent_bytes(), SERVER.sent_bytes()
    looked = remote.metrics().sum("memkv_lookup_total")
    for putting, getting in ((["--lease"], []), ([], ["--lease"])):
        key, found = f"by{putting}", remote.directory / "found"
        code, said = remote.memkv("tcp", "put", key, path, *putting)
        report.check(f"put {putting}", code == 0, f"{code} {said}")
        code, said = remote.memkv("tcp", "get", key, "-o", found, *getting)
        report.check(f"is got {getting}, byte for byte",
                     code == 0 and found.read_bytes() == path.read_bytes(), f"{code} {said}")
        found.unlink(missing_ok=True)
    grown = CLIENT.sent_bytes() - sent[0], SERVER.sent_bytes() - sent[1]
    report.check("the leased values have crossed the link", min(grown) > MEBIBYTES << 20, grown)
    code, said = remote.memkv("tcp", "get", "nothing", "--lease", "-o", remote.directory / "never")
    report.check("a key that isn't there is not found", code == 1, f"{code} {said}")
    looked = remote.metrics().sum("memkv_lookup_total") - looked
    report.check("two Lookups are counted", looked == 2, looked)
    roce.wait("nothing is held any more", lambda: held(remote) == before)


def killed(remote, kills=KILLS):
    """SIGKILL in mid-write, again and again: nothing of theirs stays, and nothing half is served."""
    path, before = value(remote), held(remote)
    choice = random.Random(SEED)
    keys, seen = [], 0
    while len(keys) < kills:
        names = [f"killed-{len(keys) + number}" for number in range(min(AT_ONCE, kills - len(keys)))]
        keys += names
        writers = [remote.start_memkv("tcp", "put", "--lease", name, path) for name in names]
        try:
            roce.wait("a lease is granted",
                      lambda: held(remote)[1] > 0 or all(each.poll() is not None for each in writers))
            time.sleep(choice.random() * 0.1)
            seen += held(remote)[1]
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate()
    roce.wait("slabs, leases and queue pairs are as at the start", lambda: held(remote) == before)
    report.check(f"slabs, leases and queue pairs are back after {kills} clients were killed",
                 held(remote) == before, (held(remote), before))
    report.check("some of them had a lease at that moment", seen > 0, seen)
    whole = 0
    for key in keys[-2:]:
        found = remote.directory / "found"
        code, said = remote.memkv("tcp", "get", key, "-o", found)
        report.check("a key is absent or whole", code == 1 or
                     code == 0 and found.read_bytes() == path.read_bytes(), f"{code} {said}")
        whole += code == 0
        found.unlink(missing_ok=True)
    report.note(f"{seen} leases seen when clients were killed; of the last two keys {whole} are there")
    code, said = remote.memkv("tcp", "put", "after", path, "--lease")
    report.check("leases work afterwards", code == 0, f"{code} {said} {remote.log()}")


def alone(stack, directory, kills):
    """(name, function) of each part, on a memkvd of its own."""
    remote = Remote(stack, directory, "served", f"device: {SERVER.device}")

    def start():
        remote.daemon.start()
        remote.wait_for_rdma()

    return [("a memkvd", start), (f"{kills} clients with leases are killed", lambda: killed(remote, kills)),
            ("the end", remote.ends)]


if __name__ == "__main__":
    with workshop("guest") as (the_stack, the_directory):
        report.run(alone(the_stack, the_directory, int(sys.argv[1]) if len(sys.argv) > 1 else KILLS))
