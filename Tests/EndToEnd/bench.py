#!/usr/bin/env python3
"""`memkv bench run` against the real memkvd: one of its own, in a file and in memory, and one that runs.

What is reported must add up, what wasn't measured must say why, and nothing may be left behind. Finds the
programs in $MEMKV_BINARIES. Prints "N passed, N failed".
"""
import json
import os
import pathlib
import signal
import subprocess
import time

from support import daemon, drives, report


def bench(*arguments, timeout=300):
    """Runs the profile smoke: exit code, report (None without), standard error."""
    code, output, errors = daemon.memkv(
        "bench", "run", "--profile", "smoke", "--json", "--no-record", *arguments, timeout=timeout)
    return code, json.loads(output) if code == 0 else None, errors


def measured(figure):
    return isinstance(figure, (int, float))


def reason(figure):
    return figure.get("not_measured") if isinstance(figure, dict) else None


def adds_up(name, result):
    """What must hold of every report."""
    report.check(f"{name}: schema and profile", (result["schema"], result["profile"]) == ("memkv-bench/2", "smoke"))
    cells = result["cells"]
    report.check(f"{name}: every operation is there", {cell["operation"] for cell in cells} == {"put", "get", "exists"})
    for cell in cells:
        what = f"{name}: {cell['operation']} of {cell['value_bytes']} bytes"
        report.check(f"{what} was measured", cell["requests"] > 0 and cell["nanoseconds"] > 0, cell)
        latency = cell["latency_nanoseconds"]
        report.check(f"{what}: a time for each request", sum(count for _, count in latency["counts"]) == cell["requests"])
        report.check(f"{what}: bytes are requests times size",
                     cell["bytes"] == (cell["requests"] - cell["misses"]) * cell["value_bytes"], cell["bytes"])
        report.check(f"{what}: nothing was lost", cell["misses"] == 0, cell["misses"])
        report.check(f"{what}: a 99.9th percentile only of a thousand",
                     measured(latency["p999"]) == (cell["requests"] >= 1000), latency["p999"])
        report.check(f"{what}: the client's processor time is above nothing",
                     measured(cell["client_processor_nanoseconds"]) and cell["client_processor_nanoseconds"] > 0)
        zeros = [key for key, value in cell.items() if key.endswith(("_gib", "_byte", "_second")) and value == 0]
        report.check(f"{what}: no figure is 0", not zeros, zeros)
    return cells


def puts(cells):
    return [cell for cell in cells if cell["operation"] == "put"]


def own_server_in_a_file():
    with drives.workshop("bench") as (_, directory):
        code, result, errors = bench("--directory", directory)
        if not report.check("a server of its own, in a file", code == 0, errors):
            return
        for cell in puts(adds_up("file", result)):
            report.check("file: the server's processor time is known", measured(cell["server_processor_nanoseconds"]))
            report.check("file: flushes of a file are not made up", "is a file" in (reason(cell["flushes"]) or ""))
        left = list(directory.iterdir())
        report.check("file: the temporary store is gone", not left, left)
        gone = result["servers"]["processes"][0]
        report.check("file: the server is gone", not pathlib.Path(f"/proc/{gone}").exists(), gone)


def own_server_in_memory():
    code, result, errors = bench("--store", "memory")
    if report.check("a server of its own, in memory", code == 0, errors):
        for cell in puts(adds_up("memory", result)):
            report.check("memory: no written bytes are made up", "memory mode" in (reason(cell["written_bytes"]) or ""))


def running_server_on_a_device():
    with drives.workshop("bench") as (stack, directory):
        device = drives.loop_device(stack, drives.sparse_file(directory / "drive", 2 << 30), 4096)
        daemon.setup(device)
        port = daemon.free_port()
        server = daemon.Daemon(stack, directory, port, "--config",
                               daemon.configuration(directory, port, [device], mode="direct"))
        server.start()
        output = directory / "result.json"
        code, result, errors = bench("--server", f"127.0.0.1:{port}", "--output", output, "--seed", 7)
        if not report.check("a server that runs", code == 0, errors):
            return
        cells = adds_up("device", result)
        report.check("device: its process was found", result["servers"]["processes"] == [server.process.pid])
        for cell in puts(cells):
            report.check("device: at least what was acknowledged was written",
                         measured(cell["written_bytes"]) and cell["written_bytes"] >= cell["bytes"], cell["written_bytes"])
            report.check("device: flushes were counted", measured(cell["flushes"]) and cell["flushes"] > 0, cell["flushes"])
        report.check("device: the file holds the same", json.loads(output.read_text()) == result)
        blocks = json.loads(server.admin("/v1/status")[1])["blocks_total"]
        report.check("device: its blocks are deleted", blocks == 0, blocks)


def refusals():
    code, _, errors = bench("--server", "127.0.0.1:1", "--store", "memory")
    report.check("a store for a server that runs is refused", code == 2 and "--store" in errors, (code, errors))
    code, _, errors = bench("--server", "127.0.0.1:1")
    report.check("a server that isn't there", code == 3, (code, errors))
    code, _, errors = bench("--memkvd", "/nowhere/memkvd")
    report.check("a memkvd that isn't there", code == 2 and errors == "memkv: /nowhere/memkvd isn't there; build memkvd, "
                 "or name one with --memkvd\n", (code, errors))
    code, _, errors = bench("--memkvd", "/etc")
    report.check("a directory as memkvd", code == 2 and "/etc is no program" in errors, (code, errors))
    code, _, errors = bench("--memkvd", "/bin/true")
    report.check("a program that is no memkvd", code == 3 and "ended with exit code 0 and logged nothing" in errors,
                 (code, errors))
    code, _, errors = bench("--directory", "/nowhere")
    report.check("a directory that isn't there", code == 2 and "can't make the directory /nowhere/" in errors
                 and errors.endswith(": No such file or directory\n"), (code, errors))


def outputs():
    """Nothing but a regular file is replaced, and that is found out before anything is measured."""
    with drives.workshop("bench") as (_, directory):
        link, target, pipe = directory / "link", directory / "target", directory / "pipe"
        target.write_text("old")
        link.symlink_to(target)
        os.mkfifo(pipe)
        for what, output in (("a FIFO", pipe), ("no such directory", directory / "no" / "file")):
            code, _, errors = bench("--store", "memory", "--output", output)
            report.check(f"output to {what}: exit 2 with a sentence", code == 2 and str(output) in errors
                         and "memkvd" not in errors, (code, errors))
        report.check("the FIFO is one still", pipe.is_fifo())
        code, result, errors = bench("--store", "memory", "--output", link)
        report.check("a link's target is replaced, not the link", code == 0 and link.is_symlink()
                     and json.loads(target.read_text()) == result, (code, errors))


def stopped():
    """A signal ends the server and removes its store, kill -9 too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with drives.workshop("bench") as (stack, directory):
            running = subprocess.Popen(
                [report.binaries() / "memkv", "bench", "run", "--profile", "standard", "--no-record", "--directory",
                 directory], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                env=daemon.clean_environment())
            stack.callback(running.kill)
            children = pathlib.Path(f"/proc/{running.pid}/task")
            servers, end = [], time.monotonic() + 60
            while not servers and time.monotonic() < end:
                time.sleep(0.05)
                servers = [child for task in children.glob("*/children") for child in task.read_text().split()]
            time.sleep(1)
            running.send_signal(number)
            running.communicate(timeout=60)
            end = time.monotonic() + 20
            while any(pathlib.Path(f"/proc/{server}").exists() for server in servers) and time.monotonic() < end:
                time.sleep(0.05)
            left = [server for server in servers if pathlib.Path(f"/proc/{server}").exists()]
            report.check(f"{number.name} ends the server too", running.returncode == -number and servers
                         and not left, (running.returncode, servers, left))
            for server in left:
                os.kill(int(server), signal.SIGKILL)
            end = time.monotonic() + 20
            while list(directory.iterdir()) and time.monotonic() < end:
                time.sleep(0.05)
            report.check(f"{number.name}: nothing is left behind", not list(directory.iterdir()),
                         list(directory.iterdir()))


def keyed():
    with drives.workshop("bench") as (_, directory):
        key = directory / "key"
        key.write_text("11" * 32)
        code, _, errors = bench("--store", "memory", "--auth-key-file", key)
        report.check("with a key, the run's own server asks for it", code == 0, errors)


report.run([
    ("a server of its own, in a file", own_server_in_a_file),
    ("a server of its own, in memory", own_server_in_memory),
    ("a server that runs, on a device", running_server_on_a_device),
    ("refusals", refusals),
    ("where the report goes", outputs),
    ("a run that is stopped", stopped),
    ("a key", keyed),
])
