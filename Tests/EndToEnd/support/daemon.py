"""memkvd and memkv as processes: started, watched, killed, by their own ids only."""
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import report

PATIENCE_SECONDS = 60


def free_port():
    """A port whose next one is free too, below those that the kernel hands out by itself."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in (port, port + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port


def configuration(directory, port, drives, mode="file", block_size="4 MiB", min_slot="64 KiB",
                  eviction=False, name="memkvd.yaml", shards=None):
    """Writes a configuration; returns its path."""
    lines = [
        f"network: {{ address: \"127.0.0.1:{port}\" }}",
        "memory: { max_size: 256 MiB }",
        "storage:",
        f"  mode: {mode}",
        f"  block_size: {block_size}",
        f"  min_slot: {min_slot}",
        f"  eviction: {{ enabled: {'true' if eviction else 'false'} }}",
    ] + ([f"  shards: {shards}"] if shards else []) + [
        "  drives:",
    ] + [f"    - media: \"{drive}\"" for drive in drives]
    path = directory / name
    path.write_text("\n".join(lines) + "\n")
    return path


def clean_environment(**more):
    return {k: v for k, v in os.environ.items() if not k.startswith(("MEMKVD_", "MEMKV_"))} | more


def memkv(*arguments, timeout=PATIENCE_SECONDS * 5, **environment):
    """Runs memkv to its end: exit code, standard output, standard error."""
    done = subprocess.run([report.binaries() / "memkv", *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, env=clean_environment(**environment))
    return done.returncode, done.stdout, done.stderr


def memkvd_to_its_end(*arguments, **environment):
    """Runs a memkvd that should end by itself: exit code, standard error."""
    done = subprocess.run([report.binaries() / "memkvd", *map(str, arguments)], capture_output=True, text=True,
                          timeout=PATIENCE_SECONDS, env=clean_environment(**environment))
    return done.returncode, done.stderr


def setup(*drives, max_size=None, block_size="4 MiB", min_slot="64 KiB"):
    """Formats the drives of a new store."""
    sizes = ["--block-size", block_size, "--min-slot", min_slot]
    code, _, errors = memkv("setup", *sizes, *(["--max-size", max_size] if max_size else []), "--drives", *drives)
    if code != 0:
        raise RuntimeError(f"memkv setup: exit {code}, {errors}")


class Daemon:
    """One memkvd, which may be started many times on the same arguments."""

    def __init__(self, stack, directory, port, *arguments, **environment):
        """`stack` ends it when everything else is taken down."""
        self.port, self.arguments, self.environment = port, arguments, environment
        self.log_path = directory / f"memkvd-{port}.log"
        self.process = None
        self.log_start = 0
        stack.callback(self.kill)

    def launch(self):
        """Starts it and returns at once."""
        assert self.process is None
        with open(self.log_path, "ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                [report.binaries() / "memkvd", *map(str, self.arguments)], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log, env=clean_environment(**self.environment))

    def start(self):
        """Starts it and waits until it serves."""
        self.launch()
        end = time.monotonic() + PATIENCE_SECONDS
        while self.admin("/v1/ready") != (200, "ok"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"memkvd is not ready (exit {self.process.poll()}): {self.log()}")
            time.sleep(0.01)

    def kill(self):
        """kill -9, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def terminate(self):
        """SIGTERM; returns the exit code, or what it does instead of ending."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return "still running"
        self.process = None
        return code

    def admin(self, path):
        """(HTTP status, text) of the admin endpoint; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port + 1}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def health(self):
        return json.loads(self.admin("/v1/health")[1])

    def log(self):
        """The log since it was last started."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def recovered(self, field):
        """A field of the line `drive recovered`, summed over the drives."""
        lines = [line for line in self.log().splitlines() if 'msg="drive recovered"' in line]
        return sum(int(re.search(rf"\b{field}=(\d+)", line)[1]) for line in lines)
