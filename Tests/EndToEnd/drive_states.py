#!/usr/bin/env python3
"""One drive of four fails, slows down or stalls on a real kernel: health says so and says when it is over, no
acknowledged block is lost, nothing hangs, and the other drives' requests end as ever.

The sick drive is a loop device, or a file, over nbdkit (error and rate filters, an eval plugin whose flush waits); the
frozen one a file on an ext4 that fsfreeze stops. What is asserted are verdicts, counts, and deadlines of seconds.
"""
import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, setup
from support.drives import command, file_system, loop_device, need, quietly, sparse_file, workshop
from support.ledger import Ledger
from support.load import Load, make_keys, read_back
from support.sick_drives import FailingDrive, SlowDrive, StallingDrive

DRIVE_BYTES = 512 << 20
LARGEST_BYTES = 64 << 10
REQUEST_SECONDS = 5

options = report.arguments(__doc__.splitlines()[0], 20261122)


class Rig:
    """A store of four drives and what it was given."""

    def __init__(self, name, stack, directory, drives, mode, shards=None):
        self.name, self.directory = name, directory
        self.generator = random.Random(f"{options.seed} {name}")
        self.contents = Contents(options.seed)
        self.ledger = Ledger(self.contents)
        make_keys(self.ledger, f"{options.seed} {name}", 80)
        self.port = free_port()
        self.daemon = Daemon(stack, directory, self.port, "--config",
                             configuration(directory, self.port, drives, mode, shards=shards))
        self.daemon.start()

    def load(self, label):
        return Load(self.ledger, self.port, f"{options.seed} {self.name} {label}", LARGEST_BYTES)

    def await_health(self, status, seconds, cause=None):
        """Waits for a verdict; returns the seconds it took, None when it didn't come."""
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            health = self.daemon.health()
            if health["status"] == status and (cause is None or cause in self.causes()):
                return time.monotonic() - begin
            time.sleep(0.1)
        return None

    def causes(self):
        return [cause for drive in self.status_of_drives() for cause in drive["causes"]]

    def status_of_drives(self):
        return json.loads(self.daemon.admin("/v1/status")[1])["storage"]["devices"]

    def log_lines(self, message):
        return [line for line in self.daemon.log().splitlines() if f'msg="{message}"' in line]

    def probe(self, count, number=0):
        """Puts and gets of new keys, one after the other, each with a deadline: their statuses by kind. Raises when
        one isn't answered in time."""
        statuses = {"put": [], "get": []}
        connection = wire.Connection(self.port, receive_timeout=REQUEST_SECONDS + 2)
        for index in range(count):
            key = random.Random(f"{options.seed} {self.name} {number} {index}").randbytes(32)
            value = self.contents.value(key, 1, 5000)
            deadline = REQUEST_SECONDS * 1_000_000
            statuses["put"].append(connection.call(wire.PUT, key, value, deadline=deadline).status)
            answer = connection.call(wire.GET, key, deadline=deadline)
            statuses["get"].append(answer.status)
            if answer.status == "ok" and answer.payload != value:
                raise RuntimeError("a probe read other bytes than it put")
        connection.close()
        return statuses

    def check_probe(self, what, statuses, refusals):
        """Most keys are the other drives': they must be served; the sick drive's are refused in a defined way."""
        for kind in ("put", "get"):
            good = statuses[kind].count("ok")
            others = {status for status in statuses[kind] if status != "ok"}
            report.check(f"{what}: {good} of {len(statuses[kind])} {kind}s served, the others {sorted(others)}",
                         good >= len(statuses[kind]) // 2 and others <= refusals, statuses[kind])

    def check_ledger(self, what):
        verdicts = read_back(self.ledger, self.port)
        violations = list(self.ledger.violations)
        report.check(f"{what}: nothing acknowledged is lost, {verdicts}", not violations, "; ".join(violations[:5]))


def loops(stack, directory, count):
    return [loop_device(stack, sparse_file(directory / f"loop-{number}", DRIVE_BYTES)) for number in range(count)]


def dead():
    with workshop("dead-drive") as (stack, directory):
        need("losetup")
        sick = FailingDrive(stack, directory, "sick", DRIVE_BYTES)
        drives = [*loops(stack, directory, 3), sick.path]
        setup(*drives)
        rig = Rig("dead", stack, directory, drives, "direct")
        report.check("healthy to begin with", rig.await_health("healthy", 5) is not None, rig.daemon.health())
        load = rig.load("before")
        time.sleep(2)
        rig.ledger.misses_allowed = True
        sick.fall_ill()
        took = rig.await_health("degraded", 5)
        report.check("a drive whose every operation fails is offline within seconds", took is not None
                     and rig.daemon.health()["drives_offline"] == 1, rig.daemon.health())
        time.sleep(1)
        requests = load.stop()
        report.check(f"{requests} requests ended", requests > 100, load.statuses())
        rig.check_probe("with a dead drive", rig.probe(40), {"driveUnavailable", "notFound"})
        lines = rig.log_lines("drive offline")
        report.check("it is logged once, with cause and error", len(lines) == 1 and "_failed" in lines[0]
                     and "Input/output error" in lines[0], lines)
        report.check("SIGTERM ends it", rig.daemon.terminate() == 0)
        sick.get_well()
        rig.ledger.misses_allowed = False
        rig.daemon.start()
        report.check("healthy after a restart", rig.daemon.health()["status"] == "healthy", rig.daemon.health())
        rig.check_ledger("after a restart with the drive back")


def slow():
    with workshop("slow-drive") as (stack, directory):
        need("losetup")
        sick = SlowDrive(stack, directory, "sick", DRIVE_BYTES)
        drives = [*loops(stack, directory, 3), sick.path]
        setup(*drives)
        rig = Rig("slow", stack, directory, drives, "direct")
        load = rig.load("all along")
        time.sleep(10)
        sick.fall_ill()
        took = rig.await_health("degraded", 45)
        report.check("a drive a hundred times as slow is flagged", took is not None, rig.daemon.health())
        report.note(f"flagged after {took and round(took, 1)} s: {rig.causes()}")
        rig.check_probe("with a slow drive", rig.probe(20), {"busy", "outcomeUnknown", "notFound", "deadlineExceeded"})
        sick.get_well()
        took = rig.await_health("healthy", 60)
        report.check("and cleared when it is well", took is not None, rig.causes())
        requests = load.stop()
        report.check(f"{requests} requests ended", requests > 100, load.statuses())
        rig.ledger.violations = [line for line in rig.ledger.violations if "notFound" not in line]
        report.check("nothing wrong was read meanwhile", not rig.ledger.violations, rig.ledger.violations[:3])
        rig.check_ledger("afterwards")
        rig.daemon.terminate()


def stalled_flush():
    with workshop("stalled-flush") as (stack, directory):
        need("losetup")
        others = [directory / f"drive-{number}.memkv" for number in range(3)]
        image = directory / "sick.memkv"
        setup(*others, image, max_size="512 MiB")
        sick = StallingDrive(stack, directory, "sick", image)
        rig = Rig("stall", stack, directory, [*others, sick.path], "file")
        # Before the daemon is ended: a process whose flush hangs doesn't end.
        stack.callback(sick.get_well)
        load = rig.load("before")
        time.sleep(4)
        load.stop()
        sick.fall_ill()
        # FUSE keeps reads behind a flush: those of the sick drive are shed as misses.
        rig.ledger.misses_allowed = True
        load = rig.load("during")
        took = rig.await_health("degraded", 15, "writes_stalled")
        report.check("a drive that doesn't finish a flush is degraded", took is not None, rig.status_of_drives())
        rig.check_probe("with a stalled flush", rig.probe(40), {"busy", "outcomeUnknown", "notFound"})
        time.sleep(8)
        report.check("it isn't fenced for that", rig.daemon.health()["drives_online"] == 4, rig.daemon.health())
        sick.get_well()
        took = rig.await_health("healthy", 30)
        report.check("it is back by itself", took is not None, rig.status_of_drives())

        def said(message):
            # Of the sick drive: a busy machine makes others slow at times.
            return [line for line in rig.log_lines(message) if str(sick.path) in line]

        end = time.monotonic() + 5
        # The log is written a moment after the state is told.
        while not said("drive back") and time.monotonic() < end:
            time.sleep(0.1)
        lines, back = said("drive degraded"), said("drive back")
        report.check("its causes are logged, and that it is back", 1 <= len(lines) <= 4
                     and "writes_stalled" in lines[0] and len(back) == 1, lines + back)
        requests = load.stop()
        rig.ledger.misses_allowed = False
        report.check(f"{requests} requests ended", requests > 20, load.statuses())
        rig.check_ledger("afterwards")
        report.check("SIGTERM ends it", rig.daemon.terminate() == 0)


def frozen(shards):
    with workshop("frozen") as (stack, directory):
        need("losetup", "fsfreeze")
        mounted = file_system(stack, directory, 700 << 20)
        others = [directory / f"drive-{number}.memkv" for number in range(3)]
        drives = [*others, mounted / "drive.memkv"]
        setup(*drives, max_size="512 MiB")
        rig = Rig(f"frozen-{shards}", stack, directory, drives, "file", shards=shards)
        # Before the daemon is ended, for the same reason.
        stack.callback(quietly, "fsfreeze", "--unfreeze", mounted)
        load = rig.load("before")
        time.sleep(2)
        load.stop()
        stored = [rig.generator.randbytes(32) for _ in range(40)]
        connection = wire.Connection(rig.port)
        report.check("40 blocks are stored", all(connection.put(key, key * 100) == "ok" for key in stored))
        connection.close()
        command("fsfreeze", "--freeze", mounted)
        # Small puts, each in a slab of 2 MiB: one drive's could take them all.
        load = rig.load("frozen")
        took = rig.await_health("degraded", 15, "writes_stalled")
        report.check("a frozen drive is degraded", took is not None, rig.status_of_drives())
        connection = wire.Connection(rig.port)
        statuses = [connection.get(key)[0] for key in stored]
        connection.close()
        report.check("its reads go on", set(statuses) == {"ok"} and "unresponsive" not in rig.causes(), statuses)
        begin = time.monotonic()
        rig.check_probe("with a frozen drive", rig.probe(60), {"busy", "outcomeUnknown", "notFound"})
        report.note(f"120 requests in {time.monotonic() - begin:.1f} s")
        held = max(drive["requests_in_hand"] for drive in rig.status_of_drives())
        report.check(f"it has {held} requests in hand, no more than its share", held <= 90, held)
        quietly("fsfreeze", "--unfreeze", mounted)
        report.check("it is back by itself", rig.await_health("healthy", 30) is not None, rig.status_of_drives())
        requests = load.stop()
        report.check(f"{requests} requests ended", requests > 100, load.statuses())
        rig.check_ledger("afterwards")
        report.check("SIGTERM ends it", rig.daemon.terminate() == 0)


def cut_short(what, act):
    with workshop("cut-short") as (stack, directory):
        drives = [directory / f"drive-{number}.memkv" for number in range(4)]
        setup(*drives, max_size="512 MiB")
        rig = Rig(what, stack, directory, drives, "file")
        load = rig.load("before")
        time.sleep(1)
        rig.ledger.misses_allowed = True
        act(drives[1])
        took = rig.await_health("degraded", 10)
        report.check(f"a drive whose file is {what} is offline", took is not None and rig.causes() == ["gone"],
                     rig.status_of_drives())
        requests = load.stop()
        report.check(f"{requests} requests ended", requests > 100, load.statuses())
        rig.check_probe(f"with a drive {what}", rig.probe(40), {"driveUnavailable", "notFound"})
        report.check("SIGTERM ends it", rig.daemon.terminate() == 0)


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(8 << 20)


def rot():
    with workshop("rot") as (stack, directory):
        drives = [directory / f"drive-{number}.memkv" for number in range(4)]
        setup(*drives, max_size="512 MiB")
        rig = Rig("rot", stack, directory, drives, "file")
        connection = wire.Connection(rig.port)
        keys = [rig.generator.randbytes(32) for _ in range(60)]
        for key in keys:
            connection.put(key, rig.contents.value(key, 1, 50_000))
        connection.close()
        rig.daemon.terminate()
        damaged = 0
        for key in keys[:10]:
            value = rig.contents.value(key, 1, 50_000)
            for drive in drives:
                data = drive.read_bytes()
                place = data.find(value[:512])
                if place >= 0:
                    with open(drive, "r+b") as file:
                        file.seek(place + 30_000)
                        file.write(b"rotten")
                    damaged += 1
        rig.daemon.start()
        begin = time.monotonic()
        while time.monotonic() < begin + 60 and min(d["scrub"]["turns"] for d in rig.status_of_drives()) == 0:
            time.sleep(0.2)
        found = sum(drive["scrub"]["findings"] for drive in rig.status_of_drives())
        report.check(f"the scrub finds {damaged} rotten blocks in {time.monotonic() - begin:.1f} s, before anybody asks",
                     found == damaged == 10, rig.status_of_drives())
        connection = wire.Connection(rig.port)
        statuses = [connection.get(key)[0] for key in keys]
        report.check("they are misses, and no others", statuses == ["notFound"] * 10 + ["ok"] * 50, statuses)
        connection.close()
        quarantined = sum(drive["quarantined_bytes"] for drive in rig.status_of_drives())
        rig.daemon.terminate()
        rig.daemon.start()
        again = sum(drive["quarantined_bytes"] for drive in rig.status_of_drives())
        report.check(f"{quarantined} bytes are quarantined, also after a restart", again == quarantined == 10 * 65536,
                     again)
        rig.daemon.terminate()


report.run([
    ("a drive that fails", dead),
    ("a drive that is slow", slow),
    ("a drive that doesn't finish a flush", stalled_flush),
    ("a frozen file system, one shard", lambda: frozen(1)),
    ("a frozen file system, two shards", lambda: frozen(2)),
    ("a file that is deleted", lambda: cut_short("deleted", lambda path: path.unlink())),
    ("a file that is cut short", lambda: cut_short("cut short", truncate)),
    ("rot, found by the scrub", rot),
])
