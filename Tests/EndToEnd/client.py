#!/usr/bin/env python3
"""memkv over three servers, one of them killed with -9: it costs its own share of the keys, and all comes back.

Which server a key belongs to is computed here once more, from Docs/client.md alone.
"""
import hashlib
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import report, wire
from support.daemon import Daemon, clean_environment, free_port, memkv
from support.drives import workshop

BLOCK_BYTES = 64 << 10
MASK = (1 << 64) - 1

options = report.arguments(
    __doc__.splitlines()[0], 20261122, rounds=(3, "kills under load"), mebibytes=(24, "MiB of the imported file"))


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & MASK
    return value ^ value >> 31


def server_of(namespace, key, names):
    """Rendezvous hashing as Docs/client.md has it."""
    mixed = namespace * 0x9E3779B97F4A7C15 & MASK
    for start in range(0, 32, 8):
        mixed = mix(mixed ^ int.from_bytes(key[start:start + 8], "big"))
    return max(sorted(names), key=lambda name: mix(mixed ^ wire.xxh3(name.encode())))


class Cluster:
    """Three memkvds with stores of their own."""

    def __init__(self, stack, directory, **environment):
        self.daemons, config = {}, directory / "memkvd.yaml"
        config.write_text("storage: { max_size: 256 MiB, eviction: { enabled: false } }\n")
        for number in range(3):
            port = free_port()
            name = f"127.0.0.1:{port}"
            self.daemons[name] = Daemon(stack, directory, port, "--data", directory / f"store-{number}",
                                        "--listen", name, "--config", config, **environment)
            self.daemons[name].start()
        self.names = list(self.daemons)
        self.option = ("--server", ",".join(self.names))

    def exists(self, keys):
        """What `memkv exists` says of each key, and its exit code."""
        code, said, _ = memkv("exists", *self.option, "--timeout", "20", *(key.hex() for key in keys))
        words = [line.split("  ")[0] for line in said.splitlines()]
        return dict(zip(keys, words)), code


def block_keys(path):
    with open(path, "rb") as file:
        return [hashlib.sha256(block).digest() for block in iter(lambda: file.read(BLOCK_BYTES), b"")]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_file(path, seed):
    path.write_bytes(random.Random(seed).randbytes((options.mebibytes << 20) + 12345))
    return path


def shares():
    """Every block lies on the server that the rule names; a killed server costs exactly its blocks."""
    with workshop("client-shares") as (stack, directory):
        cluster = Cluster(stack, directory)
        file = random_file(directory / "file", f"{options.seed} shares")
        manifest, copy = directory / "manifest", directory / "copy"
        code, said, errors = memkv("import", *cluster.option, "--block-size", "64 KiB", file, "-o", manifest)
        report.check("import over three servers", code == 0, errors)
        report.note(said.strip())
        keys = block_keys(file)
        owner = {key: server_of(0, key, cluster.names) for key in keys}
        for name, daemon in cluster.daemons.items():
            connection = wire.Connection(daemon.port)
            mine = {key for key in keys if wire_exists(connection, key)}
            connection.close()
            predicted = {key for key in keys if owner[key] == name}
            report.check(f"{name} holds the {len(predicted)} of {len(keys)} blocks that the rule gives it",
                         mine == predicted and mine, f"{len(mine)} blocks")
        victim = cluster.names[1]
        cluster.daemons[victim].kill()
        started = time.monotonic()
        said, code = cluster.exists(keys)
        seconds = time.monotonic() - started
        unreachable = {key for key, word in said.items() if word == "unreachable"}
        predicted = {key for key in keys if owner[key] == victim}
        report.check(f"with one server killed, its {len(predicted)} keys are unreachable and no other's",
                     unreachable == predicted and code == 3
                     and all(word == "present" for key, word in said.items() if key not in predicted),
                     f"exit {code}, {len(unreachable)} unreachable")
        report.check("and nobody waited for it", seconds < 10, f"{seconds:.1f} s")
        code, said, errors = memkv("admin", "health", *cluster.option)
        report.check("admin health shows the two that are left and ends with 3",
                     code == 3 and said.count("healthy") == 2 and victim.split(":")[0] in errors, f"{code}: {said}")
        code, _, _ = memkv("export", *cluster.option, "--timeout", "2", manifest, "-o", copy)
        report.check("an export that needs it ends with 3 and writes nothing", code == 3 and not copy.exists(), code)
        exporting = start("export", *cluster.option, manifest, "-o", copy)
        time.sleep(1)
        cluster.daemons[victim].start()
        _, errors = exporting.communicate(timeout=300)
        report.check("an export that waits goes on when the server is back, with the file's SHA-256",
                     exporting.returncode == 0 and sha256(copy) == sha256(file), errors)
        said, code = cluster.exists(keys)
        report.check("all keys are back", code == 0 and set(said.values()) == {"present"}, code)


def wire_exists(connection, key):
    answer = connection.call(wire.EXISTS, key)
    return answer.status == "ok" and answer.body[0] == 0


def start(*arguments):
    return subprocess.Popen([report.binaries() / "memkv", *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=clean_environment())


def imports():
    """kill -9 of one server in the middle of an import, again and again."""
    generator = random.Random(f"{options.seed} imports")
    with workshop("client-imports") as (stack, directory):
        cluster = Cluster(stack, directory)
        for number in range(options.rounds):
            file = random_file(directory / f"file-{number}", f"{options.seed} imports {number}")
            manifest, copy = directory / f"manifest-{number}", directory / f"copy-{number}"
            importing = start("import", *cluster.option, "--block-size", "64 KiB", file, "-o", manifest)
            stack.callback(importing.kill)
            # Not before it has begun: an import that can't reach a server at its start ends at once.
            first = block_keys(file)[0]
            connection = wire.Connection(cluster.daemons[server_of(0, first, cluster.names)].port)
            while not wire_exists(connection, first) and importing.poll() is None:
                time.sleep(0.01)
            connection.close()
            time.sleep(generator.uniform(0.0, 0.4))
            victim = cluster.daemons[generator.choice(cluster.names)]
            middle = importing.poll() is None
            victim.kill()
            # The kernel takes a killed ring down behind the process's end: its port is free a little later.
            time.sleep(generator.uniform(0.3, 0.8))
            victim.start()
            _, errors = importing.communicate(timeout=300)
            report.check(f"import {number + 1} goes on over a kill -9", importing.returncode == 0, errors)
            code, _, errors = memkv("export", *cluster.option, manifest, "-o", copy)
            report.check(f"export {number + 1} gives the file's SHA-256"
                         + ("" if middle else " (the import had ended before the kill)"),
                         code == 0 and sha256(copy) == sha256(file), f"exit {code}, {errors}")


def keys():
    """Servers that ask for a key, clients with and without it."""
    with workshop("client-keys") as (stack, directory):
        right, wrong = "11" * 32, "22" * 32
        cluster = Cluster(stack, directory, MEMKV_AUTH_KEY=right)
        file = random_file(directory / "file", f"{options.seed} keys")
        manifest, copy = directory / "manifest", directory / "copy"
        (directory / "right").write_text(right)
        (directory / "wrong").write_text(wrong)
        started = time.monotonic()
        for what, more in (("without the key", []), ("with another key", ["--auth-key-file", directory / "wrong"])):
            code, _, errors = memkv("import", *cluster.option, *more, file, "-o", manifest)
            report.check(f"an import {what} is refused", code == 4 and not manifest.exists(), f"{code}, {errors}")
        report.check("at once", time.monotonic() - started < 10, f"{time.monotonic() - started:.1f} s")
        key = ("--auth-key-file", directory / "right")
        code, _, errors = memkv("import", *cluster.option, *key, file, "-o", manifest)
        report.check("an import with the key goes to all servers", code == 0, errors)
        code, _, errors = memkv("export", *cluster.option, *key, manifest, "-o", copy)
        report.check("and comes back", code == 0 and sha256(copy) == sha256(file), f"exit {code}, {errors}")


report.run([("shares", shares), ("imports", imports), ("keys", keys)])
