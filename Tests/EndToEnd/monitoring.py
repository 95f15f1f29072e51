#!/usr/bin/env python3
"""The monitoring contract: every metric of the table exists, starts at zero and moves to a known value when the thing
that it counts happens; health, status, metrics and `memkv admin` say the same; a real Prometheus reads it.

What must go wrong is made to: nbdkit's filters and an ill plugin for drives, a file that is changed underneath, and two
faults that a debug build of memkvd can be told to commit (a slab freed twice, a lost compare-and-swap).
"""
import http.client
import json
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.daemon import (
    Daemon, clean_environment, configuration, free_port, memkv, memkvd_to_its_end, setup)
from support.drives import command, file_system, loop_device, need, sparse_file, workshop
from support.keyed_daemon import KeyedDaemon
from support.metrics import BEYOND, FOLDER, NEEDS_RDMA, Moves, table
from support.sick_drives import FailingDrive, SlowDrive, StallingDrive
from support.signed import Raw

DRIVE_BYTES = 256 << 20
# Moved by what this script doesn't do; the tests that do it assert the cells that the metrics read.
ELSEWHERE = {
    "memkv_deadline_responses_total": "EngineTests/DriveStallTests",
    "memkv_early_responses_total": "EngineTests/DriveStallTests",
    "memkv_device_media_errors_total": "EngineTests/DriveStateTests",
    "memkv_device_file_system_full_total": "IOUringTests/DeviceTests, full_disk.py",
    "memkv_device_damage_total": "EngineTests/RegressionTests, ScrubTests, CrashTests",
    "memkv_device_repairs_total": "EngineTests/InspectionTests",
    "memkv_device_returned_empty_total": "EngineTests/RegressionTests",
    "memkv_device_requests_shed_total": "EngineTests/DriveStallTests, drive_states.py",
    "memkv_scrub_progress_ratio": "EngineTests/ScrubTests",
}

options = report.arguments(__doc__.splitlines()[0], 20261123)
moves = Moves()
generator = random.Random(options.seed)


def key():
    return generator.randbytes(32)


def serve(stack, directory, drives, mode="file", extra=(), name="memkvd.yaml", **more):
    port = free_port()
    path = configuration(directory, port, drives, mode, name=name, **more)
    if extra:
        path.write_text(path.read_text().replace("storage:", "storage:\n  " + "\n  ".join(extra), 1))
    daemon = Daemon(stack, directory, port, "--config", path)
    daemon.start()
    return daemon


def expect(what, before, after, known):
    """`known`: {metric: by how much it grew, or a check of (before, after)}; a metric may be (name, labels)."""
    for metric, amount in known.items():
        name, labels = metric if isinstance(metric, tuple) else (metric, {})
        grown = after.sum(name, **dict(labels)) - before.sum(name, **dict(labels))
        report.check(f"{what}: {name}{dict(labels) or ''} {'+' + str(amount) if amount else 'stays'}",
                     grown == amount, f"grew by {grown}")


def poll(daemon, condition, seconds=20):
    """Looks until `condition(metrics)` holds; the metrics, or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = moves.look(daemon)
        if condition(now):
            return now
        time.sleep(0.02)
    return None


def status(daemon):
    return json.loads(daemon.admin("/v1/status")[1])


def same(what, daemon):
    """Health, status, metrics and admin status of a server at rest say the same."""
    now, told, health = moves.look(daemon), status(daemon), daemon.health()
    pairs = {
        "memkv_memory_used_bytes": told["memory"]["used_bytes"],
        "memkv_memory_total_bytes": told["memory"]["total_bytes"],
        "memkv_slabs_allocated": told["memory"]["slabs_allocated"],
        "memkv_slabs_total": told["memory"]["slabs_total"],
        "memkv_storage_raw_bytes": told["storage"]["raw_bytes_total"],
        "memkv_storage_usable_bytes": told["storage"]["usable_bytes_total"],
        "memkv_storage_used_bytes": told["storage"]["used_bytes_total"],
        "memkv_blocks_total": told["blocks_total"], "memkv_blocks_persisted": told["blocks_persisted"],
        "memkv_rdma_connections_active": told["rdma"]["active_connections"],
        "memkv_rdma_active": int(health["rdma_active"]),
    }
    for device in told["storage"]["devices"]:
        for name, field in {"slots_used": "allocated_slots", "capacity_raw_bytes": "raw_capacity_bytes",
                            "capacity_usable_bytes": "usable_bytes", "bytes_used": "used_bytes"}.items():
            pairs[f"memkv_device_{name}", device["path"]] = device[field]
        state = [dict(labels)["state"] for labels, value in now.of("memkv_device_state").items()
                 if value and dict(labels)["device"] == device["path"]]
        report.check(f"{what}: state of {pathlib.Path(device['path']).name}", state == [device["state"]],
                     f"{state} and {device['state']}")
    different = {}
    for metric, value in pairs.items():
        found = (now.sum(metric[0], device=metric[1]) if isinstance(metric, tuple) else now.sum(metric))
        if found != value:
            different[metric] = (found, value)
    report.check(f"{what}: metrics and status agree", not different, different)
    devices = told["storage"]["devices"]
    sums = [sum(device[field] for device in devices) for field in
            ("raw_capacity_bytes", "usable_bytes", "used_bytes")]
    report.check(f"{what}: totals are the sums of their parts",
                 sums == [told["storage"][f"{name}_bytes_total"] for name in ("raw", "usable", "used")]
                 and all(d["raw_capacity_bytes"] == d["usable_bytes"] + d["metadata_bytes"] for d in devices
                         if d["state"] != "absent"), told["storage"])
    report.check(f"{what}: health agrees", now.sum("memkv_health", status=health["status"]) == 1
                 and now.sum("memkv_health") == 1, health)
    code, text, _ = memkv("admin", "health", "--server", f"127.0.0.1:{daemon.port}")
    report.check(f"{what}: admin health agrees", health["status"] in text and code == (health["status"] != "healthy"),
                 f"{code}: {text}")
    return health


def shapes():
    with workshop("monitoring-shapes") as (stack, directory):
        drives = [directory / "drive-0.memkv", directory / "drive-1.memkv"]
        setup(*drives, max_size="256 MiB")
        daemon = serve(stack, directory, drives)
        now, rows = moves.look(daemon), table()
        for name, (part, kind, labels) in rows.items():
            report.check(f"{name} is a {kind} by {sorted(labels) or 'nothing'}", now.types.get(name) == kind
                         and now.labels(name) == labels and now.of(name),
                         f"{now.types.get(name)} by {now.labels(name)}")
        report.check("and there are no others", set(now.types) == set(rows), set(now.types) ^ set(rows))
        lints = subprocess.run(["promtool", "check", "metrics"], input=now.text, text=True, capture_output=True)
        allowed = set((FOLDER / "allowed-lints.txt").read_text().splitlines())
        found = set(lints.stderr.splitlines())
        report.check("promtool finds what is listed and nothing else", found == allowed, found ^ allowed)
        report.check("what is listed are names of the contract", all(
            rows[line.split()[0]][0] != BEYOND for line in allowed))
        health = daemon.admin("/v1/health")
        report.check("health has the contract's fields", health[0] == 200 and list(json.loads(health[1])) == [
            "status", "rdma_active", "drives_online", "drives_offline", "drives_total"], health)
        told = status(daemon)
        report.check("status has the contract's fields", list(told) == [
            "memory", "storage", "rdma", "blocks_total", "blocks_persisted", "uptime_seconds"]
            and list(told["memory"]) == ["used_bytes", "total_bytes", "slabs_allocated", "slabs_total"]
            and list(told["storage"]) == ["num_devices", "block_size_bytes", "total_blocks", "raw_bytes_total",
                                          "usable_bytes_total", "used_bytes_total", "devices"]
            and list(told["storage"]["devices"][0])[:8] == [
                "device_id", "path", "total_slots", "allocated_slots", "raw_capacity_bytes", "usable_bytes",
                "metadata_bytes", "used_bytes"] and list(told["rdma"]) == ["active_connections"], told)
        report.check("ready says ok", daemon.admin("/v1/ready") == (200, "ok"))
        report.check("an unknown path is 404", daemon.admin("/v1/nothing")[0] == 404)
        same("at rest", daemon)
        documented(rows)
        report.check("the drain ends it", daemon.terminate() == 0)


def documented(rows):
    """The page of the operator has a row for each metric: meaning, source, when it moves."""
    page = (report.REPOSITORY / "Docs/operate/monitoring.md").read_text()
    found = re.findall(r"^\| `((?:memkv|process)_\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    names = [name for name, *_ in found]
    report.check("Docs/operate/monitoring.md has a row for each of them, and for no other", sorted(names) == sorted(rows),
                 set(names) ^ set(rows))
    sources = {source for _, _, where, _ in found for source in where.split(", ")}
    strays = [source for source in sources if not (report.REPOSITORY / "Sources" / source).is_dir()
              and not (report.REPOSITORY / "Sources" / f"{source}.swift").is_file()]
    report.check(f"its {len(sources)} sources are there", len(sources) > 20 and not strays, strays)


def requests():
    with workshop("monitoring-requests") as (stack, directory):
        drives = [directory / "drive-0.memkv", directory / "drive-1.memkv"]
        setup(*drives, max_size="256 MiB")
        daemon = serve(stack, directory, drives, shards=2)
        before = moves.look(daemon)
        report.check("drives' sizes are those of their files", before.sum("memkv_storage_raw_bytes") == 2 * DRIVE_BYTES)
        connection = wire.Connection(daemon.port)
        keys = [key() for _ in range(10)]
        for number, name in enumerate(keys[:6]):
            assert connection.put(name, bytes([number]) * 100_000) == "ok"
        body, payload = wire.batch_put_parts([(name, b"batch" * 1000) for name in keys[6:]])
        connection.call(wire.BATCH_PUT, body, payload)
        connection.get(keys[0])
        connection.get(key())
        connection.call(wire.BATCH_GET, keys[1] + keys[2] + key())
        connection.exists([keys[0], keys[1], key(), key()])
        connection.call(wire.STAT, keys[0])
        connection.call(wire.STAT, key())
        connection.call(wire.GET, b"short")
        connection.call(wire.PUT, key(), b"abc", checksum=1)
        after = moves.look(daemon)
        expect("ten puts, reads and looks", before, after, {
            "memkv_allocate_total": 10, "memkv_commit_total": 10, "memkv_write_total": 11,
            "memkv_write_bytes_total": 620_000, "memkv_read_total": 5, "memkv_read_bytes_total": 300_000,
            "memkv_exists_total": 4, "memkv_lookup_total": 2, "memkv_not_found_total": 5, "memkv_read_misses_total": 2,
            "memkv_connect_total": 1, "memkv_invalid_requests_total": 1, "memkv_rejected_payloads_total": 1,
            "memkv_request_latency_us": 14, "memkv_operation_latency_seconds": 14, "memkv_requests_total": 14,
            ("memkv_requests_total", (("operation", "batch_get"),)): 1,
            ("memkv_requests_total", (("operation", "put"),)): 7,
            "memkv_blocks_total": 10, "memkv_blocks_persisted": 10,
            ("memkv_blocks_by_state", (("state", "persisted"),)): 10,
            "memkv_device_bytes_used": 6 * 131072 + 4 * 65536, "memkv_storage_used_bytes": 6 * 131072 + 4 * 65536,
            "memkv_persist_us": 10, "memkv_persist_pre_wait_us": 10, "memkv_persist_post_wait_us": 10,
            "memkv_writer_wait_us": 10, "memkv_allocate_duration_us": 10, "memkv_dirty_queue_depth": 10,
            "memkv_sessions_total": 1, "memkv_no_space_total": 0})
        flushes = after.sum("memkv_iouring_fsync_batch_size")
        report.check(f"{flushes} flushes made ten puts durable", 1 <= flushes <= 10
                     and after.total("memkv_iouring_fsync_batch_size") == 10
                     and after.sum("memkv_journal_flush_duration_us") == flushes
                     and after.sum("memkv_iouring_fsync_us") >= flushes, flushes)
        # A journal block, written twice, may hold what several flushes make durable.
        writes = after.sum("memkv_iouring_write_us") - before.sum("memkv_iouring_write_us")
        report.check(f"{writes} writes: ten payloads, and a journal block twice at least", writes >= 10 + 2, writes)
        report.check("slots are counted in those of the block size", after.sum("memkv_device_slots_used") == 2)
        for name in keys[:3]:
            connection.delete(name)
        connection.delete(keys[0])
        trimmed = poll(daemon, lambda now: now.sum("memkv_trim_extents_total") >= 6) or moves.look(daemon)
        expect("three blocks deleted, one twice", after, trimmed, {
            "memkv_delete_total": 4, "memkv_not_found_total": 1, "memkv_blocks_total": -3,
            "memkv_trim_bytes_total": 3 * 131072, "memkv_trim_errors_total": 0})
        extents = trimmed.sum("memkv_trim_extents_total")
        report.check(f"{extents} trims are timed", trimmed.sum("memkv_trim_latency_us") == extents > 0)
        with Raw(daemon.port) as raw:
            raw.send(b"GET / HTTP/1.1\r\n" + bytes(64))
            time.sleep(0.3)
        refused = poll(daemon, lambda now: now.sum("memkv_refusals_total", reason="refused_not_a_frame") == 1)
        report.check("what is no frame is an invalid request and a refusal", refused
                     and refused.sum("memkv_invalid_requests_total") == 2, "no refusal")
        report.check("uptime counts seconds", poll(daemon, lambda now: now.sum("memkv_uptime_seconds") >= 2))
        same("with blocks", daemon)
        asked = moves.look(daemon).sum("memkv_admin_requests_total", path="/v1/status")
        daemon.admin("/v1/status")
        daemon.admin("/elsewhere")
        now = moves.look(daemon)
        report.check("admin requests are counted by path", now.sum("memkv_admin_requests_total", path="/v1/status")
                     == asked + 1 and now.sum("memkv_admin_requests_total", path="other") >= 1)
        connection.close()
        daemon.terminate()
        daemon.start()
        before = moves.look(daemon)
        connection = wire.Connection(daemon.port)
        connection.get(keys[5])
        once = moves.look(daemon)
        connection.get(keys[5])
        connection.close()
        expect("the first read of a leaf after a restart", before, once, {
            "memkv_btree_cache_misses_total": 1, "memkv_btree_leaf_miss_us": 1})
        expect("the second", once, moves.look(daemon), {
            "memkv_btree_cache_misses_total": 0, "memkv_btree_cache_hits_total": 1})
        daemon.terminate()


def killed():
    with workshop("monitoring-killed") as (stack, directory):
        drive = directory / "drive-0.memkv"
        setup(drive, max_size="256 MiB")
        daemon = serve(stack, directory, [drive])
        connection = wire.Connection(daemon.port)
        for _ in range(3):
            connection.put(key(), b"x" * 1000)
        daemon.kill()
        daemon.start()
        now = moves.look(daemon)
        report.check("three records are replayed after kill -9", now.sum("memkv_device_recovered_records_total") == 3)
        report.check("and recovery is timed", now.sum("memkv_recovery_duration_seconds") == 1)
        daemon.terminate()


def full():
    with workshop("monitoring-full") as (stack, directory):
        drive = directory / "drive-0.memkv"
        setup(drive, max_size="256 MiB", block_size="1 MiB", min_slot="1 MiB")
        daemon = serve(stack, directory, [drive], block_size="1 MiB", min_slot="1 MiB")
        before = moves.look(daemon)
        connection = wire.Connection(daemon.port)
        refused = 0
        for _ in range(280):
            refused += connection.put(key(), bytes(1 << 20)) == "noSpace"
        connection.close()
        expect("a store that is full", before, moves.look(daemon), {"memkv_no_space_total": refused})
        report.check(f"{refused} puts were refused", refused > 0)
        daemon.terminate()


def evicting():
    with workshop("monitoring-evicting") as (stack, directory):
        drive = directory / "drive-0.memkv"
        setup(drive, max_size="256 MiB", block_size="1 MiB", min_slot="1 MiB")
        daemon = serve(stack, directory, [drive], eviction=True, block_size="1 MiB", min_slot="1 MiB")
        stop = threading.Event()
        stored = []

        def fill():
            connection = wire.Connection(daemon.port)
            while not stop.is_set():
                if connection.put(key(), bytes(1 << 20)) == "ok":
                    stored.append(1)
            connection.close()

        moves.look(daemon)
        threads = [threading.Thread(target=fill) for _ in range(4)]
        for thread in threads:
            thread.start()
        seen = poll(daemon, lambda now: now.sum("memkv_blocks_by_state", state="evicting") > 0, 60)
        pending = poll(daemon, lambda now: now.sum("memkv_trim_pending") > 0, 60)
        stop.set()
        for thread in threads:
            thread.join()
        report.check("blocks are seen being evicted, their slots on their way back", seen and pending)
        report.check("which ends", poll(daemon, lambda now: now.sum("memkv_trim_pending") == 0))
        now = poll(daemon, lambda now: now.sum("memkv_blocks_by_state", state="evicting") == 0
                   and now.sum("memkv_blocks_total") + now.sum("memkv_evictions_total") == len(stored))
        report.check(f"of {len(stored)} blocks each is there or evicted, by reason", now, moves.look(daemon).of(
            "memkv_evictions_total"))
        report.check("in bytes too", now and now.sum("memkv_evicted_bytes_total")
                     == now.sum("memkv_evictions_total") * (1 << 20))
        report.check("checkpoints are counted and timed", now and now.sum("memkv_checkpoints_total")
                     == now.sum("memkv_checkpoint_duration_seconds") > 0)
        daemon.terminate()


def damaged():
    with workshop("monitoring-damaged") as (stack, directory):
        drive = directory / "drive-0.memkv"
        setup(drive, max_size="256 MiB")
        daemon = serve(stack, directory, [drive], extra=["scrub: { rate: 0 }"])
        connection = wire.Connection(daemon.port)
        rotten, value = key(), generator.randbytes(50_000)
        connection.put(rotten, value)
        before = moves.look(daemon)
        place = drive.read_bytes().find(value[:512])
        with open(drive, "r+b") as file:
            file.seek(place + 30_000)
            file.write(b"rotten")
        report.check("a rotten block is a miss", connection.get(rotten)[0] == "notFound")
        now = poll(daemon, lambda now: now.sum("memkv_device_quarantined_slots_total") == 1) or moves.look(daemon)
        expect("a rotten block", before, now, {
            "memkv_checksum_failures_total": 1, "memkv_device_quarantined_slots_total": 1,
            "memkv_device_quarantined_bytes": 65536, "memkv_read_misses_total": 1})
        connection.close()
        same("with a quarantined slot", daemon)
        daemon.terminate()


def scrubbed():
    with workshop("monitoring-scrubbed") as (stack, directory):
        drive = directory / "drive-0.memkv"
        setup(drive, max_size="256 MiB")
        daemon = serve(stack, directory, [drive])
        connection = wire.Connection(daemon.port)
        value = generator.randbytes(50_000)
        connection.put(key(), value)
        connection.close()
        daemon.terminate()
        place = drive.read_bytes().find(value[:512])
        with open(drive, "r+b") as file:
            file.seek(place + 30_000)
            file.write(b"rotten")
        daemon.start()
        now = poll(daemon, lambda now: now.sum("memkv_scrub_turns_total") >= 1, 60)
        report.check("the scrub reads one block and finds it rotten", now and now.sum("memkv_scrub_blocks_total") == 1
                     and now.sum("memkv_scrub_findings_total") == 1 and now.sum("memkv_scrub_bytes_total") >= 50_000)
        daemon.terminate()


def untrimmable():
    with workshop("monitoring-untrimmable") as (stack, directory):
        need("chattr")
        drive = file_system(stack, directory, 400 << 20) / "drive-0.memkv"
        setup(drive, max_size="256 MiB")
        daemon = serve(stack, directory, [drive])
        stack.callback(daemon.kill)
        connection = wire.Connection(daemon.port)
        name = key()
        connection.put(name, b"x" * 1000)
        before = moves.look(daemon)
        # Of a file that only may grow the kernel frees nothing; writes by who has it open go on.
        command("chattr", "+a", drive)
        connection.delete(name)
        now = poll(daemon, lambda now: now.sum("memkv_trim_errors_total") > 0) or moves.look(daemon)
        command("chattr", "-a", drive)
        expect("a file that can't be trimmed", before, now, {
            "memkv_trim_errors_total": 1, "memkv_trim_extents_total": 0, "memkv_trim_latency_us": 1})
        report.check("nothing else is wrong with it", daemon.health()["status"] == "healthy"
                     and connection.put(name, b"x") == "ok")
        connection.close()
        daemon.terminate()


def stalled():
    with workshop("monitoring-stalled") as (stack, directory):
        other, image = directory / "well.memkv", directory / "sick.memkv"
        setup(other, image, max_size="256 MiB")
        sick = StallingDrive(stack, directory, "sick", image)
        daemon = serve(stack, directory, [other, sick.path])
        stack.callback(sick.get_well)
        connection = wire.Connection(daemon.port)
        before = moves.look(daemon)
        sick.fall_ill()
        puts = [connection.submit(wire.PUT, key(), b"y" * 1000) for _ in range(8)]

        def held(now):
            """What the waiting puts hold, counted where it is held; slabs in bytes too."""
            return {now.sum("memkv_blocks_by_state", state="changing"), now.sum("memkv_journal_pending_entries"),
                    now.sum("memkv_slabs_allocated"), now.sum("memkv_memory_used_bytes") / (2 << 20),
                    now.sum("memkv_device_requests_in_hand"), now.sum("memkv_operations_in_progress")}

        now = poll(daemon, lambda now: len(held(now)) == 1 and held(now) != {0}
                   and now.sum("memkv_blocks_total") + max(held(now)) == 8)
        report.check("puts that wait for a flush that doesn't end are changing, pending in the journal, in slabs, and in"
                     " hand, and the others are stored", now, (held(moves.look(daemon)), status(daemon)))
        degraded = poll(daemon, lambda now: now.sum("memkv_health", status="degraded") == 1, 30)
        report.check("a flush that doesn't end makes the server degraded", degraded)
        same("with a stalled flush", daemon)
        code, text, _ = memkv("admin", "status", "--server", f"127.0.0.1:{daemon.port}")
        report.check("admin status says so", code == 0 and "writes_stalled" in text, text)
        sick.get_well()
        for _ in puts:
            connection.receive()
        back = poll(daemon, lambda now: now.sum("memkv_health", status="healthy") == 1, 40)
        report.check("and it is back by itself", back and back.sum("memkv_blocks_by_state", state="changing") == 0
                     and back.sum("memkv_slabs_allocated") == before.sum("memkv_slabs_allocated"))
        connection.close()
        same("afterwards", daemon)
        daemon.terminate()


def unready():
    """A server that recovers, or drains, isn't ready, says why, and lives."""
    with workshop("monitoring-unready") as (stack, directory):
        image = directory / "sick.memkv"
        setup(image, max_size="256 MiB")
        sick = StallingDrive(stack, directory, "sick", image)
        port = free_port()
        daemon = Daemon(stack, directory, port, "--config", configuration(directory, port, [sick.path]))
        stack.callback(sick.get_well)

        def says(what, beginning):
            end = time.monotonic() + 20
            while not (answer := daemon.admin("/v1/ready"))[1].startswith(beginning) and time.monotonic() < end:
                time.sleep(0.02)
            now = moves.look(daemon)
            report.check(f"{what} isn't ready, and says why", answer[0] == 503 and answer[1].startswith(beginning)
                         and now.sum("memkv_ready") == 0, answer)
            code, text = daemon.admin("/v1/health")
            report.check(f"{what} lives", code == 200 and json.loads(text)["drives_total"] == 1, text)

        sick.fall_ill()
        daemon.launch()
        says("a server that recovers", "recovering")
        sick.get_well()
        ready = poll(daemon, lambda now: now.sum("memkv_ready") == 1, 60)
        report.check("it is ready once it has recovered", ready and daemon.admin("/v1/ready") == (200, "ok"))
        connection = wire.Connection(port)
        sick.fall_ill()
        connection.submit(wire.PUT, key(), b"y" * 1000)
        poll(daemon, lambda now: now.sum("memkv_journal_pending_entries") == 1)
        daemon.process.send_signal(signal.SIGTERM)
        says("a server that drains", "draining")
        sick.get_well()
        status = connection.receive().status
        report.check("what was in flight is answered", status in ("ok", "outcomeUnknown"), status)
        connection.close()
        report.check("and it ends with 0", daemon.process.wait(60) == 0, daemon.log()[-2000:])
        daemon.process = None


def saturated():
    """The admin endpoint while every session always has all the requests in flight that it may have."""
    with workshop("monitoring-saturated") as (stack, directory):
        drive = directory / "drive.memkv"
        setup(drive, max_size="256 MiB")
        daemon = serve(stack, directory, [drive])
        first = wire.Connection(daemon.port)
        keys = [key() for _ in range(16)]
        for each in keys:
            first.put(each, generator.randbytes(64 << 10))
        ended, answers, wrong = threading.Event(), [], []

        def ask_without_end():
            connection = wire.Connection(daemon.port)
            under_way = 0
            while not ended.is_set() or under_way:
                while not ended.is_set() and under_way < connection.in_flight:
                    connection.submit(wire.GET, keys[under_way % len(keys)])
                    under_way += 1
                answer = connection.receive()
                under_way -= 1
                answers.append(answer.status)
            connection.close()

        threads = [threading.Thread(target=ask_without_end) for _ in range(8)]
        for thread in threads:
            thread.start()
        looks = 0
        while looks < 100:
            before = len(answers)
            for path, wanted in (("/v1/health", "healthy"), ("/v1/ready", "ok"), ("/v1/status", "devices"),
                                 ("/v1/metrics", "memkv_slabs_total")):
                code, text = daemon.admin(path)
                if code != 200 or wanted not in text:
                    wrong.append((path, code, text[:100]))
            # Counted only between answers of the data path: it is at work.
            while len(answers) == before:
                time.sleep(0.001)
            looks += 1
        ended.set()
        for thread in threads:
            thread.join()
        report.check("100 times health, ready, status and metrics answer while eight sessions are full of requests",
                     not wrong, wrong[:3])
        report.check("whose every request is answered", set(answers) <= {"ok", "busy"} and "ok" in answers, set(answers))
        report.note(f"{len(answers)} requests meanwhile")
        same("after eight sessions full of requests", daemon)
        first.close()
        daemon.terminate()


def slow():
    with workshop("monitoring-slow") as (stack, directory):
        need("losetup")
        sick = SlowDrive(stack, directory, "sick", DRIVE_BYTES, ill="1M")
        setup(sick.path)
        daemon = serve(stack, directory, [sick.path], "direct", extra=["scrub: { rate: 0 }"])
        connection = wire.Connection(daemon.port)
        name = key()
        connection.put(name, generator.randbytes(4 << 20))
        sick.fall_ill()
        time.sleep(1)
        connection.submit(wire.GET, name)
        now = poll(daemon, lambda now: now.sum("memkv_blocks_by_state", state="reading") == 1)
        report.check("a block that is being read is counted", now)
        sick.get_well()
        connection.receive()
        # What the drive began while it was ill takes it another half minute, answered or not.
        now = poll(daemon, lambda now: now.sum("memkv_blocks_by_state", state="reading") == 0, 90)
        report.check("and no longer", now, moves.look(daemon).sum("memkv_blocks_by_state", state="reading"))
        daemon.terminate()


def failing():
    with workshop("monitoring-failing") as (stack, directory):
        need("losetup")
        sick = FailingDrive(stack, directory, "sick", DRIVE_BYTES)
        well = loop_device(stack, sparse_file(directory / "well.image", DRIVE_BYTES))
        setup(well, sick.path)
        daemon = serve(stack, directory, [well, sick.path], "direct")
        health = same("two drives", daemon)
        report.check("healthy", health["status"] == "healthy" and health["drives_online"] == 2, health)
        sick.fall_ill()
        now = poll(daemon, lambda now: now.sum("memkv_device_state", state="offline") == 1, 30)
        report.check("a drive whose operations fail is offline, its errors counted", now
                     and now.sum("memkv_device_errors_total", device=sick.path) > 0)
        health = same("one drive offline", daemon)
        report.check("degraded, with 200", health["status"] == "degraded" and health["drives_offline"] == 1
                     and daemon.admin("/v1/health")[0] == 200, health)
        daemon.kill()
    with workshop("monitoring-dead") as (stack, directory):
        sick = FailingDrive(stack, directory, "sick", DRIVE_BYTES)
        setup(sick.path)
        daemon = serve(stack, directory, [sick.path], "direct")
        sick.fall_ill()
        poll(daemon, lambda now: now.sum("memkv_health", status="unhealthy") == 1, 30)
        health = same("all drives offline", daemon)
        report.check("unhealthy, with 503", health["status"] == "unhealthy"
                     and daemon.admin("/v1/health")[0] == 503, health)
        daemon.kill()


def faults():
    for fault, name in {"slabFreedTwice": "memkv_slab_double_free_total",
                        "slabListContended": "memkv_freelist_cas_retries_total"}.items():
        with workshop("monitoring-faults") as (stack, directory):
            port = free_port()
            daemon = Daemon(stack, directory, port, "--data", directory / "store", "--listen", f"127.0.0.1:{port}",
                            MEMKVD_INJECTED_FAULT=fault)
            daemon.start()
            moves.look(daemon)
            connection = wire.Connection(port)
            values = {key(): generator.randbytes(3 << 20) for _ in range(20)}
            report.check(f"{fault}: everything goes on", all(
                connection.put(name, value) == "ok" for name, value in values.items()) and all(
                connection.get(name) == ("ok", value) for name, value in values.items()))
            connection.close()
            now = poll(daemon, lambda now: now.sum("memkv_slabs_allocated") == 0)
            report.check(f"{fault}: counted once and refused", now and now.sum(name) == 1, now and now.sum(name))
            daemon.terminate()


def silent():
    """Connections that ask nothing, or never end their header, keep no prober from asking."""
    with workshop("monitoring-silent") as (stack, directory):
        port = free_port()
        daemon = Daemon(stack, directory, port, "--data", directory / "store", "--listen", f"127.0.0.1:{port}")
        daemon.start()
        for beginning in (b"", b"GET /v1/status HTTP/1.1\r\nX: "):
            for _ in range(600):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port + 1), timeout=10))
                connection.sendall(beginning)
            code, text = daemon.admin("/v1/health")
            report.check("health answers beside 600 connections that ask nothing", code == 200 and "healthy" in text
                         and daemon.admin("/v1/ready") == (200, "ok"), (code, text))
        now = poll(daemon, lambda now: now.sum("process_open_fds") < 600)
        report.check("most of them were closed", now, moves.look(daemon).sum("process_open_fds"))
        daemon.terminate()


def strangers():
    with workshop("monitoring-strangers") as (stack, _):
        keyed = KeyedDaemon(stack, [generator.randbytes(32)])
        before = moves.look(keyed.daemon)
        for _ in range(3):
            keyed.connects(generator.randbytes(32))
        now = poll(keyed.daemon, lambda now: now.sum("memkv_authentication_failures_total") == 3)
        report.check("three strangers are three failures", now, moves.look(keyed.daemon).of(
            "memkv_authentication_failures_total"))
        expect("strangers", before, now or before, {
            ("memkv_refusals_total", (("reason", "failed_authentications"),)): 3})
        keyed.daemon.terminate()


def protected():
    need("openssl", root=False)
    with workshop("monitoring-protected") as (stack, directory):
        port, token = free_port(), "0123456789abcdef"
        files = {name: str(directory / f"{name}.pem") for name in ("cert", "key", "other")}
        for key_file, cert_file in (("key", "cert"), ("other", "unused")):
            command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", files[key_file], "-out",
                    directory / f"{cert_file}.pem")
        config = directory / "memkvd.yaml"
        config.write_text(f"network: {{ address: '127.0.0.1:{port}', tls_cert: {files['cert']}, "
                          f"tls_key: {files['other']} }}\n")
        code, errors = memkvd_to_its_end("--config", config, "--data", directory / "store")
        report.check("a key of another certificate is refused at start", code == 2 and "can't be used" in errors, errors)
        config.write_text(f"network: {{ address: '127.0.0.1:{port}', tls_cert: {files['cert']}, "
                          f"tls_key: {files['key']}, admin_token: {token} }}\n")
        daemon = Daemon(stack, directory, port, "--config", config, "--data", directory / "store")
        daemon.launch()
        trust = ssl.create_default_context(cafile=files["cert"])

        def ask(path, method="GET", body=None, **headers):
            try:
                connection = http.client.HTTPSConnection("127.0.0.1", port + 1, context=trust, timeout=10)
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except OSError as error:
                return 0, str(error)

        end = time.monotonic() + 60
        while ask("/v1/ready") != (200, "ok") and time.monotonic() < end:
            time.sleep(0.05)
        report.check("over TLS it answers probes without a token", ask("/v1/health")[0] == 200
                     and ask("/v1/ready") == (200, "ok"), ask("/v1/health"))
        report.check("and others only with it", ask("/v1/status")[0] == ask("/v1/metrics")[0] == 401
                     and ask("/v1/metrics", Authorization="Bearer 0123456789abcdeX")[0] == 401
                     and ask("/v1/metrics", Authorization=f"Bearer {token}")[0] == 200
                     and ask("/v1/status", Authorization=f"Bearer {token}")[0] == 200)
        report.check("plain HTTP is no answer", daemon.admin("/v1/health")[0] == 0, daemon.admin("/v1/health"))
        report.check("a body is refused", ask("/v1/health", body="x" * 100)[0] == 413, ask("/v1/health", body="x"))
        long = ask("/v1/health", **{"X-Long": "x" * 40_000})
        report.check("and a header without end", long[0] in (0, 400, 431), long)
        report.check("another method is refused", ask("/v1/health", method="DELETE")[0] == 405)
        report.check("and it still answers", ask("/v1/health")[0] == 200)
        over_tls(f"127.0.0.1:{port}", token, files["cert"], files["other"])
        daemon.terminate()


def over_tls(server, token, authority, no_certificate):
    """memkv admin asks a server that speaks TLS only, and says what is missing."""
    known = {"MEMKV_ADMIN_CA": authority, "MEMKV_ADMIN_TOKEN": token}
    for words, hint in ((["status"], "up "), (["health"], "healthy"), (["metrics"], "memkv_blocks_total 0\n"),
                        (["top", "--count", "1"], "healthy")):
        code, text, errors = memkv("admin", *words, "--server", server, **known)
        report.check(f"admin {words[0]} over TLS", code == 0 and hint in text, f"{code}: {text[:300]} {errors}")
    for what, environment, wanted, hint in (
            ("without the authority", {"MEMKV_ADMIN_TOKEN": token}, 3, "MEMKV_ADMIN_CA"),
            ("with the system's authorities", known | {"MEMKV_ADMIN_CA": "system"}, 4, "isn't believed"),
            ("with a file that isn't there", known | {"MEMKV_ADMIN_CA": "/nowhere.pem"}, 2, "/nowhere.pem"),
            ("with a file without certificates", known | {"MEMKV_ADMIN_CA": no_certificate}, 2, "can't be used"),
            ("without the token", {"MEMKV_ADMIN_CA": authority}, 4, "MEMKV_ADMIN_TOKEN")):
        code, text, errors = memkv("admin", "status", "--server", server, **environment)
        report.check(f"admin {what} is refused", code == wanted and hint in errors and not text, f"{code}: {text} {errors}")


def queries():
    """What alert rules and dashboard ask for exists, with these labels."""
    rows = table()
    rules = report.REPOSITORY / "Deploy/prometheus"
    tested = subprocess.run(["promtool", "test", "rules", rules / "alerts-test.yaml"], capture_output=True, text=True)
    report.check("the alerts' own tests pass", tested.returncode == 0, tested.stdout + tested.stderr)
    alerts = (rules / "alerts.yaml").read_text()
    fired = (rules / "alerts-test.yaml").read_text()
    untested = [name for name in re.findall(r"alert: (\w+)", alerts)
                if not re.search(rf"alertname: {name}\n\s+exp_alerts:\n", fired)]
    report.check("each alert is seen firing in them", not untested, untested)
    manifest = (report.REPOSITORY / "Deploy/kubernetes/probes.yaml").read_text()
    for probe, path, seconds in (("liveness", "/v1/health", 10), ("readiness", "/v1/ready", 5)):
        report.check(f"the {probe} probe is the contract's", re.search(
            rf"^ +{probe}Probe:\n +httpGet:\n +path: {path}\n +port: 9901\n +initialDelaySeconds: 5\n"
            rf" +periodSeconds: {seconds}$", manifest, re.MULTILINE), manifest)
    board = json.loads((report.REPOSITORY / "Deploy/grafana/memkv.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += re.findall(r"expr: (?!>)(.*)", alerts) + re.findall(r"expr: >-\n((?: {10}.*\n)+)", alerts)
    everywhere = {"instance", "job", "le"}
    for expression in asked:
        known, used = set(everywhere), set(re.findall(r"[{,]\s*(\w+)\s*=", expression))
        for group in re.findall(r"by \(([^)]*)\)", expression):
            used |= {label.strip() for label in group.split(",")}
        unknown = set()
        for name in re.findall(r"\b(?:memkv|process)_\w+", expression):
            row = rows.get(re.sub(r"_(bucket|sum|count)$", "", name) if name not in rows else name)
            unknown |= set() if row else {name}
            known |= row[2] if row else set()
        if unknown or not used <= known:
            report.check(f"{expression} asks for what there is", False, f"{unknown} {used - known}")
    report.check(f"{len(asked)} queries of dashboard and alerts ask for metrics and labels that exist", len(asked) > 30)
    return asked


def several():
    """memkv admin with several servers, one of them down."""
    with workshop("monitoring-several") as (stack, directory):
        daemons = []
        for number in range(2):
            port = free_port()
            daemons.append(Daemon(stack, directory, port, "--data", directory / f"store-{number}", "--listen",
                                  f"127.0.0.1:{port}"))
            daemons[-1].start()
        up = [f"127.0.0.1:{daemon.port}" for daemon in daemons]
        absent = free_port()
        down = f"127.0.0.1:{absent}"
        connection = wire.Connection(daemons[0].port)
        connection.put(key(), b"x" * 1000)
        connection.close()
        for words, hint in ((["status"], "up "), (["health"], "healthy"), (["metrics"], "memkv_blocks_total 1\n"),
                            (["top", "--count", "2", "--interval", "0.2"], "healthy")):
            code, text, errors = memkv("admin", *words, "--server", ",".join(up))
            report.check(f"admin {words[0]} of two servers", code == 0 and hint in text
                         and all(server in text for server in up), f"{code}: {text[:300]} {errors}")
            code, text, errors = memkv("admin", *words, "--server", ",".join([down, *up]))
            report.check(f"admin {words[0]}: one that is down hides no other and is code 3", code == 3 and hint in text
                         and all(server in text for server in up) and re.search(f":({absent}|{absent + 1})\\b", text + errors),
                         f"{code}, {down}, {up}: {text[:300]} {errors}")
            code, text, errors = memkv("admin", *words, "--json", "--server", ",".join(up))
            objects = [json.loads(line) for line in text.splitlines()] if words[0] == "top" else [json.loads(text)]
            report.check(f"admin {words[0]} --json", code == 0 and all(set(up) <= set(found) for found in objects), text)
        code, text, _ = memkv("admin", "status", "--json", "--server", up[0])
        found = json.loads(text)
        report.check("admin status --json is the server's status", code == 0
                     and found["storage"] == status(daemons[0])["storage"], text)
        for daemon in daemons:
            daemon.terminate()


def prometheus():
    need("prometheus", root=False)
    with workshop("monitoring-prometheus") as (stack, directory):
        port = free_port()
        daemon = Daemon(stack, directory, port, "--data", directory / "store", "--listen", f"127.0.0.1:{port}")
        daemon.start()
        connection = wire.Connection(port)
        for _ in range(7):
            connection.put(key(), b"x" * 1000)
        connection.close()
        config = directory / "prometheus.yml"
        config.write_text(
            "global: { scrape_interval: 1s }\nscrape_configs:\n- job_name: memkv\n  metrics_path: /v1/metrics\n"
            f"  static_configs: [ {{ targets: [ '127.0.0.1:{port + 1}' ] }} ]\n"
            f"rule_files: [ '{report.REPOSITORY}/Deploy/prometheus/alerts.yaml' ]\n")
        listen = free_port()
        server = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/tsdb",
             f"--web.listen-address=127.0.0.1:{listen}", "--log.level=error"], env=clean_environment())
        stack.callback(server.wait)
        stack.callback(server.terminate)
        answer, end = None, time.monotonic() + 60
        while time.monotonic() < end:
            asked = subprocess.run(["promtool", "query", "instant", f"http://127.0.0.1:{listen}",
                                    "memkv_commit_total + on() sum(memkv_blocks_by_state{state='persisted'})"],
                                   capture_output=True, text=True)
            answer = asked.stdout.strip()
            if "=> 14 @" in answer:
                break
            time.sleep(0.5)
        report.check("Prometheus scrapes it and answers a query: 7 + 7", "=> 14 @" in (answer or ""), answer)
        for expression in queries():
            plain = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
            asked = subprocess.run(["promtool", "query", "instant", f"http://127.0.0.1:{listen}", plain],
                                   capture_output=True, text=True)
            if asked.returncode != 0:
                report.check(f"Prometheus understands {expression}", False, asked.stderr)
        report.check("Prometheus understands every query of dashboard and alerts", True)
        daemon.terminate()


def everything():
    rows = table()
    unmoved = set(rows) - moves.moved() - NEEDS_RDMA - set(ELSEWHERE)
    report.check("every metric has moved, but those that need RDMA and those that others move", not unmoved, unmoved)
    constant = {name for name in rows if rows[name][0] != BEYOND and name not in NEEDS_RDMA
                and name not in ELSEWHERE and not moves.seen[name][0]}
    always = {"memkv_slabs_total", "memkv_memory_total_bytes", "memkv_device_capacity_raw_bytes",
              "memkv_device_capacity_usable_bytes", "memkv_storage_raw_bytes", "memkv_storage_usable_bytes",
              "memkv_iouring_fsync_us", "memkv_iouring_write_us"}
    report.check("and was zero before, but sizes, and what every start does", constant <= always, constant - always)
    report.check("of the contract only RDMA's are not moved here", all(rows[name][0] == BEYOND for name in ELSEWHERE))


report.run([
    ("the table", shapes), ("requests", requests), ("kill -9", killed), ("a full store", full),
    ("eviction", evicting), ("a damaged block", damaged), ("the scrub", scrubbed), ("trims that fail", untrimmable),
    ("a stalled flush", stalled), ("before and after it serves", unready), ("a data path full of requests", saturated),
    ("a slow drive", slow), ("drives that fail", failing), ("faults that a debug build commits", faults),
    ("clients without a key", strangers), ("connections that ask nothing", silent),
    ("TLS and token", protected), ("admin and several servers", several), ("Prometheus", prometheus), ("all of it", everything),
])
