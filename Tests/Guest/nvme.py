"""memkvd on NVMe drives by the kernel's NVMe driver: contract, kill and restart, unplugging, bad and slow media.

Run inside the guest by inside.py, on the drives that test.py gives it.
"""
import collections
import errno
import mmap
import os
import pathlib
import subprocess
import time

from harness.drives import LINKS, Drives
from store import FIRST, SECOND, Store
from support import daemon, report, wire
from support.content import random_file, sha256
from support.daemon import clean_environment, memkv
from support.load import Load, read_back

SEED = 20261123
PATIENCE_SECONDS = 180
FILE_MEBIBYTES = 64
LARGEST_BYTES = 256 << 10
KEYS_OF_A_DRIVE = 24
# A block of 64 KiB takes sixteen deadlines, so that a guest that stands still for seconds still sees them pass; and
# the requests until they do take less than the 30 s after which the kernel's driver gives up.
SLOW_BYTES_PER_SECOND = 8 << 10
DEADLINE_MICROSECONDS = 500_000
# Drives that the contract may write all over, and the size of their blocks.
CONTRACT_DRIVES = {"bare512": 512, "bare4096": 4096}

daemon.PATIENCE_SECONDS = PATIENCE_SECONDS
drives = Drives()


def wait(what, holds):
    """Waits for a state, without taking the processor from those that bring it about."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {PATIENCE_SECONDS} seconds in vain: {what}")
        time.sleep(0.3)


def contract():
    """What every BlockDevice promises, Tests/Contracts, by the program that `swift test` would run."""
    named = " ".join(f"{LINKS / name}={block}" for name, block in CONTRACT_DRIVES.items())
    done = subprocess.run(
        [report.binaries() / "memkvPackageTests.xctest", "--testing-library", "swift-testing", "--filter",
         "DeviceTests.blockDevicesKeepTheContract"], capture_output=True, text=True,
        env=clean_environment(MEMKV_TEST_DRIVES=named, SWIFT_BACKTRACE="enable=no"))
    said = done.stdout + done.stderr
    report.check("NVMe drives of 512 and 4096 byte blocks keep the drive contract",
                 done.returncode == 0 and "with 2 test cases passed" in said, f"exit {done.returncode}\n{said}")


def files(store):
    """A file goes in; kill -9 in the middle of another; both come out."""
    paths = [store.directory / name for name in ("one", "two")]
    digests = [random_file(path, f"{SEED} {path.name}", FILE_MEBIBYTES) for path in paths]
    manifests = [path.with_suffix(".manifest") for path in paths]
    # So many blocks that each drive gets some.
    options = ["--server", store.server, "--block-size", "512 KiB"]
    code, _, errors = memkv("import", *options, paths[0], "-o", manifests[0])
    report.check(f"{FILE_MEBIBYTES} MiB are imported", code == 0, errors)
    taken = store.used_bytes()
    report.check("both drives took a part", min(taken.values()) > 0, taken)
    importing = subprocess.Popen(
        [report.binaries() / "memkv", "import", *options, paths[1], "-o", manifests[1]],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean_environment())
    wait("an import is under way", lambda: importing.poll() is not None
         or sum(store.used_bytes().values()) > sum(taken.values()) + (FILE_MEBIBYTES << 20) // 8)
    store.daemon.kill()
    report.check("memkvd was killed in the middle of an import", importing.poll() is None, importing.poll())
    store.daemon.start()
    _, errors = importing.communicate(timeout=PATIENCE_SECONDS)
    report.check("the import goes on with the memkvd that follows", importing.returncode == 0,
                 f"exit {importing.returncode}, {errors}")
    for path, manifest, digest in zip(paths, manifests, digests):
        copy = store.directory / "copy"
        code, _, errors = memkv("export", "--server", store.server, manifest, "-o", copy)
        report.check(f"file {path.name} comes out with its SHA-256", code == 0 and sha256(copy) == digest,
                     f"exit {code}, {errors}")
        copy.unlink(missing_ok=True)


def unplug(store):
    """One drive of two is pulled out under load, and comes back."""
    books = store.ledgers(SEED, KEYS_OF_A_DRIVE)
    gone, other = books[FIRST], books[SECOND]
    loads = [Load(book, store.port, f"{SEED} {name}", LARGEST_BYTES, connections=2) for name, book in books.items()]
    wait("both drives are busy", lambda: min(gone.acknowledged, other.acknowledged) > 20)
    gone.misses_allowed = True
    drives.unplug(FIRST)
    wait("memkvd has noticed", lambda: store.daemon.health()["drives_offline"] == 1)
    before = other.acknowledged
    wait("the other drive serves on", lambda: other.acknowledged > before + 20)
    for load in loads:
        load.stop()
    health = store.daemon.health()
    report.check("health says degraded, with one drive of two",
                 (health["status"], health["drives_online"], health["drives_offline"]) == ("degraded", 1, 1), health)
    lines = [line for line in store.daemon.log().splitlines() if 'msg="drive offline"' in line]
    report.check("the log says which drive is offline", len(lines) == 1 and f"/{FIRST}" in lines[0],
                 store.daemon.log())
    statuses = loads[1].statuses()
    report.check("the other drive's keys never noticed",
                 not other.violations and set(statuses) <= {"ok", "notFound"}, f"{statuses}, {other.violations[:5]}")
    statuses = loads[0].statuses()
    report.check("the gone drive's keys miss or are served by the other drive, and never lie",
                 not gone.violations and statuses.get("ok", 0) > 0, f"{statuses}, {gone.violations[:5]}")
    report.note(f"{gone.acknowledged} and {other.acknowledged} changes acknowledged, {gone.unknown} unanswered")
    # Half of the keys; the others come back with the drive as they were.
    changed = gone.keys()[::2]
    connection = wire.Connection(store.port)
    puts, gets = set(), set()
    for key in changed:
        state, value = gone.begin_put(key, 1000)
        puts.add(status := connection.put(key, value))
        gone.end_change(key, state, status)
        began = gone.begin_read()
        status, found = connection.get(key)
        gone.end_read(key, began, status, found)
        gets.add(status)
    connection.close()
    report.check("while it is gone, its keys are put on the other drive, and served from there",
                 puts == gets == {"ok"} and not gone.violations, f"{puts}, {gets}, {gone.violations[:5]}")

    drives.plug(FIRST)
    report.check("a drive that is back isn't taken by a memkvd that runs", store.daemon.health() == health,
                 store.daemon.health())
    code = store.daemon.terminate()
    report.check("SIGTERM ends memkvd with exit code 0, a drive offline", code == 0,
                 f"{code}: {store.daemon.log()}")
    store.daemon.start()
    report.check("the next memkvd takes it", store.daemon.health()["status"] == "healthy", store.daemon.health())
    gone.misses_allowed = False
    for name, book in books.items():
        verdicts = read_back(book, store.port)
        report.check(f"everything acknowledged on drive {name} is there: {verdicts}",
                     not book.violations and verdicts["wrong"] == 0 and verdicts["kept"] > 0,
                     "; ".join(book.violations[:5]))
    return books


def place_of(name, value):
    """Where a drive holds `value`, in bytes."""
    step = 4 << 20
    with open(LINKS / name, "rb", buffering=0) as device:
        offset, before = 0, b""
        while piece := device.read(step):
            found = (before + piece).find(value[:512])
            if found >= 0:
                return offset - len(before) + found
            offset += len(piece)
            before = piece[-512:]
    raise RuntimeError(f"drive {name} doesn't hold the value")


def read_error(name, offset):
    """The errno of reading 4 KiB there, past the page cache; 0 when it succeeds."""
    descriptor = os.open(LINKS / name, os.O_RDONLY | os.O_DIRECT)
    try:
        os.preadv(descriptor, [mmap.mmap(-1, 4096)], offset)
        return 0
    except OSError as failure:
        return failure.errno
    finally:
        os.close(descriptor)


def bad_medium(store):
    """Sectors that can't be read cost their block and nothing else."""
    (bad, value), (good, good_value) = store.keys_on(FIRST, 2, f"bad medium {SEED}")
    place = place_of(FIRST, value)
    drives.fail_reads(FIRST, place + 4096)
    try:
        error = read_error(FIRST, place + 4096)
        report.check("the kernel says ENODATA of sectors that can't be read", error == errno.ENODATA,
                     os.strerror(error))
        connection = wire.Connection(store.port)
        status, _ = connection.get(bad)
        report.check("a block on them is a miss", status == "notFound", status)
        report.check("another block of the drive is served", connection.get(good) == ("ok", good_value))
        report.check("the drive stays online", store.daemon.health()["status"] == "healthy", store.daemon.health())
        report.check("the block can be put again", connection.put(bad, value) == "ok"
                     and connection.get(bad) == ("ok", value), connection.get(bad)[0])
        connection.close()
    finally:
        drives.heal(FIRST)


def slow_drive(store):
    """A drive that needs seconds for a block: answers by the deadline, and the other drive's keys as ever."""
    slow, quick = store.keys_on(SECOND, 4, f"slow {SEED}"), store.keys_on(FIRST, 4, f"quick {SEED}")
    drives.slow_down(SECOND, SLOW_BYTES_PER_SECOND)
    connection, waiting = wire.Connection(store.port), wire.Connection(store.port)
    try:
        # The throttle lets one operation through before it counts, and the kernel may make one of adjacent reads.
        first = connection.get(slow[0][0])
        report.check("a block of the slow drive is served, slowly or not", first == ("ok", slow[0][1]), first[0])
        values = {waiting.submit(wire.GET, key, deadline=DEADLINE_MICROSECONDS): value for key, value in slow}
        waiting.submit(wire.PUT, slow[0][0], slow[1][1], deadline=DEADLINE_MICROSECONDS)
        served = [connection.get(key) == ("ok", value) and connection.put(key, value[::-1]) == "ok"
                  and connection.get(key) == ("ok", value[::-1]) for key, value in quick]
        report.check("the other drive's keys are served meanwhile", all(served), served)
        answers = [waiting.receive() for _ in range(len(values) + 1)]
        statuses = collections.Counter(answer.status for answer in answers)
        wrong = [answer.request_id for answer in answers if answer.status == "ok"
                 and answer.operation == wire.GET and answer.payload != values[answer.request_id]]
        report.check("requests to the slow drive are answered: data, or that the deadline has passed",
                     set(statuses) <= {"ok", "deadlineExceeded", "outcomeUnknown"} and not wrong
                     and statuses["deadlineExceeded"] > 0, f"{statuses}, wrong are {wrong}")
        report.note(str(dict(statuses)))
        report.check("no drive was given up", store.daemon.health()["status"] == "healthy", store.daemon.health())
    finally:
        drives.slow_down(SECOND, 0)
    # It ends by itself, or the part has failed.
    wait("the drive is quick again", lambda: connection.get(slow[-1][0]) == ("ok", slow[-1][1]))
    connection.close()
    waiting.close()


def end(store, books):
    """After all that: a proper end, and everything as it was."""
    code = store.daemon.terminate()
    report.check("SIGTERM ends memkvd with exit code 0", code == 0, f"{code}: {store.daemon.log()}")
    store.daemon.start()
    for name, book in books.items():
        verdicts = read_back(book, store.port)
        report.check(f"drive {name} still has everything: {verdicts}", not book.violations and verdicts["wrong"] == 0,
                     "; ".join(book.violations[:5]))


def parts(stack, directory):
    """(name, function) of each part, in their order."""
    state = {}

    def make_store():
        state["store"] = Store(stack, directory)

    def unplugged():
        state["books"] = unplug(state["store"])

    return [
        ("drive contract", contract),
        ("a store on two drives", make_store),
        ("import, kill -9, export", lambda: files(state["store"])),
        ("a drive is unplugged and returns", unplugged),
        ("a bad medium", lambda: bad_medium(state["store"])),
        ("a slow drive", lambda: slow_drive(state["store"])),
        ("the end", lambda: end(state["store"], state["books"])),
    ]
