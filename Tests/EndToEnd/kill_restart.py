#!/usr/bin/env python3
"""kill -9 of memkvd at random moments under load; then every key must be what a ledger of acknowledgements says.

The ledger, the client and the values are this script's own: they share nothing with the server but the wire
protocol. See support/ledger.py for what is legal. --full imports 1 GiB instead of 256 MiB.
"""
import json
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report
from support.content import LARGEST_BYTES, Contents, random_file, sha256
from support.daemon import Daemon, clean_environment, configuration, free_port, memkv, setup
from support.drives import loop_device, need, sparse_file, workshop
from support.ledger import Ledger
from support.load import Load, make_keys, read_back

STORE_BYTES = 1 << 30
KEYS = 160

options = report.arguments(
    __doc__.splitlines()[0], 20261122, rounds=(8, "kills for each kind of drive"),
    mebibytes=(256, "MiB of the imported files"), full=(False, "import files of 1 GiB"))


def judge(what, ledger, verdicts):
    report.check(what, not ledger.violations and verdicts["wrong"] == 0, "; ".join(ledger.violations[:5]))
    ledger.violations.clear()


def crashes(name, directory, daemon):
    """`rounds` kills under load, then an end by SIGTERM under load."""
    generator = random.Random(f"{options.seed} {name}")
    ledger = Ledger(Contents(options.seed))
    make_keys(ledger, f"{options.seed} {name}", KEYS)
    daemon.start()
    for number in range(options.rounds):
        load = Load(ledger, daemon.port, f"{options.seed} {name} {number}", LARGEST_BYTES)
        time.sleep(generator.uniform(0.2, 2.0))
        daemon.kill()
        requests = load.join()
        again = 0
        if generator.random() < 0.5:
            again = generator.randint(1, 3)
            for _ in range(again):
                daemon.launch()
                time.sleep(generator.uniform(0.01, 0.3))
                daemon.kill()
        daemon.start()
        verdicts = read_back(ledger, daemon.port)
        judge(f"{name}, kill {number + 1}: {requests} requests, {again} kills of recovery, {verdicts}",
              ledger, verdicts)
    load = Load(ledger, daemon.port, f"{options.seed} {name} stop", LARGEST_BYTES)
    time.sleep(0.5)
    code = daemon.terminate()
    load.join()
    report.check(f"{name}: SIGTERM under load ends with exit code 0", code == 0, f"{code}: {daemon.log()}")
    daemon.start()
    records = daemon.recovered("records")
    report.check(f"{name}: after SIGTERM there is nothing to recover", records == 0, f"{records} records")
    verdicts = read_back(ledger, daemon.port)
    judge(f"{name}: after SIGTERM everything is there, {verdicts}", ledger, verdicts)
    report.note(f"{ledger.acknowledged} changes acknowledged, {ledger.unknown} unanswered")
    report.check(f"{name}: the load did something", ledger.acknowledged > 20 * options.rounds
                 and ledger.unknown > 0, f"{ledger.acknowledged}, {ledger.unknown}")


def file_drives():
    """Three drives, each with a shard of its own: most requests cross from one to another."""
    with workshop("kill-file") as (stack, directory):
        drives = [directory / f"drive-{number}" for number in range(3)]
        setup(*drives, max_size="512 MiB")
        port = free_port()
        config = configuration(directory, port, drives, shards=3)
        crashes("three shards", directory, Daemon(stack, directory, port, "--config", config))


def direct_drive(sector_bytes, block_size, min_slot):
    need("losetup")
    with workshop(f"kill-{sector_bytes}") as (stack, directory):
        image = sparse_file(directory / "image", STORE_BYTES)
        device = loop_device(stack, image, sector_bytes)
        setup(device, block_size=block_size, min_slot=min_slot)
        port = free_port()
        config = configuration(directory, port, [device], "direct", block_size, min_slot)
        crashes(f"direct, sectors of {sector_bytes}", directory,
                Daemon(stack, directory, port, "--config", config))


def files():
    """A real file, kill -9 in the middle of another, start again, and the first one's bytes."""
    mebibytes = 1024 if options.full else options.mebibytes
    with workshop("kill-import") as (stack, directory):
        port = free_port()
        server = f"127.0.0.1:{port}"
        first, second = directory / "first", directory / "second"
        digests = [random_file(path, f"{options.seed} {path.name}", mebibytes) for path in (first, second)]
        config = directory / "memkvd.yaml"
        config.write_text(f"storage: {{ max_size: {mebibytes * 4} MiB, eviction: {{ enabled: false }} }}\n")
        daemon = Daemon(stack, directory, port, "--data", directory / "store", "--listen", server,
                        "--config", config)
        daemon.start()
        code, said, errors = memkv("import", "--server", server, first, "-o", directory / "first.manifest")
        report.check(f"import of {mebibytes} MiB", code == 0, errors)
        report.note(said.strip())

        def export(number, manifest):
            copy = directory / "copy"
            code, said, errors = memkv("export", "--server", server, manifest, "-o", copy)
            report.check(f"export of the {number} file gives its SHA-256",
                         code == 0 and sha256(copy) == digests[number == "second"], f"exit {code}, {errors}")
            copy.unlink(missing_ok=True)

        def import_second(*more):
            importing = subprocess.Popen(
                [report.binaries() / "memkv", "import", "--server", server, *more, second, "-o",
                 directory / "second.manifest"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=clean_environment())
            stack.callback(importing.kill)
            used = used_bytes(daemon)
            # In the middle: when another sixth of the second file is there.
            while used_bytes(daemon) < used + (mebibytes << 20) // 6 and importing.poll() is None:
                time.sleep(0.01)
            daemon.kill()
            report.check("memkvd was killed in the middle of an import", importing.poll() is None,
                         f"the import had ended: {importing.poll()}")
            return importing

        importing = import_second("--timeout", "2")
        _, errors = importing.communicate(timeout=120)
        report.check("an import that can't reach the server ends with exit code 3 and no manifest",
                     importing.returncode == 3 and not (directory / "second.manifest").exists(),
                     f"exit {importing.returncode}, {errors}")
        daemon.start()
        export("first", directory / "first.manifest")
        importing = import_second()
        time.sleep(1)
        daemon.start()
        said, errors = importing.communicate(timeout=600)
        report.check("an import goes on when the server is back", importing.returncode == 0,
                     f"exit {importing.returncode}, {errors}")
        report.note(said.strip())
        export("first", directory / "first.manifest")
        export("second", directory / "second.manifest")
        report.check("SIGTERM ends with exit code 0", (code := daemon.terminate()) == 0, code)
        daemon.start()
        export("first", directory / "first.manifest")


def used_bytes(daemon):
    status, text = daemon.admin("/v1/status")
    return json.loads(text)["storage"]["devices"][0]["used_bytes"] if status == 200 else 0


report.run([
    ("file drives, three shards", file_drives),
    ("raw device, sectors of 512", lambda: direct_drive(512, "1 MiB", "16 KiB")),
    ("raw device, sectors of 4096", lambda: direct_drive(4096, "4 MiB", "4 KiB")),
    ("files", files),
])
