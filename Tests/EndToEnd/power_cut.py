#!/usr/bin/env python3
"""Power cuts on a real kernel: what was acknowledged must be on the drive, not in some cache above it.

kill -9 of memkvd keeps the kernel's caches, so it proves recovery only. Here the drive is a loop device over nbdkit,
whose cache holds every write back until a flush; power is cut by kill -9 of nbdkit under load. Two controls must
fail the same judgement: nbdkit ignoring flushes, and a debug build of memkvd that is told not to flush
(MEMKVD_PLANTED_BUG=noFlush).
"""
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report
from support.content import Contents
from support.daemon import Daemon, configuration, free_port, setup
from support.drives import PowerCutDrive, need, sparse_file, workshop
from support.ledger import Ledger
from support.load import Load, make_keys, read_back

STORE_BYTES = 1 << 30
KEYS = 120
LARGEST_BYTES = 2 << 20

options = report.arguments(__doc__.splitlines()[0], 20261123, rounds=(6, "power cuts"))


class Rig:
    """A store on a drive whose power can be cut, and its ledger."""

    def __init__(self, name, stack, directory, **environment):
        need("losetup")
        self.directory = directory
        self.name = name
        self.generator = random.Random(f"{options.seed} {name}")
        self.drive = PowerCutDrive(stack, directory, sparse_file(directory / "image", STORE_BYTES))
        self.ledger = Ledger(Contents(options.seed))
        make_keys(self.ledger, f"{options.seed} {name}", KEYS)
        self.port = free_port()
        self.config = directory / "memkvd.yaml"
        self.daemon = Daemon(stack, directory, self.port, "--config", self.config, **environment)
        setup(self.drive.set_up())
        self.switch_off()

    def switch_on(self, flushes_work=True):
        device = self.drive.set_up(flushes_work)
        configuration(self.directory, self.port, [device], "direct")
        self.daemon.start()

    def switch_off(self):
        """Without a cut: only what was flushed stays all the same, since nbdkit keeps its cache to itself."""
        self.daemon.kill()
        self.drive.take_down()

    def load_and_cut(self, label):
        """Load, then the cut in the middle of it, then everything is taken away; returns the requests."""
        load = Load(self.ledger, self.port, f"{options.seed} {self.name} {label}", LARGEST_BYTES)
        time.sleep(self.generator.uniform(0.3, 2.0))
        # From here on a drive may be gone: misses tell nothing, values must still be right.
        self.ledger.misses_allowed = True
        self.drive.cut_power()
        time.sleep(0.3)
        requests = load.stop()
        health = self.daemon.health()
        self.daemon.kill()
        self.drive.take_down()
        self.ledger.misses_allowed = False
        return requests, health

    def cut_recovery(self):
        """The power goes again while memkvd recovers, or just after."""
        configuration(self.directory, self.port, [self.drive.set_up()], "direct")
        self.daemon.launch()
        time.sleep(self.generator.uniform(0.01, 0.4))
        self.drive.cut_power()
        self.switch_off()

    def read_back(self):
        """Verdicts over all keys, and what was wrong."""
        verdicts = read_back(self.ledger, self.port)
        violations = list(self.ledger.violations)
        self.ledger.violations.clear()
        return verdicts, violations


def cuts():
    with workshop("power-cut") as (stack, directory):
        rig = Rig("cut", stack, directory)
        rig.switch_on()
        for number in range(options.rounds):
            requests, health = rig.load_and_cut(number)
            under_load = list(rig.ledger.violations)
            again = rig.generator.choice((0, 0, 1, 2))
            for _ in range(again):
                rig.cut_recovery()
            rig.switch_on()
            verdicts, violations = rig.read_back()
            report.check(f"cut {number + 1}: {requests} requests, {again} cuts of recovery, {verdicts}", not violations and not under_load,
                         "; ".join((under_load + violations)[:5]))
            report.check(f"cut {number + 1}: health had seen the drive go", health["status"] == "unhealthy"
                         and health["drives_offline"] == 1, health)
        report.note(f"{rig.ledger.acknowledged} changes acknowledged, {rig.ledger.unknown} unanswered")
        report.check("the load did something", rig.ledger.acknowledged > 20 * options.rounds
                     and rig.ledger.unknown > 0, f"{rig.ledger.acknowledged}, {rig.ledger.unknown}")


def lost(rig, label):
    """One cut of a rig whose flushes do nothing: how many keys the judgement finds wrong."""
    rig.load_and_cut(label)
    rig.ledger.violations.clear()
    rig.switch_on()
    verdicts, violations = rig.read_back()
    report.note(f"{verdicts}; the first: {violations[0] if violations else 'none'}")
    return verdicts["wrong"]


def drive_without_flushes():
    with workshop("no-flush-drive") as (stack, directory):
        rig = Rig("unsafe", stack, directory)
        rig.switch_on(flushes_work=False)
        wrong = lost(rig, "unsafe")
        report.check("a drive that ignores flushes fails this test", wrong > 0, "nothing was lost")


def server_without_flushes():
    with workshop("no-flush-server") as (stack, directory):
        rig = Rig("planted", stack, directory, MEMKVD_PLANTED_BUG="noFlush")
        rig.switch_on()
        if "bug=noFlush" not in rig.daemon.log():
            raise report.CannotTry("this memkvd has no planted bugs; debug builds do")
        wrong = lost(rig, "planted")
        report.check("a memkvd that doesn't flush fails this test", wrong > 0, "nothing was lost")


report.run([
    ("power cuts", cuts),
    ("control: a drive that ignores flushes", drive_without_flushes),
    ("control: a memkvd that doesn't flush", server_without_flushes),
])
